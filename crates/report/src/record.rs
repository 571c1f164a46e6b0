//! What a run folder holds, as types: the one contract between whoever writes runs and whoever reads them.
//!
//! ```text
//! <out>/<name>/grid.json                     Grid: what was planned
//! <out>/<name>/results.csv, report.html      made from the runs
//! <out>/<name>/<run-id>/config.toml          the resolved configuration of one run
//!                      /provenance.json      Provenance: where, when, with what (differs between machines)
//!                      /metrics.jsonl        MetricLine, one a logged step
//!                      /eval.json            Evaluation: the end of the run
//!                      /maps/step-000500.safetensors   attention patterns of a few examples
//!                      /checkpoints/step-000500/…
//!                      /DONE                 present when the run has ended, whatever its outcome
//! ```
//! Everything except `provenance.json` is a function of the configuration alone: two runs of one config agree in
//! every byte, on any number of threads, broken and resumed or not.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

mod target;

pub use target::{Claim, Population, Target, Targets, Tolerance};

/// `grid.json`: the runs that a configuration stands for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The experiment's name, which is also the folder's.
    pub name: String,
    /// One sentence of what is asked, from the config.
    #[serde(default)]
    pub description: String,
    /// The keys that vary, in the order of the config, without the seed.
    pub axes: Vec<Axis>,
    /// Every planned run.
    pub runs: Vec<PlannedRun>,
    /// Published numbers and findings to hold the results against.
    #[serde(default, skip_serializing_if = "Targets::is_empty")]
    pub targets: Targets,
}

/// One varying key of a grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// Dotted key, such as `position` or `train.learning_rate`.
    pub key: String,
    /// Its values as people read them, such as `rope` or `0.001`.
    pub values: Vec<String>,
}

/// One run of a grid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// The folder's name.
    pub id: String,
    /// Axis key → value as people read it.
    pub settings: BTreeMap<String, String>,
    /// What the task is called, with its variant.
    pub task: String,
    /// What the positional encoding is called, with its variant.
    pub position: String,
    /// The run's seed.
    pub seed: u64,
    /// What the run is there to guard against; none for a run that is a result itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<ControlKind>,
    /// What makes the task hard, as `attnlab list tasks` calls it: `order`, `control` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How the task is put to the model: `encoder`, `language` or `prefix`; none for a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// A run that is no result but must come out as foretold, or the comparison it belongs to shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlKind {
    /// Trained on the labels of other strings of the same length: must stay at chance.
    ShuffledLabels,
    /// Only the head is trained, on random features: must not solve what attention has to learn.
    Frozen,
    /// Known to solve the task: must do so.
    Positive,
}

/// Which accuracy a verdict goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Share of sequences whose every label is right.
    #[default]
    Exact,
    /// Share of labels that are right.
    Token,
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// Optimiser steps done.
    pub step: u64,
    /// Mean loss per label of this step's batch, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The step's learning rate.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    #[serde(deserialize_with = "number")]
    pub gradient_norm: f64,
    /// Labels trained on so far.
    pub labels: u64,
    /// In-distribution accuracy, on the steps that measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
    /// The longest length that this step could draw, if the config has it grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<usize>,
}

/// Accuracies of a set of sequences, each in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Share of labels that are right.
    pub token: f64,
    /// Share of sequences whose every label is right.
    pub exact: f64,
}

impl Accuracy {
    /// The one that `metric` names.
    pub fn of(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Exact => self.exact,
            Metric::Token => self.token,
        }
    }
}

/// `eval.json`: what a finished run came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The run's folder name.
    pub id: String,
    /// How the run ended.
    pub outcome: Outcome,
    /// Optimiser steps done.
    pub steps: u64,
    /// Trainable scalars.
    pub parameters: u64,
    /// The accuracy that the outcome goes by.
    pub metric: Metric,
    /// Shortest and longest training length.
    pub train_lengths: (usize, usize),
    /// Scores by length bin, in the config's order; the first holds the training lengths.
    pub bins: Vec<BinScore>,
    /// Scores by length, ascending: the curve.
    pub curve: Vec<LengthScore>,
    /// What each head looked at, on in-distribution examples; layer-major.
    #[serde(default)]
    pub heads: Vec<HeadScore>,
}

/// A range of lengths as people read it: `1–32`, and `64` for a single one.
pub fn range(from: usize, to: usize) -> String {
    if from == to { from.to_string() } else { format!("{from}–{to}") }
}

