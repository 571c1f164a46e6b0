//! A published number beside ours.

use serde::Serialize;

use super::{Group, Ours, Status};
use crate::read::Results;
use crate::record::{Metric, Population, Target};

/// One published number for one cell of the grid. In percent.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedTarget {
    /// The runs' task, or what the target calls it where there is none of that name; empty if it names none.
    pub task: String,
    /// The same of the encoding.
    pub position: String,
    /// Whether every bin's number was reproduced.
    pub status: Status,
    /// Which accuracy.
    pub metric: Metric,
    /// Whose mean.
    pub of: Population,
    /// In the order of the bins.
    pub bins: Vec<CheckedBin>,
    /// Which of our runs it was held against, such as `5 seeds, 4 fit`; or why it was not.
    pub runs: String,
    /// Paper and table.
    pub source: String,
    /// How the number was come by.
    pub protocol: Option<String>,
    /// Anything else a reader must know.
    pub note: Option<String>,
}

/// A number in one bin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedBin {
    /// Shortest and longest length, if a run was scored there.
    pub lengths: Option<(usize, usize)>,
    /// The published number.
    pub published: f64,
    /// Points that ours may be off.
    pub tolerance: f64,
    /// Ours.
    pub ours: Option<f64>,
    /// Lower and upper end of its bootstrap interval over seeds.
    pub interval: Option<(f64, f64)>,
    /// What that comes to.
    pub status: Status,
}

/// One entry for each cell that the target is about, or one that says that there is none.
pub(super) fn check(results: &Results, target: &Target) -> Vec<CheckedTarget> {
    let mut cells: Vec<(&str, &str)> = Vec::new();
    for run in results.of_results().map(|run| &run.planned) {
        let cell = (run.task.as_str(), run.position.as_str());
        if target.is_about(cell.0, cell.1) && !cells.contains(&cell) {
            cells.push(cell);
        }
    }
    if cells.is_empty() {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        let (task, position) = (named(&target.task), named(&target.position));
        return vec![beside(target, &task, &position, None)];
    }
    let held = |(task, position): (&str, &str)| {
        beside(target, task, position, Some(&Group::of(results, task, position)))
    };
    cells.into_iter().map(held).collect()
}

fn beside(target: &Target, task: &str, position: &str, group: Option<&Group>) -> CheckedTarget {
    let lengths = group.and_then(Group::bins);
    let obstacle = obstacle(target, group, lengths.as_deref());
    let fitting = target.of == Population::Fitting;
    let none_fits = fitting && group.is_some_and(|group| !group.done.is_empty() && group.fit() == 0);
    let bins: Vec<CheckedBin> = target
        .percent
        .iter()
        .enumerate()
        .map(|(bin, &published)| {
            let tolerance = target.tolerance.at(bin);
            let ours = group
                .filter(|_| obstacle.is_none())
                .and_then(|group| Ours::over(&group.scores(target.of, Some(target.metric), bin), target.of));
            CheckedBin {
                lengths: lengths.as_ref().and_then(|lengths| lengths.get(bin).copied()),
                published,
                tolerance,
                ours: ours.map(|ours| ours.value),
                interval: ours.and_then(|ours| ours.interval).map(|i| (i.low, i.high)),
                status: match ours {
                    Some(ours) => within(&ours, published - tolerance, published + tolerance),
                    None if none_fits => Status::NotReproduced,
                    None => Status::NotRun,
                },
            }
        })
        .collect();
    CheckedTarget {
        task: task.to_owned(),
        position: position.to_owned(),
        status: Status::together(&bins.iter().map(|bin| bin.status).collect::<Vec<_>>()),
        metric: target.metric,
        of: target.of,
        bins,
        runs: obstacle.unwrap_or_else(|| group.map_or(String::new(), Group::seeds)),
        source: target.source.clone(),
        protocol: target.protocol.clone(),
        note: target.note.clone(),
    }
}

/// Inside is reproduced, apart is not, and an interval over an edge decides nothing.
fn within(ours: &Ours, low: f64, high: f64) -> Status {
    match (ours.is_at_least(low), ours.is_at_most(high)) {
        (Status::NotReproduced, _) | (_, Status::NotReproduced) => Status::NotReproduced,
        (Status::Reproduced, Status::Reproduced) => Status::Reproduced,
        _ => Status::Undecided,
    }
}

/// Why nothing can be compared.
fn obstacle(target: &Target, group: Option<&Group>, lengths: Option<&[(usize, usize)]>) -> Option<String> {
    let Some(group) = group else {
        return Some("no such runs in this grid".to_owned());
    };
    if group.done.is_empty() {
        return Some(format!("0 of {} seeds", group.planned));
    }
    let Some(lengths) = lengths else {
        return Some("runs with different bins".to_owned());
    };
    if lengths.len() != target.percent.len() || !target.fits_bins(lengths.iter().copied()) {
        return Some("runs with other bins than the numbers'".to_owned());
    }
    None
}
