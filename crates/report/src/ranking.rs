//! Which column is better where, and which differences are more than seeds explain.

use serde::Serialize;

use crate::counts::Finding;
use crate::estimate::Estimate;
use crate::record::Metric;
use crate::significance::{ALPHA, Difference, holm, least_p, runs_needed};
use crate::statistics::wilson;
use crate::summary::{Cell, RunScore, Summary};
use crate::table::ranges;

/// Every task's ranking, and what they come to together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// In the grid's order; only tasks with more than one column.
    pub tasks: Vec<TaskRanking>,
    /// Columns by ascending mean rank.
    pub mean_ranks: Vec<MeanRank>,
    /// The tasks that the mean is over: those on which every column could be ranked, without the order-free ones.
    pub over: Vec<String>,
}

/// A column's mean over tasks of its place by mean score, where equal scores share their places.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeanRank {
    /// Which column.
    pub column: String,
    /// From 1, the best on every task.
    pub rank: f64,
}

/// The columns of one task, ranked in one bin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskRanking {
    /// What the task is called.
    pub task: String,
    /// The bin's shortest and longest length.
    pub lengths: (usize, usize),
    /// `exact`, `token` or `loss`.
    pub metric: &'static str,
    /// By descending score; of losses by ascending.
    pub ranked: Vec<Ranked>,
    /// Columns that the bin says nothing about, and why.
    pub unranked: Vec<Unranked>,
    /// Every pair of ranked columns.
    pub pairs: Vec<Pair>,
    /// Whether there are runs enough to tell some pair apart, if it differs.
    pub decidable: bool,
    /// What the numbers of runs allow to say, if that is little.
    pub note: Option<String>,
}

/// A ranked column. Scores are shares of one, or nats.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// Which column.
    pub column: String,
    /// One more than the number of columns that are better by more than seeds explain.
    pub rank: usize,
    /// Mean over all finished runs.
    pub mean: f64,
    /// Lower and upper end of its bootstrap interval.
    pub interval: Option<(f64, f64)>,
    /// The best run's score.
    pub best: f64,
    /// Finished runs.
    pub runs: usize,
    /// Runs that learned the training lengths.
    pub fit: usize,
    /// Lower and upper end of the Wilson interval of their share among the judged.
    pub fit_interval: Option<(f64, f64)>,
    /// Columns that this one is better than by more than seeds explain.
    pub better_than: Vec<String>,
}

/// A column that is not ranked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unranked {
    /// Which column.
    pub column: String,
    /// Why.
    pub reason: &'static str,
}

/// Two columns compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pair {
    /// The column with the better mean.
    pub better: String,
    /// The other.
    pub worse: String,
    /// How much better, in shares of one or nats; never negative.
    pub difference: f64,
    /// Its bootstrap interval.
    pub interval: Option<(f64, f64)>,
    /// Whether the interval pairs runs of one seed.
    pub paired: bool,
    /// Two-sided p of the permutation test.
    pub p: Option<f64>,
    /// The same after Holm's correction over the task's pairs.
    pub p_holm: Option<f64>,
    /// Whether that is at most 0.05.
    pub told_apart: bool,
}

/// A column's runs in the bin.
struct Entry<'a> {
    cell: &'a Cell,
    estimate: Estimate,
    runs: Vec<(&'a RunScore, f64)>,
}

impl Ranking {
    /// Ranks the columns of every task in [`Summary::bin`].
    pub fn of(summary: &Summary) -> Ranking {
        let tasks: Vec<TaskRanking> =
            summary.tasks.iter().filter_map(|task| of_task(summary, task)).collect();
        let whole = |t: &&TaskRanking| t.unranked.is_empty() && !summary.is_order_free(&t.task);
        // A column that a task does not have cannot be compared over it.
        let whole = |t: &&TaskRanking| whole(t) && t.ranked.len() == summary.columns.len();
        let over: Vec<&TaskRanking> = tasks.iter().filter(whole).collect();
        let mut mean_ranks: Vec<MeanRank> = summary
            .columns
            .iter()
            .filter_map(|column| {
                let places: Vec<f64> = over.iter().filter_map(|task| task.place(column)).collect();
                Some(MeanRank { column: column.clone(), rank: crate::statistics::mean(&places)? })
            })
            .collect();
        mean_ranks.sort_by(|a, b| a.rank.total_cmp(&b.rank));
        let over = over.iter().map(|task| task.task.clone()).collect();
        Ranking { tasks, mean_ranks, over }
    }

    /// The ranking of one task.
    pub fn task(&self, task: &str) -> Option<&TaskRanking> {
        self.tasks.iter().find(|ranking| ranking.task == task)
    }
}

