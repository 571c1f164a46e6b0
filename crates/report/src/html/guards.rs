//! The page's controls and targets.

use crate::controls::{Behaviour, Controls};
use crate::targets::{Checked, Status};
use crate::terminal;

/// One check of the controls block.
pub(super) struct Guard {
    pub(super) mark: &'static str,
    pub(super) name: &'static str,
    pub(super) text: String,
    /// The single results when there are more than the text names.
    pub(super) cases: Vec<GuardCase>,
}

pub(super) struct GuardCase {
    pub(super) mark: &'static str,
    pub(super) name: String,
    pub(super) found: String,
}

pub(super) fn guards(controls: &Controls) -> Vec<Guard> {
    let guard = |check: &crate::controls::Check| Guard {
        mark: mark(check.behaviour),
        name: check.kind.name(),
        text: check.text.clone(),
        cases: match check.cases.len() {
            0..=4 => Vec::new(),
            _ => check.cases.iter().map(case).collect(),
        },
    };
    controls.checks.iter().map(guard).collect()
}

fn case(case: &crate::controls::Case) -> GuardCase {
    GuardCase {
        mark: mark(case.behaviour),
        name: format!("{} with {}", case.task, case.column),
        found: case.found.clone(),
    }
}

fn mark(behaviour: Behaviour) -> &'static str {
    match behaviour {
        Behaviour::Holds => "ok",
        Behaviour::Open => "part",
        Behaviour::Misbehaves => "bad",
    }
}

/// The targets section; empty where the grid has none.
#[derive(Default)]
pub(super) struct Goals {
    pub(super) summary: String,
    pub(super) numbers: Vec<Goal>,
    pub(super) findings: Vec<Goal>,
}

/// A published number of one cell, or a finding.
pub(super) struct Goal {
    pub(super) mark: &'static str,
    pub(super) status: String,
    /// Task and encoding, or the finding in words.
    pub(super) what: String,
    /// Bin by bin, or part by part.
    pub(super) lines: Vec<String>,
    pub(super) runs: String,
    pub(super) source: String,
}

pub(super) fn goals(checked: &Checked) -> Goals {
    let numbers = checked.numbers.iter().map(|number| {
        let details = [number.protocol.clone(), number.note.clone()].into_iter().flatten();
        Goal {
            mark: status_mark(number.status),
            status: number.status.to_string(),
            what: format!("{} with {}", number.task, number.position),
            lines: terminal::numbers(number),
            runs: number.runs.clone(),
            source: [number.source.clone()].into_iter().chain(details).collect::<Vec<_>>().join("; "),
        }
    });
    let findings = checked.findings.iter().map(|finding| Goal {
        mark: status_mark(finding.status),
        status: finding.status.to_string(),
        what: finding.says.clone(),
        lines: finding.parts.iter().map(|part| format!("{}: {}", part.of, part.found)).collect(),
        runs: String::new(),
        source: finding.source.clone().unwrap_or_default(),
    });
    Goals { summary: checked.summary(), numbers: numbers.collect(), findings: findings.collect() }
}

fn status_mark(status: Status) -> &'static str {
    match status {
        Status::Reproduced => "ok",
        Status::NotReproduced => "bad",
        Status::Undecided => "part",
        Status::NotRun => "none",
    }
}
