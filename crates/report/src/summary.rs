//! From runs to cells: one for each task × encoding, or × any other axis.

use crate::controls::ControlRun;
use crate::counts::{Counts, Finding};
use crate::estimate::{Estimate, Scores};
use crate::published::PublishedBins;
use crate::read::{Results, Run, RunState};
use crate::record::{Accuracy, Axis, BinScore, Evaluation, Metric, Outcome, PlannedRun, Target};
use crate::statistics::{mean, median};

/// A grid condensed.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The key or keys that make the columns, as people read them: `position`, unless others were asked for.
    pub by: String,
    /// The same one by one.
    pub keys: Vec<String>,
    /// Tasks in the grid's order.
    pub tasks: Vec<String>,
    /// Values of `keys` in the grid's order, joined by commas; their index is their colour.
    pub columns: Vec<String>,
    /// Task-major; only pairs that are planned.
    pub cells: Vec<Cell>,
    /// The accuracy that most runs with a verdict are judged by.
    pub metric: Metric,
    /// Keys other than the seed that vary within a cell, so that its numbers are means over them too.
    pub mixed: Vec<String>,
    /// Counts of the whole grid without its control runs.
    pub counts: Counts,
    /// The runs that are no results: they are in no cell.
    pub controls: Vec<ControlRun>,
    /// The bin that columns are ranked in, from 1; the longest if not given.
    pub bin: Option<usize>,
}

/// All runs of one task and one column.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What the task is called.
    pub task: String,
    /// What makes the task hard, if the grid says so: see [`PlannedRun::class`].
    pub class: Option<String>,
    /// How the task is put to the model, if the grid says so.
    pub protocol: Option<String>,
    /// The value of [`Summary::by`].
    pub column: String,
    /// How many runs, and how they ended.
    pub counts: Counts,
    /// The accuracy that the outcomes go by.
    pub metric: Metric,
    /// Shortest and longest training length.
    pub train_lengths: Option<(usize, usize)>,
    /// The finished runs one by one, in the grid's order.
    pub runs: Vec<RunScore>,
    /// Scores by bin; the first holds the training lengths.
    pub bins: Vec<BinSummary>,
    /// Scores by length, ascending.
    pub curve: Vec<LengthSummary>,
    /// Median over the runs that fail to generalise of the length from which on they stay below the bar.
    pub breaks_at: Option<f64>,
    /// Published numbers for this cell.
    pub published: Vec<PublishedBins>,
    /// What the runs say together.
    pub finding: Finding,
}

/// One finished run of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct RunScore {
    /// Its seed.
    pub seed: u64,
    /// Its seed with whatever else varies within the cell: what has the same in another cell is its counterpart.
    pub counterpart: String,
    /// Whether it learned the training lengths.
    pub fits: bool,
    /// Whether it did not diverge.
    pub sound: bool,
    /// Its scores by bin.
    pub bins: Vec<BinScore>,
}

impl RunScore {
    /// Its scores in the bin of these lengths.
    pub fn bin(&self, (from, to): (usize, usize)) -> Option<&BinScore> {
        self.bins.iter().find(|bin| (bin.from, bin.to) == (from, to))
    }
}

/// One length bin of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct BinSummary {
    /// Shortest length.
    pub from: usize,
    /// Longest length.
    pub to: usize,
    /// Fewest different sequences that a run was scored on.
    pub distinct: usize,
    /// Over all finished runs.
    pub all: Scores,
    /// Over the runs that learned the training lengths: the conditional mean that Huang et al. (2024) publish.
    pub fitting: Option<Scores>,
    /// What the best trivial predictor scores, mean over runs.
    pub chance: Accuracy,
    /// Loss per label in nats over the finished runs that did not diverge, if there are any and it is finite.
    pub loss: Option<Estimate>,
}

/// One length of a cell's curve.
#[derive(Clone, Debug, PartialEq)]
pub struct LengthSummary {
    /// The task's length.
    pub length: usize,
    /// Over all finished runs.
    pub all: Scores,
    /// What the best trivial predictor scores, mean over runs.
    pub chance: Accuracy,
    /// Loss per label in nats, as in [`BinSummary::loss`].
    pub loss: Option<Estimate>,
}