/// The same in a sentence: `lengths 1–32`, `length 64`.
pub fn lengths(from: usize, to: usize) -> String {
    format!("{} {}", if from == to { "length" } else { "lengths" }, range(from, to))
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Outcome {
    /// Learned the training lengths and holds in every bin.
    Generalises,
    /// Learned the training lengths; no bin beyond them was tested, so nothing is known of longer inputs.
    Fits,
    /// Learned the training lengths and falls below the bar beyond them.
    FailsToGeneralise {
        /// The shortest tested length from which on accuracy stays below the bar.
        breaks_at: usize,
    },
    /// Never reached the bar on the training lengths.
    FailsToTrain,
    /// A trivial predictor passes the bar on the training lengths, so that passing it shows nothing.
    Trivial,
    /// Loss or gradient was not finite.
    Diverged {
        /// The step at which it happened.
        step: u64,
        /// What was seen.
        reason: String,
    },
    /// A task without a right answer (text), or a model that was not trained: losses only, no verdict.
    Measured,
}

/// As people read it after a run's name.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Generalises => f.write_str("generalises"),
            Outcome::Fits => f.write_str("fits the training lengths, not tested beyond"),
            Outcome::FailsToGeneralise { breaks_at } => {
                write!(f, "fails to generalise from length {breaks_at}")
            }
            Outcome::FailsToTrain => f.write_str("fails to train"),
            Outcome::Trivial => f.write_str("trivial: a constant answer passes the bar"),
            Outcome::Diverged { step, reason } => write!(f, "diverged at step {step}: {reason}"),
            Outcome::Measured => f.write_str("measured"),
        }
    }
}

/// Scores of one length bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BinScore {
    /// Shortest length.
    pub from: usize,
    /// Longest length.
    pub to: usize,
    /// Sequences scored.
    pub sequences: usize,
    /// How many of them differ: a unary language has one string a length.
    pub distinct: usize,
    /// Mean loss per label, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// What the model scores.
    pub accuracy: Accuracy,
    /// The best of the trivial predictors (computed from samples, never nominal).
    pub chance: Accuracy,
    /// What the model scores if each input's symbols are shuffled and its labels are not; where that makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permuted: Option<Accuracy>,
    /// Share of the sequences that were trained on; only within the training lengths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<f64>,
    /// What the model scores on the sequences that were not, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Accuracy>,
    /// Scores of some labels by themselves, where the task tells them apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartScore>,
}

/// Scores of a part of a bin's labels, such as those that copying decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartScore {
    /// What the task calls the part.
    pub name: String,
    /// Labels scored.
    pub labels: u64,
    /// Mean loss per label, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The mean loss of who knows how the task is drawn, in nats: what is above it is the model's own.
    pub least: f64,
    /// Share of the labels that are right.
    pub accuracy: f64,
}

/// Scores at one length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LengthScore {
    /// The task's length.
    pub length: usize,
    /// Sequences scored.
    pub sequences: usize,
    /// Mean loss per label, in nats.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// What the model scores.
    pub accuracy: Accuracy,
    /// The best of the trivial predictors at this length.
    pub chance: Accuracy,
}

/// What one head looked at, as numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadScore {
    /// Layer, from 0.
    pub layer: usize,
    /// Head, from 0.
    pub head: usize,
    /// Statistic → value; the names are those of `attnlab list metrics`.
    #[serde(deserialize_with = "numbers")]
    pub values: BTreeMap<String, f64>,
    /// The same statistics if every visible key got the same weight.
    #[serde(deserialize_with = "numbers")]
    pub uniform: BTreeMap<String, f64>,
}

/// `provenance.json`: what the numbers were made with. The only file that differs between machines and times.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of attnlab in the last session.
    pub version: String,
    /// Git revision that the program of the last session was built from, with `+` when modified; none outside git.
    pub revision: Option<String>,
    /// Operating system and processor architecture.
    pub machine: String,
    /// Hash of the resolved configuration, hexadecimal.
    pub config_hash: String,
    /// One entry each time the run was started or resumed.
    pub sessions: Vec<Session>,
}

/// One stretch of work on a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Version of attnlab.
    #[serde(default)]
    pub version: String,
    /// Git revision that the program was built from, as in [`Provenance`].
    #[serde(default)]
    pub revision: Option<String>,
    /// Seconds since 1970 when it began.
    pub started: u64,
    /// Wall-clock seconds it took, if it came to an end.
    pub seconds: Option<f64>,
    /// The step it began from.
    pub from_step: u64,
}

/// JSON has no NaN or infinity: serde_json writes them as `null`, and the line of a diverged step must still be read.
fn number<'de, D: Deserializer<'de>>(input: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or(f64::NAN))
}

fn numbers<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(input)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_outcome_has_one_kind_in_files_and_one_wording_for_people() {
        let diverged = Outcome::Diverged { step: 7, reason: "loss is NaN".into() };
        let cases = [
            (Outcome::Generalises, "generalises", "generalises"),
            (Outcome::Fits, "fits", "fits the training lengths, not tested beyond"),
            (
                Outcome::FailsToGeneralise { breaks_at: 41 },
                "fails_to_generalise",
                "fails to generalise from length 41",
            ),
            (Outcome::FailsToTrain, "fails_to_train", "fails to train"),
            (Outcome::Trivial, "trivial", "trivial: a constant answer passes the bar"),
            (diverged, "diverged", "diverged at step 7: loss is NaN"),
            (Outcome::Measured, "measured", "measured"),
        ];
        for (outcome, kind, words) in cases {
            let written = serde_json::to_value(&outcome).unwrap();
            assert_eq!(written["kind"], kind);
            assert_eq!(serde_json::from_value::<Outcome>(written).unwrap(), outcome);
            assert_eq!(outcome.to_string(), words);
        }
    }
}