impl TaskRanking {
    /// A column's place by mean score, from 1; equal scores share the mean of their places.
    fn place(&self, column: &str) -> Option<f64> {
        let own = self.ranked.iter().find(|r| r.column == column)?.mean;
        let sign = if self.metric == "loss" { -1.0 } else { 1.0 };
        let above = self.ranked.iter().filter(|r| sign * r.mean > sign * own).count() as f64;
        let equal = self.ranked.iter().filter(|r| r.mean == own).count() as f64;
        Some(above + (equal + 1.0) / 2.0)
    }

    /// The columns of the first rank.
    pub fn first(&self) -> Vec<String> {
        self.ranked.iter().filter(|r| r.rank == 1).map(|r| r.column.clone()).collect()
    }

    /// The columns of the best mean.
    pub fn leaders(&self) -> Vec<String> {
        let best = self.ranked.first().map(|r| r.mean);
        self.ranked.iter().filter(|r| Some(r.mean) == best).map(|r| r.column.clone()).collect()
    }

    /// Whether there is nothing to rank: one column, or every mean the same.
    pub fn is_even(&self) -> bool {
        self.leaders().len() == self.ranked.len()
    }

    /// Whether some column is told apart from some other.
    pub fn is_decided(&self) -> bool {
        self.pairs.iter().any(|pair| pair.told_apart)
    }
}

fn of_task(summary: &Summary, task: &str) -> Option<TaskRanking> {
    let cells: Vec<&Cell> = summary.of_task(task).collect();
    let all = ranges(&cells);
    let lengths = match summary.bin {
        Some(bin) => *all.get(bin.checked_sub(1)?)?,
        None => *all.iter().max_by_key(|(from, to)| (*to, *from))?,
    };
    if cells.len() < 2 {
        return None;
    }
    let by_loss = summary.by_loss(task);
    let (mut entries, mut unranked) = (Vec::new(), Vec::new());
    for cell in cells {
        match entry(cell, lengths, by_loss) {
            Ok(entry) => entries.push(entry),
            Err(reason) => unranked.push(Unranked { column: cell.column.clone(), reason }),
        }
    }
    let sign = if by_loss { -1.0 } else { 1.0 };
    entries.sort_by(|a, b| (sign * b.estimate.mean).total_cmp(&(sign * a.estimate.mean)));
    let pairs = pairs(&entries, sign);
    let ranked = entries.iter().map(|entry| {
        let column = &entry.cell.column;
        let counts = &entry.cell.counts;
        let better = pairs.iter().filter(|pair| pair.told_apart && pair.worse == *column).count();
        let worse = pairs.iter().filter(|pair| pair.told_apart && pair.better == *column);
        Ranked {
            column: column.clone(),
            rank: 1 + better,
            mean: entry.estimate.mean,
            interval: entry.estimate.interval.map(|i| (i.low, i.high)),
            best: entry.estimate.best,
            runs: entry.runs.len(),
            fit: counts.fit(),
            fit_interval: wilson(counts.fit(), counts.judged()).map(|i| (i.low, i.high)),
            better_than: worse.map(|pair| pair.worse.clone()).collect(),
        }
    });
    Some(TaskRanking {
        task: task.to_owned(),
        lengths,
        metric: match entries.first().map(|entry| entry.cell.metric) {
            _ if by_loss => "loss",
            Some(Metric::Token) => "token",
            _ => "exact",
        },
        ranked: ranked.collect(),
        unranked,
        decidable: pairs.is_empty() || least(&entries, &pairs).is_some_and(|p| p <= ALPHA),
        note: note(&entries, &pairs, summary.unit()),
        pairs,
    })
}

/// A failure to train says nothing of longer inputs, so a column of such runs alone has no rank. One in which some runs
/// learned the training lengths is ranked with all its runs: that is what training with it comes to.
fn entry<'a>(cell: &'a Cell, lengths: (usize, usize), by_loss: bool) -> Result<Entry<'a>, &'static str> {
    match cell.finding {
        Finding::Unfinished => return Err("not finished"),
        Finding::Trivial => return Err("a constant passes"),
        Finding::Diverged => return Err("diverged"),
        Finding::FailsToTrain => return Err("did not train"),
        _ => {}
    }
    let score = |run: &RunScore| {
        let bin = run.bin(lengths)?;
        match by_loss {
            true => Some(bin.loss).filter(|loss| run.sound && loss.is_finite()),
            false => Some(bin.accuracy.of(cell.metric)),
        }
    };
    let runs: Vec<_> = cell.runs.iter().filter_map(|run| Some((run, score(run)?))).collect();
    let bin = cell.bins.iter().find(|bin| (bin.from, bin.to) == lengths);
    let estimate = bin.and_then(|bin| if by_loss { bin.loss } else { Some(bin.all.of(cell.metric)) });
    match estimate {
        Some(estimate) if !runs.is_empty() => Ok(Entry { cell, estimate, runs }),
        _ => Err("not tested there"),
    }
}