impl Summary {
    /// Condenses a grid by task and `by`: any axis key, or several with commas between them (default `position`). Runs
    /// without a key have `(not set)` in its place.
    pub fn new(results: &Results, by: Option<&str>) -> Summary {
        let keys = keys(by.unwrap_or("position"));
        let (mut tasks, mut columns) = (Vec::new(), Vec::new());
        let mut counts = Counts::default();
        for run in results.of_results() {
            counts.add(&run.state);
            push_new(&mut tasks, run.planned.task.clone());
            push_new(&mut columns, values(&run.planned, &keys));
        }
        // An axis gives the order when all its values are labels; the runs' order, which is the grid's, is the fallback.
        // The sort keeps the order of equals, so the first key, sorted by last, decides.
        for (index, key) in keys.iter().enumerate().rev() {
            if let Some(axis) = results.grid.axes.iter().find(|axis| axis.key == *key) {
                let place =
                    |values: &Vec<String>| axis.values.iter().position(|v| values.get(index) == Some(v));
                if columns.iter().all(|values| place(values).is_some()) {
                    columns.sort_by_key(place);
                }
            }
        }
        let columns: Vec<String> = columns.iter().map(|values| values.join(", ")).collect();
        let finished = results.finished().filter(|(run, _)| run.planned.control.is_none());
        let judged = finished.filter(|(_, e)| e.outcome != Outcome::Measured);
        let metrics: Vec<Metric> = judged.map(|(_, e)| e.metric).collect();
        let token = metrics.iter().filter(|m| **m == Metric::Token).count();
        let metric = if token * 2 > metrics.len() { Metric::Token } else { Metric::Exact };
        let mut cells = Vec::new();
        let mut mixed = Vec::new();
        for task in &tasks {
            for column in &columns {
                let runs: Vec<&Run> = results
                    .of_results()
                    .filter(|run| {
                        run.planned.task == *task && values(&run.planned, &keys).join(", ") == *column
                    })
                    .collect();
                if runs.is_empty() {
                    continue;
                }
                varying(&runs, &keys, &results.grid.axes, &mut mixed);
                cells.push(Cell::of(task, column, &runs, metric, &results.grid.targets.target, &keys));
            }
        }
        let controls = results.runs.iter().filter_map(ControlRun::of).collect();
        Summary {
            by: keys.join(", "),
            keys,
            tasks,
            columns,
            cells,
            metric,
            mixed,
            counts,
            controls,
            bin: None,
        }
    }

    /// The same with columns ranked in the given bin, from 1.
    pub fn ranked_in(self, bin: usize) -> Summary {
        Summary { bin: Some(bin), ..self }
    }

    /// The cells of one task, in the order of the columns.
    pub fn of_task<'a>(&'a self, task: &'a str) -> impl Iterator<Item = &'a Cell> {
        self.cells.iter().filter(move |cell| cell.task == task)
    }

    /// The cell of a task and a column, if it is planned.
    pub fn cell(&self, task: &str, column: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.task == task && cell.column == column)
    }

    /// The column of a run.
    pub(crate) fn column_of(&self, run: &PlannedRun) -> String {
        values(run, &self.keys).join(", ")
    }

    /// Whether a task has no right answer, so that its scores are losses: as its ended runs say, or else its name.
    pub fn by_loss(&self, task: &str) -> bool {
        let measured = self.of_task(task).any(|cell| cell.counts.measured > 0);
        let judged =
            self.of_task(task).any(|cell| cell.counts.judged() + cell.counts.trivial > cell.counts.diverged);
        measured || (!judged && task.starts_with("text ("))
    }

    /// Whether a task needs no word order, so that every encoding must pass it: as the grid says, or else its name.
    pub fn is_order_free(&self, task: &str) -> bool {
        let of_controls = self.controls.iter().filter(|run| run.planned.task == task);
        let mut classes = self
            .of_task(task)
            .filter_map(|cell| cell.class.as_deref())
            .chain(of_controls.filter_map(|run| run.planned.class.as_deref()));
        classes.next().map_or_else(|| task.to_lowercase().starts_with("majority"), |class| class == "control")
    }

    /// What a number is a mean over: `seeds`, or `runs` where other keys vary too.
    pub(crate) fn unit(&self) -> &'static str {
        if self.mixed.is_empty() { "seeds" } else { "runs" }
    }

    /// A column's index, which is its colour.
    pub fn column_index(&self, column: &str) -> usize {
        self.columns.iter().position(|c| c == column).unwrap_or(0)
    }
}

impl Cell {
    fn of(
        task: &str,
        column: &str,
        runs: &[&Run],
        fallback: Metric,
        published: &[Target],
        keys: &[String],
    ) -> Cell {
        let mut counts = Counts::default();
        let mut done: Vec<&Evaluation> = Vec::new();
        let mut scores = Vec::new();
        for run in runs {
            counts.add(&run.state);
            if let RunState::Done(evaluation) = &run.state {
                done.push(evaluation);
                scores.push(RunScore {
                    seed: run.planned.seed,
                    counterpart: counterpart(&run.planned, keys),
                    fits: fits(evaluation),
                    sound: sound(evaluation),
                    bins: evaluation.bins.clone(),
                });
            }
        }
        let breaks: Vec<f64> = done
            .iter()
            .filter_map(|e| match e.outcome {
                Outcome::FailsToGeneralise { breaks_at } => Some(breaks_at as f64),
                _ => None,
            })
            .collect();
        let breaks_at = median(&breaks);
        let bins = bins(&done);
        let published = published
            .iter()
            .filter(|target| runs.iter().all(|run| target.is_about(&run.planned.task, &run.planned.position)))
            .filter(|target| target.fits_bins(bins.iter().map(|bin| (bin.from, bin.to))))
            .map(|p| PublishedBins::beside(p, &bins))
            .collect();
        Cell {
            task: task.to_owned(),
            class: runs.iter().find_map(|run| run.planned.class.clone()),
            protocol: runs.iter().find_map(|run| run.planned.protocol.clone()),
            column: column.to_owned(),
            runs: scores,
            counts,
            metric: done.first().map_or(fallback, |e| e.metric),
            train_lengths: done.first().map(|e| e.train_lengths),
            curve: curve(&done),
            bins,
            breaks_at,
            published,
            finding: Finding::of(&counts, breaks_at),
        }
    }

