//! What results are held against: numbers that were published, and findings as directions.
//!
//! ```toml
//! [[target]]                        # a published number
//! task = "copy (unique)"            # as the runs are called; left out, every task
//! position = "learned+offset"       # left out, every encoding
//! metric = "exact"
//! of = "fitting"                    # whose mean was published: all, fitting, or best (the best seed's score)
//! percent = [100.0, 99.9, 98.7]     # one for each bin of the runs
//! tolerance = [1.0, 2.0, 5.0]       # points, or one number for all bins
//! bins = [[1, 50], [51, 100], [101, 150]]   # optional: runs with other bins are not compared
//! source = "Huang et al. 2024 (arXiv 2410.02140), table 1"
//! protocol = "2-1-64, lr 1e-3, 5 seeds that fit"       # optional
//! note = "…"                        # optional
//!
//! [[finding]]                       # a direction, decided by an interval over seeds
//! says = "Without an encoding unique copy fails beyond the training lengths; with learned positions and offsets it holds"
//! task = "copy (unique)"
//! better = "learned+offset"         # two encodings of one task …
//! worse = "none"
//! bin = 3                           # 1 holds the training lengths; default: the longest
//! by = 20.0                         # points at least; default 0
//! ```
//! A finding takes one of four forms; `position = "*"` asks it of every encoding of the grid:
//!
//! | keys | true if |
//! |---|---|
//! | `task`, `better`, `worse` | the score with `better` is above that with `worse` by at least `by` |
//! | `position`, `easier`, `harder` | the score of the task `easier` is above that of `harder` by at least `by` |
//! | `task`, `position`, `drop` | from bin 1 to `bin` the score falls by at least `drop` |
//! | `task`, `position`, `below` and/or `above` | the score is at most `below`, at least `above` |

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Metric;

/// A targets file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Targets {
    /// Published numbers, `[[target]]` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub target: Vec<Target>,
    /// Findings, `[[finding]]` each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finding: Vec<Claim>,
}

impl Targets {
    /// Whether there is nothing to hold results against.
    pub fn is_empty(&self) -> bool {
        self.target.is_empty() && self.finding.is_empty()
    }
}

/// A published number: for the runs of a task and an encoding, the accuracy in each length bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What a run's task must be called; `None` fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What a run's encoding must be called; `None` fits all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// `exact` or `token`.
    pub metric: Metric,
    /// Whose mean was published.
    pub of: Population,
    /// Percent, one for each evaluation bin in order.
    pub percent: Vec<f64>,
    /// How far from it a result may lie and still count as the same, in points.
    pub tolerance: Tolerance,
    /// Lengths of the bins that the numbers are about; runs with others are not compared with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<Vec<[usize; 2]>>,
    /// Paper and table.
    pub source: String,
    /// How the number was come by: size, learning rate, seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Anything else a reader must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Which runs of a cell a number is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Population {
    /// The mean over all seeds.
    #[default]
    All,
    /// The mean over the seeds that learned the training lengths.
    Fitting,
    /// The best seed's score.
    Best,
}

/// Points that a result may be off in each bin; a single number is for every bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Tolerance(pub Vec<f64>);

impl Tolerance {
    /// The tolerance in a bin, from 0.
    pub fn at(&self, bin: usize) -> f64 {
        self.0.get(bin).or(self.0.last()).copied().unwrap_or(0.0)
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(to),
            all => all.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrAll;
        impl<'de> Visitor<'de> for OneOrAll {
            type Value = Tolerance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of points, or a list of one for each bin")
            }
            fn visit_f64<E: de::Error>(self, points: f64) -> Result<Tolerance, E> {
                Ok(Tolerance(vec![points]))
            }
            fn visit_i64<E: de::Error>(self, points: i64) -> Result<Tolerance, E> {
                Ok(Tolerance(vec![points as f64]))
            }
            fn visit_u64<E: de::Error>(self, points: u64) -> Result<Tolerance, E> {
                Ok(Tolerance(vec![points as f64]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tolerance, A::Error> {
                let mut all = Vec::new();
                while let Some(points) = items.next_element()? {
                    all.push(points);
                }
                Ok(Tolerance(all))
            }
        }
        from.deserialize_any(OneOrAll)
    }
}

/// A finding: a direction that results can have or not. Which keys go together is said at the top of this file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The finding in words.
    pub says: String,
    /// What a run's task must be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// What a run's encoding must be called; `*` is every encoding of the grid, one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// The encoding with the higher score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<String>,
    /// The encoding with the lower score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worse: Option<String>,
    /// The task with the higher score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub easier: Option<String>,
    /// The task with the lower score.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harder: Option<String>,
    /// Points by which the score falls from the training lengths to `bin`, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<f64>,
    /// Percent that the score stays at or under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Percent that the score stays at or over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The bin, from 1, which holds the training lengths; the longest if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bin: Option<usize>,
    /// Points by which the higher score is higher, at least; any amount if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<f64>,
    /// Which accuracy; the one that the runs are judged by if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// Whose mean; all seeds' if not given.
    #[serde(default)]
    pub of: Population,
    /// Paper and table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_tolerance_is_one_number_or_one_for_each_bin_and_comes_back_as_it_was() {
        for (text, second) in [("2.5", 2.5), ("3", 3.0), ("[1.0,4.0]", 4.0)] {
            let tolerance: Tolerance = serde_json::from_str(text).unwrap();
            assert_eq!(tolerance.at(1), second);
            let back: Tolerance = serde_json::from_str(&serde_json::to_string(&tolerance).unwrap()).unwrap();
            assert_eq!(back, tolerance);
        }
        assert!(serde_json::from_str::<Tolerance>("\"2\"").unwrap_err().to_string().contains("points"));
    }
}
