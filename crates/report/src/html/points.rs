//! What a figure of a task's curves shows: values by length, and the scales they are drawn on.

use crate::estimate::{Estimate, Scores};
use crate::record::{Accuracy, Metric};
use crate::statistics::mean;
use crate::summary::{Cell, Summary};

use super::svg::Scale;

pub(super) const WIDTH: f64 = 620.0;
pub(super) const HEIGHT: f64 = 320.0;
pub(super) const LEFT: f64 = 46.0;
pub(super) const RIGHT: f64 = 472.0;
pub(super) const TOP: f64 = 26.0;
pub(super) const BOTTOM: f64 = 272.0;

/// What the height of a line is.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// A share, against chance.
    Accuracy(Metric),
    /// Nats per token, for tasks without a right answer.
    Loss,
}

impl Shown {
    /// What the page's switch chooses from: both accuracies, or the loss whatever it says.
    pub(super) fn both(summary: &Summary, task: &str) -> [Shown; 2] {
        match summary.by_loss(task) {
            true => [Shown::Loss; 2],
            false => [Shown::Accuracy(Metric::Exact), Shown::Accuracy(Metric::Token)],
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Shown::Accuracy(_) => "accuracy",
            Shown::Loss => "loss per token",
        }
    }
}

/// One length of a line.
pub(super) struct Point {
    pub(super) length: f64,
    scores: Scores,
    loss: Option<Estimate>,
    chance: Accuracy,
}

impl Point {
    /// Mean and the ends of its interval, which are the mean for a single run.
    pub(super) fn value(&self, shown: Shown) -> Option<[f64; 3]> {
        let estimate = match shown {
            Shown::Accuracy(metric) => self.scores.of(metric),
            Shown::Loss => self.loss?,
        };
        let (low, high) = estimate.interval.map_or((estimate.mean, estimate.mean), |i| (i.low, i.high));
        Some([estimate.mean, low, high])
    }
}

/// The curve, or the bins' middles where a run recorded no curve.
pub(super) fn points(cell: &Cell) -> Vec<Point> {
    if cell.curve.is_empty() {
        let bins = cell.bins.iter().map(|bin| Point {
            length: (bin.from + bin.to) as f64 / 2.0,
            scores: bin.all,
            loss: bin.loss,
            chance: bin.chance,
        });
        return bins.collect();
    }
    let curve = cell.curve.iter().map(|point| Point {
        length: point.length as f64,
        scores: point.all,
        loss: point.loss,
        chance: point.chance,
    });
    curve.collect()
}

/// Lengths to the right, scores upwards. Accuracies have the whole range; losses what they take up, since what zero would
/// be is not known.
pub(super) fn scales(summary: &Summary, task: &str) -> (Scale, Scale) {
    let cells: Vec<&Cell> = summary.of_task(task).collect();
    let trained = cells.iter().filter_map(|c| c.train_lengths).flat_map(|(a, b)| [a as f64, b as f64]);
    let lengths = cells.iter().flat_map(|c| points(c)).map(|p| p.length);
    let (from, to) = range(lengths.chain(trained)).unwrap_or((0.0, 1.0));
    let x = Scale { from, to, start: LEFT + 6.0, end: RIGHT };
    let (from, to) = if summary.by_loss(task) {
        let losses = cells.iter().flat_map(|c| points(c)).filter_map(|p| p.value(Shown::Loss)).flatten();
        let (low, high) = range(losses).unwrap_or((0.0, 1.0));
        let air = (0.06 * (high - low)).max(0.01);
        (low - air, high + air)
    } else {
        (0.0, 1.0)
    };
    (x, Scale { from, to, start: BOTTOM - 4.0, end: TOP + 4.0 })
}

/// Least and greatest; `None` of nothing.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}

/// What the best trivial predictor scores at a length, mean over the lines; a loss has none.
pub(super) fn chance_at(cells: &[(usize, Vec<Point>)], length: f64, shown: Shown) -> Option<f64> {
    let Shown::Accuracy(metric) = shown else { return None };
    let points = cells.iter().flat_map(|(_, points)| points).filter(|p| p.length == length);
    mean(&points.map(|p| p.chance.of(metric)).collect::<Vec<f64>>())
}
