//! Published numbers and findings held against results: reproduced, not reproduced, undecided, or not run.
//!
//! Every status goes by an interval over seeds. A number is reproduced if our interval lies within its tolerance and not
//! reproduced if the two do not meet; a finding likewise by the difference that it names. What straddles is undecided, and so
//! is what a single seed says, except of a best seed's score, which is compared as it is.

mod claim;
mod number;

use std::fmt;

use serde::Serialize;

use crate::read::{Results, RunState};
use crate::record::{Evaluation, Metric, Population};
use crate::statistics::{Interval, interval_over_seeds, mean};
use crate::summary::fits;

pub use claim::{CheckedClaim, Part};
pub use number::{CheckedBin, CheckedTarget};

/// What became of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As published.
    Reproduced,
    /// Not as published.
    NotReproduced,
    /// The interval straddles what would decide it, or there is no interval.
    Undecided,
    /// There are no finished runs that it is about.
    NotRun,
}

/// As tables write it.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Status::Reproduced => "reproduced",
            Status::NotReproduced => "not reproduced",
            Status::Undecided => "undecided",
            Status::NotRun => "not run",
        })
    }
}

impl Status {
    /// Of a whole from its parts: one that fails decides, then one that is open; not run only if nothing was.
    fn together(parts: &[Status]) -> Status {
        let any = |status: Status| parts.contains(&status);
        match () {
            () if any(Status::NotReproduced) => Status::NotReproduced,
            () if any(Status::Undecided) => Status::Undecided,
            () if any(Status::NotRun) && any(Status::Reproduced) => Status::Undecided,
            () if any(Status::Reproduced) => Status::Reproduced,
            () => Status::NotRun,
        }
    }
}

/// Everything that a grid's targets come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Published numbers, one entry for each cell that one is about.
    pub numbers: Vec<CheckedTarget>,
    /// Findings.
    pub findings: Vec<CheckedClaim>,
}

impl Checked {
    /// Holds a grid's targets against its results; control runs are no results.
    pub fn of(results: &Results) -> Checked {
        let targets = &results.grid.targets;
        Checked {
            numbers: targets.target.iter().flat_map(|target| number::check(results, target)).collect(),
            findings: targets.finding.iter().map(|claim| claim::check(results, claim)).collect(),
        }
    }

    fn statuses(&self) -> impl Iterator<Item = Status> {
        self.numbers.iter().map(|n| n.status).chain(self.findings.iter().map(|f| f.status))
    }

    /// How many ended so.
    pub fn count(&self, status: Status) -> usize {
        self.statuses().filter(|s| *s == status).count()
    }

    /// Whether something was reproduced, and nothing that was run came out otherwise or remained open.
    pub fn passes(&self) -> bool {
        let open = self.count(Status::NotReproduced) + self.count(Status::Undecided);
        open == 0 && self.count(Status::Reproduced) > 0
    }

    /// `Targets: 7 reproduced, 1 not reproduced, 2 undecided, 3 not run.`
    pub fn summary(&self) -> String {
        let of = |status: Status| format!("{} {status}", self.count(status));
        let all = [Status::Reproduced, Status::NotReproduced, Status::Undecided, Status::NotRun];
        format!("Targets: {}.", all.map(of).join(", "))
    }
}

/// The runs of one task and one encoding.
struct Group<'a> {
    planned: usize,
    done: Vec<(u64, &'a Evaluation)>,
}

impl<'a> Group<'a> {
    fn of(results: &'a Results, task: &str, position: &str) -> Group<'a> {
        let mut group = Group { planned: 0, done: Vec::new() };
        for run in results.of_results() {
            if run.planned.task != task || run.planned.position != position {
                continue;
            }
            group.planned += 1;
            if let RunState::Done(evaluation) = &run.state {
                group.done.push((run.planned.seed, evaluation));
            }
        }
        group
    }

    fn fit(&self) -> usize {
        self.done.iter().filter(|(_, e)| fits(e)).count()
    }

    /// `3 of 5 seeds, 2 fit`, as far as there is something to say.
    fn seeds(&self) -> String {
        let (done, fit) = (self.done.len(), self.fit());
        let seeds = match done == self.planned {
            true if done == 1 => "1 seed".to_owned(),
            true => format!("{done} seeds"),
            false => format!("{done} of {} seeds", self.planned),
        };
        if fit == done { seeds } else { format!("{seeds}, {fit} fit") }
    }

    /// Percent of each run that `of` is about, in a bin from 0, with the seeds.
    fn scores(&self, of: Population, metric: Option<Metric>, bin: usize) -> Vec<(u64, f64)> {
        let wanted = self.done.iter().filter(|(_, e)| of != Population::Fitting || fits(e));
        let scores = wanted.filter_map(|(seed, e)| {
            let accuracy = e.bins.get(bin)?.accuracy.of(metric.unwrap_or(e.metric));
            Some((*seed, accuracy * 100.0))
        });
        let mut scores: Vec<(u64, f64)> = scores.collect();
        scores.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
        scores
    }

    /// The number of bins of the finished runs, if they agree.
    fn bins(&self) -> Option<Vec<(usize, usize)>> {
        let mut all =
            self.done.iter().map(|(_, e)| e.bins.iter().map(|b| (b.from, b.to)).collect::<Vec<_>>());
        let first = all.next()?;
        all.all(|bins| bins == first).then_some(first)
    }
}

/// A number of ours, in percent or points.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ours {
    value: f64,
    interval: Option<Interval>,
}

impl Ours {
    /// The mean, or the best as its own interval: the number of a maximum has none over seeds.
    fn over(scores: &[(u64, f64)], of: Population) -> Option<Ours> {
        let values: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
        if of == Population::Best {
            let best = values.iter().copied().reduce(f64::max)?;
            return Some(Ours { value: best, interval: Some(Interval { low: best, high: best }) });
        }
        Some(Ours { value: mean(&values)?, interval: interval_over_seeds(&values) })
    }

    /// Whether it is at least `bound`, decided by the interval.
    fn is_at_least(&self, bound: f64) -> Status {
        match self.interval {
            Some(i) if i.low >= bound - EXACT => Status::Reproduced,
            Some(i) if i.high < bound - EXACT => Status::NotReproduced,
            _ => Status::Undecided,
        }
    }

    fn is_at_most(&self, bound: f64) -> Status {
        match self.interval {
            Some(i) if i.high <= bound + EXACT => Status::Reproduced,
            Some(i) if i.low > bound + EXACT => Status::NotReproduced,
            _ => Status::Undecided,
        }
    }

    /// `83.1 [61.0, 99.8]`
    fn text(&self) -> String {
        match self.interval.filter(|i| format!("{:.1}", i.low) != format!("{:.1}", i.high)) {
            Some(i) => format!("{:.1} [{:.1}, {:.1}]", self.value, i.low, i.high),
            None => format!("{:.1}", self.value),
        }
    }
}

/// Rounding of sums of percent: what is equal but for it is equal.
const EXACT: f64 = 1e-9;
