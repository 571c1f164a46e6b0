//! What has to come out as foretold before a comparison shows anything.
//!
//! | check | foretold | what it guards against |
//! |---|---|---|
//! | order-free task | every encoding solves it | training that is too short or too small for anything |
//! | positive control | a model known to solve the task solves it | a task or a size at which nothing can succeed |
//! | shuffled labels | a model trained on other strings' labels stays at chance | a leak from inputs or lengths to labels |
//! | frozen features | a trained head on random features does not solve the task | a task that needs no learned attention |
//! | permuted input | order-sensitive tasks suffer, order-free ones do not | a task that does not ask what it claims to |
//! | unseen strings | scores on strings that were not trained on are no lower | memorised test strings |
//!
//! Within a run the test strings are the sample: intervals here are Wilson's over the different strings that were scored.

mod input;
mod trained;

use serde::Serialize;

use crate::read::{Run, RunState};
use crate::record::{ControlKind, Evaluation, PlannedRun};
use crate::summary::Summary;
use crate::verdict::{self, Control, join};

/// More cases than these are not all named in a sentence, or not each by itself.
const MOST_NAMED: usize = 4;

/// A planned control run, and what it came to if it has ended.
#[derive(Clone, Debug)]
pub struct ControlRun {
    /// What it is there for.
    pub kind: ControlKind,
    /// Its place in the grid.
    pub planned: PlannedRun,
    /// Its scores.
    pub evaluation: Option<Evaluation>,
}

impl ControlRun {
    /// `None` of a run that is a result itself.
    pub(crate) fn of(run: &Run) -> Option<ControlRun> {
        let evaluation = match &run.state {
            RunState::Done(evaluation) => Some(evaluation.clone()),
            _ => None,
        };
        Some(ControlRun { kind: run.planned.control?, planned: run.planned.clone(), evaluation })
    }
}

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A task without order: the bag control.
    OrderFree,
    /// A model known to solve the task.
    Positive,
    /// Training on the labels of other strings.
    ShuffledLabels,
    /// A trained head on random features.
    Frozen,
    /// Evaluation on strings whose symbols are shuffled.
    PermutedInput,
    /// Evaluation on strings that were not trained on.
    UnseenStrings,
}

impl Kind {
    const ALL: [Kind; 6] = [
        Kind::OrderFree,
        Kind::Positive,
        Kind::ShuffledLabels,
        Kind::Frozen,
        Kind::PermutedInput,
        Kind::UnseenStrings,
    ];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::OrderFree => "order-free task",
            Kind::Positive => "positive control",
            Kind::ShuffledLabels => "shuffled labels",
            Kind::Frozen => "frozen features",
            Kind::PermutedInput => "permuted input",
            Kind::UnseenStrings => "unseen strings",
        }
    }
}

/// Whether something came out as foretold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Behaviour {
    /// As foretold.
    Holds,
    /// Not known: not finished, or of no use for the task.
    Open,
    /// Not as foretold.
    Misbehaves,
}

/// One kind of check over the whole grid.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Check {
    /// Which.
    pub kind: Kind,
    /// The worst of its cases.
    pub behaviour: Behaviour,
    /// What came out, in one to three sentences.
    pub text: String,
    /// The single results, in the grid's order; empty for the order-free task, which is a cell of the tables.
    pub cases: Vec<Case>,
}

/// A check of one task with one encoding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Case {
    /// What the task is called.
    pub task: String,
    /// The encoding, or what else makes the columns.
    pub column: String,
    /// Whether it came out as foretold.
    pub behaviour: Behaviour,
    /// What was found, such as `50.8 % against a chance of 50.0 %`.
    pub found: String,
}

impl Case {
    fn name(&self) -> String {
        format!("{} with {} ({})", self.task, self.column, self.found)
    }
}

/// Every check that the grid allows, and those that it does not.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Controls {
    /// In the order of the table above.
    pub checks: Vec<Check>,
    /// What there is nothing to check by.
    pub absent: Vec<Kind>,
}