    /// The bins beyond the training lengths.
    pub fn beyond(&self) -> &[BinSummary] {
        self.bins.get(1..).unwrap_or_default()
    }

    /// The longest length that was scored.
    pub fn longest(&self) -> Option<usize> {
        self.bins.iter().map(|bin| bin.to).max()
    }
}

pub(crate) fn fits(evaluation: &Evaluation) -> bool {
    matches!(evaluation.outcome, Outcome::Generalises | Outcome::Fits | Outcome::FailsToGeneralise { .. })
}

/// The loss of a run that diverged is that of whatever weights it was stopped with.
fn sound(evaluation: &Evaluation) -> bool {
    !matches!(evaluation.outcome, Outcome::Diverged { .. })
}

fn keys(by: &str) -> Vec<String> {
    by.split(',').map(|key| key.trim().to_owned()).filter(|key| !key.is_empty()).collect()
}

fn values(run: &PlannedRun, keys: &[String]) -> Vec<String> {
    keys.iter().map(|key| run.setting(key).unwrap_or_else(|| "(not set)".to_owned())).collect()
}

/// A run's seed and settings without those that tell columns and tasks apart.
fn counterpart(run: &PlannedRun, keys: &[String]) -> String {
    let apart = |key: &&String| *key != "task" && *key != "position" && !keys.contains(key);
    let settings = run.settings.iter().filter(|(key, _)| apart(key));
    let settings: Vec<String> = settings.map(|(key, value)| format!("{key}={value}")).collect();
    format!("{} {}", run.seed, settings.join(" "))
}

/// Bins in the order in which the runs list them; runs that list others (an axis may change the lengths) add theirs.
fn bins(done: &[&Evaluation]) -> Vec<BinSummary> {
    let mut ranges = Vec::new();
    for bin in done.iter().flat_map(|e| &e.bins) {
        push_new(&mut ranges, (bin.from, bin.to));
    }
    let of = |range: (usize, usize), wanted: fn(&Evaluation) -> bool| {
        done.iter()
            .filter(move |e| wanted(e))
            .flat_map(|e| &e.bins)
            .filter(move |bin| (bin.from, bin.to) == range)
    };
    ranges
        .into_iter()
        .filter_map(|range| {
            let accuracies: Vec<Accuracy> = of(range, |_| true).map(|b| b.accuracy).collect();
            let fitting: Vec<Accuracy> = of(range, fits).map(|b| b.accuracy).collect();
            let chances: Vec<Accuracy> = of(range, |_| true).map(|b| b.chance).collect();
            Some(BinSummary {
                from: range.0,
                to: range.1,
                distinct: of(range, |_| true).map(|b| b.distinct).min()?,
                all: Scores::over(&accuracies)?,
                fitting: Scores::over(&fitting),
                chance: mean_accuracy(&chances)?,
                loss: Estimate::over_losses(of(range, sound).map(|bin| bin.loss)),
            })
        })
        .collect()
}

fn curve(done: &[&Evaluation]) -> Vec<LengthSummary> {
    let mut lengths: Vec<usize> = done.iter().flat_map(|e| &e.curve).map(|point| point.length).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
        .into_iter()
        .filter_map(|length| {
            let (accuracies, chances): (Vec<Accuracy>, Vec<Accuracy>) = done
                .iter()
                .flat_map(|e| &e.curve)
                .filter(|point| point.length == length)
                .map(|point| (point.accuracy, point.chance))
                .unzip();
            let sound = done.iter().filter(|e| sound(e)).flat_map(|e| &e.curve);
            Some(LengthSummary {
                length,
                all: Scores::over(&accuracies)?,
                chance: mean_accuracy(&chances)?,
                loss: Estimate::over_losses(sound.filter(|p| p.length == length).map(|point| point.loss)),
            })
        })
        .collect()
}

fn mean_accuracy(of: &[Accuracy]) -> Option<Accuracy> {
    let part = |metric| mean(&of.iter().map(|a| a.of(metric)).collect::<Vec<_>>());
    Some(Accuracy { token: part(Metric::Token)?, exact: part(Metric::Exact)? })
}

fn varying(runs: &[&Run], by: &[String], axes: &[Axis], mixed: &mut Vec<String>) {
    let keys = axes.iter().map(|axis| axis.key.as_str());
    for key in keys.chain(["position"]) {
        let mut values: Vec<Option<String>> = Vec::new();
        for run in runs {
            push_new(&mut values, run.planned.setting(key));
        }
        if values.len() > 1 && !by.iter().any(|k| k == key) {
            push_new(mixed, key.to_owned());
        }
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, value: T) {
    if !list.contains(&value) {
        list.push(value);
    }
}
