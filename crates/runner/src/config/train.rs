//! The `[train]` table.

use attnlab_ops::{AdamWConfig, LearningRate, Schedule};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::lengths::{self, Lengths};

/// How a model is trained. Every field has the default shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Shortest and longest problem length trained on: `[1, 32]`, each as likely as any other.
    #[serde(deserialize_with = "lengths::read")]
    pub lengths: Lengths,
    /// Lengths in a step: 1. Its sequences are shared out evenly among so many groups, each of a length drawn by itself;
    /// the loss is the mean over the labels of all of them.
    #[serde(skip_serializing_if = "is_one")]
    pub lengths_per_batch: usize,
    /// Ranges within `lengths` and how often each is drawn from, such as `[{ lengths = [1, 10], weight = 3.0 },
    /// { lengths = [1, 40], weight = 1.0 }]`: a length is drawn evenly from a range that is drawn by weight. Together
    /// they reach from the shortest to the longest of `lengths`. Default: `lengths` alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mixture: Vec<Share>,
    /// Lengths that grow in the course of training, such as `{ from = 8, steps = 1000 }`: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<Curriculum>,
    /// Optimiser steps: 1000. With 0 the model is looked at and scored as it was drawn.
    pub steps: usize,
    /// Sequences in a step: 64.
    pub batch_size: usize,
    /// What is minimised where a task's labels are sets, `cross_entropy` or `squared_error`: `cross_entropy`.
    /// It changes nothing for tasks labelled with classes, which are always trained by cross-entropy.
    pub set_loss: SetLoss,
    /// Highest learning rate: 0.001.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises to it: 0.
    pub warmup: usize,
    /// Shape of the decay after the warm-up, `constant`, `linear` or `cosine`: `linear`.
    pub schedule: Schedule,
    /// Where the decay ends, as a fraction of the highest rate: 0.
    pub floor: f64,
    /// AdamW's decoupled weight decay: 0.01.
    pub weight_decay: f64,
    /// AdamW's decay of the mean of gradients: 0.9.
    pub beta1: f64,
    /// AdamW's decay of the mean of squared gradients: 0.999.
    pub beta2: f64,
    /// Added to AdamW's denominator, at least f32's smallest normal number, 1.18e-38: 1e-8.
    pub eps: f64,
    /// Whether biases and norm weights decay too, as in PyTorch: true.
    pub decay_vectors: bool,
    /// Gradients longer than this (global L2 norm) are shortened to it: 1. `None`, written `inf`, never clips.
    #[serde(with = "norm_bound")]
    pub clip_norm: Option<f64>,
    /// Stop early once the in-distribution accuracy reaches this, looked at every `eval_every` steps: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<f64>,
    /// Steps between two lines of the metrics: 10. 0 is only where something else asks for one.
    pub log_every: usize,
    /// Steps between two measurements of the in-distribution accuracy: 100. 0 is only at the end.
    pub eval_every: usize,
    /// Steps between two checkpoints: 100. 0 is only at the end.
    pub checkpoint_every: usize,
    /// Keep every checkpoint and not the newest only: false.
    pub keep_checkpoints: bool,
    /// Steps after which attention maps are saved, 0 being before the first: `[]`.
    #[serde(deserialize_with = "steps")]
    pub map_steps: Vec<usize>,
    /// Save attention maps after the last step, whichever it is: true.
    pub map_at_end: bool,
}

/// A range of lengths that is drawn from with some weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Shortest and longest length of the range.
    #[serde(deserialize_with = "lengths::read")]
    pub lengths: Lengths,
    /// How often it is drawn from, in proportion to the other weights.
    pub weight: f64,
}

/// A longest length that grows: at step t, counted from 0, lengths up to `from` + (longest − `from`) · min(1, t / `steps`),
/// rounded down, are drawn. What a mixture draws of lengths beyond is left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Curriculum {
    /// The longest length of the first step.
    pub from: usize,
    /// Steps after which every length is drawn.
    pub steps: usize,
}

impl Curriculum {
    /// The longest length that step `step`, counted from 0, draws on the way to `longest`.
    pub fn longest(&self, step: u64, longest: usize) -> usize {
        let steps = self.steps.max(1) as u128;
        let grown = longest.saturating_sub(self.from) as u128 * u128::from(step).min(steps) / steps;
        self.from + grown as usize
    }
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

/// The loss of a set: a yes or no for each output, independently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetLoss {
    /// Binary cross-entropy of each output's sigmoid.
    #[default]
    CrossEntropy,
    /// (σ(logit) − label)² of each output, as Bhattamishra et al. 2020 (arXiv 2009.11264) train.
    SquaredError,
}

impl Default for TrainConfig {
    fn default() -> Self {
        let adamw = AdamWConfig::default();
        Self {
            lengths: [1, 32],
            lengths_per_batch: 1,
            mixture: Vec::new(),
            curriculum: None,
            steps: 1000,
            batch_size: 64,
            set_loss: SetLoss::CrossEntropy,
            learning_rate: 1e-3,
            warmup: 0,
            schedule: Schedule::Linear,
            floor: 0.0,
            weight_decay: adamw.weight_decay,
            beta1: adamw.beta1,
            beta2: adamw.beta2,
            eps: adamw.eps,
            decay_vectors: adamw.decay_vectors,
            clip_norm: Some(1.0),
            stop_at: None,
            log_every: 10,
            eval_every: 100,
            checkpoint_every: 100,
            keep_checkpoints: false,
            map_steps: Vec::new(),
            map_at_end: true,
        }
    }
}

impl TrainConfig {
    /// The optimiser's constants.
    pub fn adamw(&self) -> AdamWConfig {
        AdamWConfig {
            beta1: self.beta1,
            beta2: self.beta2,
            eps: self.eps,
            weight_decay: self.weight_decay,
            decay_vectors: self.decay_vectors,
        }
    }

    /// The learning rate as a function of the step.
    pub fn learning_rate(&self) -> LearningRate {
        LearningRate {
            peak: self.learning_rate,
            warmup: self.warmup,
            total: self.steps,
            schedule: self.schedule,
            floor: self.floor,
        }
    }
}

/// TOML has no "none": a bound that never binds is infinite.
mod norm_bound {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(bound: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        bound.unwrap_or(f64::INFINITY).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        let bound = f64::deserialize(deserializer)?;
        Ok((bound != f64::INFINITY).then_some(bound))
    }
}

/// Reads step numbers, and says where the end is asked for.
fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<usize>, D::Error> {
    struct Step(usize);

    impl<'de> Deserialize<'de> for Step {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(Number).map(Step)
        }
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = usize;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a step number, 0 or more (the last step's maps are `map_at_end = true`)")
        }

        fn visit_i64<E: Error>(self, step: i64) -> Result<usize, E> {
            usize::try_from(step).map_err(|_| E::invalid_value(Unexpected::Signed(step), &self))
        }

        fn visit_u64<E: Error>(self, step: u64) -> Result<usize, E> {
            usize::try_from(step).map_err(|_| E::invalid_value(Unexpected::Unsigned(step), &self))
        }
    }

    Vec::<Step>::deserialize(deserializer).map(|steps| steps.into_iter().map(|step| step.0).collect())
}
