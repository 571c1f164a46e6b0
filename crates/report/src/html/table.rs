//! The page's table: every number with its interval, its chance and what was published.

use crate::counts::Finding;
use crate::estimate::Estimate;
use crate::loss;
use crate::record::{Metric, range};
use crate::summary::{BinSummary, Cell, Summary};
use crate::table::{ending, fit, seeds, signed};

pub(super) struct TableRow {
    pub(super) task: String,
    pub(super) task_index: usize,
    pub(super) column: String,
    pub(super) column_index: usize,
    pub(super) seeds: String,
    pub(super) seeds_order: usize,
    pub(super) fit: String,
    pub(super) fit_title: String,
    pub(super) fit_order: f64,
    pub(super) bins: Vec<BinField>,
    pub(super) ending: String,
    pub(super) ending_order: f64,
}

/// Where a field without a number is sorted.
const NOWHERE: f64 = -1e9;

pub(super) struct BinField {
    pub(super) lengths: String,
    pub(super) title: String,
    pub(super) exact: Number,
    pub(super) token: Number,
}

#[derive(Clone, Default)]
pub(super) struct Number {
    pub(super) text: String,
    pub(super) interval: String,
    /// Chance, or the perplexity of a loss.
    pub(super) beside: String,
    pub(super) published: Vec<String>,
    pub(super) order: f64,
}

/// The bins' lengths when all tasks agree, else their numbers; and whether they agree.
pub(super) fn bin_titles(summary: &Summary) -> (Vec<String>, bool) {
    let ranges = |cell: &Cell| -> Vec<(usize, usize)> { cell.bins.iter().map(|b| (b.from, b.to)).collect() };
    let all: Vec<_> = summary.cells.iter().map(ranges).collect();
    let most = all.iter().max_by_key(|r| r.len()).cloned().unwrap_or_default();
    let agree = all.iter().all(|ranges| most.starts_with(ranges));
    let titles = most
        .iter()
        .enumerate()
        .map(|(i, (from, to))| match (agree, i) {
            (true, _) => range(*from, *to),
            (false, 0) => "trained lengths".to_owned(),
            (false, i) => format!("beyond, bin {i}"),
        })
        .collect();
    (titles, agree)
}

pub(super) fn rows(summary: &Summary) -> Vec<TableRow> {
    let width = bin_titles(summary).0.len();
    let row = |cell: &Cell| {
        let judged = cell.counts.judged();
        let share = crate::statistics::wilson(cell.counts.fit(), judged);
        let by_loss = summary.by_loss(&cell.task);
        let mut bins: Vec<BinField> = cell
            .bins
            .iter()
            .enumerate()
            .map(|(index, bin)| BinField {
                lengths: range(bin.from, bin.to),
                title: bin_title(cell, index, summary.unit()),
                exact: if by_loss { loss_number(bin) } else { number(cell, index, Metric::Exact) },
                token: if by_loss { loss_number(bin) } else { number(cell, index, Metric::Token) },
            })
            .collect();
        bins.resize_with(width, || BinField {
            lengths: String::new(),
            title: String::new(),
            exact: Number { order: NOWHERE, ..Number::default() },
            token: Number { order: NOWHERE, ..Number::default() },
        });
        TableRow {
            task_index: summary.tasks.iter().position(|t| *t == cell.task).unwrap_or(0),
            task: cell.task.clone(),
            column_index: summary.column_index(&cell.column),
            column: cell.column.clone(),
            seeds: seeds(&cell.counts),
            seeds_order: cell.counts.done(),
            fit: fit(&cell.counts),
            fit_title: share.filter(|_| !by_loss).map_or(String::new(), |i| {
                format!("95 % Wilson interval {:.0} to {:.0} %", i.low * 100.0, i.high * 100.0)
            }),
            fit_order: if judged == 0 || by_loss { -1.0 } else { cell.counts.fit() as f64 / judged as f64 },
            bins,
            ending: ending(cell),
            ending_order: match (cell.breaks_at, cell.finding) {
                (Some(at), _) => at,
                (None, Finding::Generalises) => 1e12,
                (None, Finding::Fits) => 0.0,
                (None, Finding::Trivial) => -2.0,
                (None, _) => -1.0,
            },
        }
    };
    summary.cells.iter().map(row).collect()
}

fn bin_title(cell: &Cell, index: usize, unit: &str) -> String {
    let Some(bin) = cell.bins.get(index) else {
        return String::new();
    };
    let mut title = format!("lengths {}–{}, {} different sequences", bin.from, bin.to, bin.distinct);
    let all = bin.all.of(cell.metric);
    if all.n > 1 && cell.counts.measured == 0 {
        let one = unit.trim_end_matches('s');
        title.push_str(&format!("; the best {one}: {:.1} %", all.best * 100.0));
    }
    if cell.counts.fit() > 0
        && cell.counts.fit() < cell.counts.judged()
        && let Some(fitting) = bin.fitting
    {
        title.push_str(&format!(
            "; the {} {unit} that fit: {}",
            cell.counts.fit(),
            with_interval(&fitting.of(cell.metric))
        ));
    }
    title
}

fn number(cell: &Cell, index: usize, metric: Metric) -> Number {
    let Some(bin) = cell.bins.get(index) else {
        return Number::default();
    };
    let estimate = bin.all.of(metric);
    let published = cell
        .published
        .iter()
        .filter(|p| p.metric == metric)
        .filter_map(|p| {
            let theirs = p.percent.get(index)?;
            let difference = p.difference.get(index).copied().flatten()?;
            Some(format!("{}: {theirs:.1} ({})", p.source, signed(difference)))
        })
        .collect();
    Number {
        text: format!("{:.1}", estimate.mean * 100.0),
        interval: estimate
            .interval
            .filter(|i| !i.is_invisible())
            .map_or(String::new(), |i| format!("{:.1} – {:.1}", i.low * 100.0, i.high * 100.0)),
        beside: format!("chance {:.1}", bin.chance.of(metric) * 100.0),
        published,
        order: estimate.mean,
    }
}

/// A loss in nats. Sorted, losses stay together below the accuracies, which they cannot be compared with, best first where the
/// best accuracy is first.
fn loss_number(bin: &BinSummary) -> Number {
    let Some(estimate) = bin.loss else {
        return Number { text: "–".to_owned(), order: NOWHERE, ..Number::default() };
    };
    let interval = loss::interval(&estimate);
    Number {
        text: loss::nats(estimate.mean),
        interval: interval.map_or(String::new(), |(low, high)| format!("{low} – {high}")),
        beside: format!("perplexity {}", loss::perplexity(estimate.mean)),
        published: Vec::new(),
        order: -10.0 - estimate.mean,
    }
}

fn with_interval(estimate: &Estimate) -> String {
    let mean = estimate.mean * 100.0;
    match estimate.interval {
        Some(i) => format!("{mean:.1} % ({:.1} – {:.1})", i.low * 100.0, i.high * 100.0),
        None => format!("{mean:.1} %"),
    }
}