/// The scores of both, those of counterparts in the same order; and whether every run has one.
fn matched(a: &Entry, b: &Entry) -> (Vec<f64>, Vec<f64>, bool) {
    fn by<K: Ord>(key: impl Fn(&RunScore) -> K, of: &Entry) -> Vec<(K, f64)> {
        let mut keyed: Vec<(K, f64)> = of.runs.iter().map(|(run, score)| (key(run), *score)).collect();
        keyed.sort_by(|x, y| x.0.cmp(&y.0).then(x.1.total_cmp(&y.1)));
        keyed
    }
    fn pairs<K: Ord>(a: &[(K, f64)], b: &[(K, f64)]) -> bool {
        let single = |of: &[(K, f64)]| of.windows(2).all(|two| matches!(two, [x, y] if x.0 != y.0));
        let same = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.0 == y.0);
        same && single(a) && single(b)
    }
    fn scores<K>(of: Vec<(K, f64)>) -> Vec<f64> {
        of.into_iter().map(|(_, score)| score).collect()
    }
    let (x, y) = (by(|run| run.seed, a), by(|run| run.seed, b));
    if pairs(&x, &y) {
        return (scores(x), scores(y), true);
    }
    let (x, y) = (by(|run| run.counterpart.clone(), a), by(|run| run.counterpart.clone(), b));
    let paired = pairs(&x, &y);
    (scores(x), scores(y), paired)
}

fn pairs(entries: &[Entry], sign: f64) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (i, a) in entries.iter().enumerate() {
        for b in entries.iter().skip(i + 1) {
            let (x, y, paired) = matched(a, b);
            let signed = |of: Vec<f64>| -> Vec<f64> { of.into_iter().map(|score| sign * score).collect() };
            let Some(difference) = Difference::of(&signed(x), &signed(y), paired) else { continue };
            pairs.push(Pair {
                better: a.cell.column.clone(),
                worse: b.cell.column.clone(),
                difference: difference.mean.max(0.0),
                interval: difference.interval.map(|i| (i.low, i.high)),
                paired: difference.paired,
                p: difference.p,
                p_holm: None,
                told_apart: false,
            });
        }
    }
    let tested: Vec<f64> = pairs.iter().filter_map(|pair| pair.p).collect();
    for (pair, corrected) in pairs.iter_mut().filter(|pair| pair.p.is_some()).zip(holm(&tested)) {
        pair.p_holm = Some(corrected);
        pair.told_apart = corrected <= ALPHA;
    }
    pairs
}

/// The least p after correction that the columns with most runs can give; `None` where there is no test.
fn least(entries: &[Entry], pairs: &[Pair]) -> Option<f64> {
    let most = entries.iter().map(|entry| entry.runs.len()).max()?;
    let tested = pairs.iter().filter(|pair| pair.p.is_some()).count();
    least_p(most, most).filter(|_| tested > 0).map(|p| p * tested as f64)
}

/// What so many runs can say at all.
fn note(entries: &[Entry], pairs: &[Pair], unit: &str) -> Option<String> {
    if pairs.is_empty() {
        return None;
    }
    let one = unit.trim_end_matches('s');
    let tested = pairs.iter().filter(|pair| pair.p.is_some()).count();
    if tested == 0 {
        return Some(format!("With one {one} a column no difference can be told from chance: add seeds."));
    }
    let sizes = || entries.iter().map(|entry| entry.runs.len()).filter(|n| *n > 1);
    let (fewest, most) = (sizes().min()?, sizes().max()?);
    let least = least(entries, pairs)?;
    if least > ALPHA {
        let (runs, columns) = (
            match fewest == most {
                true => format!("{most} {unit}"),
                false => format!("{fewest} to {most} {unit}"),
            },
            entries.len(),
        );
        return Some(format!(
            "With {runs} for each of {columns} columns, p cannot be below {}{}: nothing can be told apart; it takes \
             {} {unit}.",
            p_value(least.min(1.0)),
            if tested > 1 { format!(" after correction for {tested} pairs") } else { String::new() },
            runs_needed(tested)
        ));
    }
    (tested < pairs.len()).then(|| {
        format!("Columns with a single {one} are in no test: nothing tells their difference from chance.")
    })
}

/// As sentences write it.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if p < 0.001 => "0.001".to_owned(),
        p if p < 0.1 => format!("{p:.3}"),
        p => format!("{p:.2}"),
    }
}
