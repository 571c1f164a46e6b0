//! Means over runs, with what is known of their spread.

use crate::record::{Accuracy, Metric};
use crate::statistics::{Interval, interval_over_seeds, mean};

/// A mean over runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Bootstrap interval over seeds; `None` for a single run.
    pub interval: Option<Interval>,
    /// The best run's: the highest accuracy, the lowest loss.
    pub best: f64,
    /// Runs.
    pub n: usize,
}

impl Estimate {
    pub(crate) fn over(values: &[f64]) -> Option<Estimate> {
        let best = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Estimate { mean: mean(values)?, interval: interval_over_seeds(values), best, n: values.len() })
    }

    /// Over losses, of which those of diverged runs are not finite.
    pub(crate) fn over_losses(losses: impl Iterator<Item = f64>) -> Option<Estimate> {
        let losses: Vec<f64> = losses.filter(|loss| loss.is_finite()).collect();
        let best = losses.iter().copied().fold(f64::INFINITY, f64::min);
        Some(Estimate { best, ..Estimate::over(&losses)? })
    }
}

/// Both accuracies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// Share of labels that are right.
    pub token: Estimate,
    /// Share of sequences whose every label is right.
    pub exact: Estimate,
}

impl Scores {
    /// The one that `metric` names.
    pub fn of(&self, metric: Metric) -> Estimate {
        match metric {
            Metric::Exact => self.exact,
            Metric::Token => self.token,
        }
    }

    pub(crate) fn over(accuracies: &[Accuracy]) -> Option<Scores> {
        let estimate =
            |metric| Estimate::over(&accuracies.iter().map(|a| a.of(metric)).collect::<Vec<f64>>());
        Some(Scores { token: estimate(Metric::Token)?, exact: estimate(Metric::Exact)? })
    }
}
