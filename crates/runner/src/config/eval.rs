//! The `[eval]` table.

use attnlab_report::record::Metric;
use serde::{Deserialize, Serialize};

use super::lengths::{self, LONGEST, Lengths};

/// How a trained model is scored. Every field has the default shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Ranges of problem lengths, ascending. The first lies within the training lengths, the others beyond them.
    /// Default: the training lengths up to n, then n+1 to 2n and 2n+1 to 4n as far as the task goes.
    #[serde(deserialize_with = "lengths::read_list")]
    pub bins: Vec<Lengths>,
    /// Lengths scored in each bin, evenly spread; 0 is every length: 0.
    /// Beware of a spread that falls in step with a period of the task.
    pub points: usize,
    /// Sequences scored in each bin, shared among its lengths: 512. Under the protocol prefix, where the beginnings of long
    /// strings are distributed and labelled as short strings are and the model is causal with an encoding that goes by the
    /// index alone, so many strings of the longest length of all bins are scored, at every length at once: the scores of
    /// different lengths then share their strings.
    pub samples: usize,
    /// The accuracy that verdicts go by, `exact` (whole sequences) or `token` (labels): `exact`.
    pub metric: Metric,
    /// The accuracy from which on a bin counts as solved: 0.99.
    pub solved: f64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self { bins: Vec::new(), points: 0, samples: 512, metric: Metric::Exact, solved: 0.99 }
    }
}

impl EvalConfig {
    /// The bins for training lengths up to n, no longer than `limit`: up to n, 2n and 4n.
    pub fn default_bins(train: Lengths, limit: Option<usize>) -> Vec<Lengths> {
        let n = train[1].min(LONGEST);
        let limit = limit.unwrap_or(LONGEST).min(LONGEST);
        let beyond = [[n + 1, (2 * n).min(limit)], [2 * n + 1, (4 * n).min(limit)]];
        std::iter::once(train).chain(beyond.into_iter().filter(|[from, to]| from <= to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_bins_double_the_length_twice_as_far_as_the_task_goes() {
        let bins = |limit| EvalConfig::default_bins([3, 32], limit);
        assert_eq!(bins(None), [[3, 32], [33, 64], [65, 128]]);
        assert_eq!(bins(Some(100)), [[3, 32], [33, 64], [65, 100]]);
        assert_eq!(bins(Some(50)), [[3, 32], [33, 50]]);
        assert_eq!(EvalConfig::default_bins([1, LONGEST], None), [[1, LONGEST]]);
    }
}