impl Controls {
    /// Checks a summary.
    pub fn of(summary: &Summary) -> Controls {
        let (control, text) = verdict::control(summary);
        let behaviour = match control {
            Control::Passes => Some(Behaviour::Holds),
            Control::Fails => Some(Behaviour::Misbehaves),
            Control::Trivial | Control::Untested | Control::Unfinished => Some(Behaviour::Open),
            Control::Absent | Control::NotNeeded => None,
        };
        let bag =
            behaviour.map(|behaviour| Check { kind: Kind::OrderFree, behaviour, text, cases: Vec::new() });
        let of_runs = [ControlKind::Positive, ControlKind::ShuffledLabels, ControlKind::Frozen]
            .map(|kind| trained::check(summary, kind));
        let checks: Vec<Check> = [bag]
            .into_iter()
            .chain(of_runs)
            .chain([input::permuted(summary), input::unseen(summary)])
            .flatten()
            .collect();
        let needed = control != Control::NotNeeded;
        let is_absent = |kind: &Kind| needed && !checks.iter().any(|check| check.kind == *kind);
        Controls { absent: Kind::ALL.into_iter().filter(is_absent).collect(), checks }
    }

    /// The first line of a report whose controls misbehave.
    pub fn headline(&self) -> Option<String> {
        let bad = self.checks.iter().filter(|check| check.behaviour == Behaviour::Misbehaves);
        let bad: Vec<String> = bad.map(|check| check.kind.name().to_owned()).collect();
        let said = match bad.as_slice() {
            [] => return None,
            [one] => format!("A control misbehaves ({one})"),
            several => format!("{} controls misbehave ({})", several.len(), join(several)),
        };
        Some(format!("{said}: until that is explained, what follows shows little."))
    }

    /// What there is nothing to check by, as a sentence; the order-free task has its own.
    pub fn absent_text(&self) -> Option<String> {
        let others = self.absent.iter().filter(|kind| **kind != Kind::OrderFree);
        let names: Vec<String> = others.map(|kind| kind.name().to_owned()).collect();
        (!names.is_empty()).then(|| format!("Not controlled for: {}.", join(&names)))
    }
}

/// A check of these cases; `said` has the sentences for those that hold, are open and misbehave, each given the names.
fn check(kind: Kind, cases: Vec<Case>, said: [&dyn Fn(&str) -> String; 3]) -> Option<Check> {
    let behaviour = cases.iter().map(|case| case.behaviour).max()?;
    let sentences =
        [Behaviour::Misbehaves, Behaviour::Open, Behaviour::Holds].into_iter().filter_map(|wanted| {
            let these: Vec<&Case> = cases.iter().filter(|case| case.behaviour == wanted).collect();
            let [holds, open, misbehaves] = said;
            let say = match wanted {
                Behaviour::Holds => holds,
                Behaviour::Open => open,
                Behaviour::Misbehaves => misbehaves,
            };
            (!these.is_empty()).then(|| say(&named(&these, wanted == Behaviour::Misbehaves)))
        });
    let text = sentences.collect::<Vec<_>>().join(" ");
    Some(Check { kind, behaviour, text, cases })
}

/// The cases with what was found, or where they are many and nothing is wrong, how many of each task.
fn named(cases: &[&Case], all: bool) -> String {
    if cases.len() > MOST_NAMED && !all {
        let mut tasks: Vec<(&str, usize)> = Vec::new();
        for case in cases {
            match tasks.iter_mut().find(|(task, _)| *task == case.task) {
                Some((_, count)) => *count += 1,
                None => tasks.push((&case.task, 1)),
            }
        }
        let name = |(task, count): &(&str, usize)| match count {
            1 => (*task).to_owned(),
            count => format!("{task} ({count} times)"),
        };
        return join(&tasks.iter().map(name).collect::<Vec<_>>());
    }
    let mut names: Vec<String> = cases.iter().take(MOST_NAMED).map(|case| case.name()).collect();
    match cases.len().saturating_sub(MOST_NAMED) {
        0 => join(&names),
        more => {
            names.push(format!("{more} more"));
            join(&names)
        }
    }
}
