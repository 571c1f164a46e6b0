//! One training step, timed.

use std::time::Instant;

use attnlab_ops::composed;
use serde::Serialize;

use super::rig::Rig;
use super::size::{Size, SizeResult};
use super::{median, peak, usage};
use crate::error::Result;

/// What to time.
pub struct Train {
    /// The model and its batch.
    pub size: Size,
    /// Timed steps.
    pub steps: usize,
    /// Steps before them.
    pub warmup: usize,
    /// Threads.
    pub threads: usize,
    /// Whether the composed form of every operation runs, on one thread whatever `threads` is: what the fused forms
    /// are worth.
    pub composed: bool,
}

/// What was measured. `ms` are milliseconds; `gflop` counts the matrix products of forward and backward
/// ([`attnlab_model::ModelConfig::training_flops`]).
#[derive(Clone, Debug, Serialize)]
pub struct TrainResult {
    /// The model and its batch.
    #[serde(flatten)]
    pub size: SizeResult,
    /// Threads.
    pub threads: usize,
    /// Timed steps.
    pub steps: usize,
    /// Median wall-clock time of a step.
    pub ms_per_step: f64,
    /// Shortest step.
    pub ms_min: f64,
    /// User and system time of the whole process, over the steps.
    pub ms_cpu_per_step: Option<f64>,
    /// Time of the very first step.
    pub first_step_s: f64,
    /// B·T over the median.
    pub tokens_per_s: u64,
    /// Counted operations of a step.
    pub gflop_per_step: f64,
    /// Those over the median.
    pub gflops: f64,
    /// What a large dense product reaches on one thread, measured right after the steps.
    pub peak_gflops: f64,
    /// `gflops` over that peak times the threads.
    pub peak_share: f64,
    /// Most memory that the process has held until the last step.
    pub peak_rss_mib: Option<f64>,
    /// Loss of the first step.
    pub loss_first: f64,
    /// Loss of the last step.
    pub loss_last: f64,
}

impl Train {
    /// Trains on one batch of random tokens and random targets, AdamW 1e-3 with weight decay 0.01 on everything.
    pub fn run(&self) -> Result<TrainResult> {
        if self.composed { composed::only(|| self.time(1)) } else { self.time(self.threads) }
    }

    fn time(&self, threads: usize) -> Result<TrainResult> {
        let mut rig = Rig::new(&self.size, threads)?;
        let began = Instant::now();
        let loss_first = rig.step()?;
        let first_step_s = began.elapsed().as_secs_f64();
        let mut loss_last = loss_first;
        for _ in 0..self.warmup {
            loss_last = rig.step()?;
        }
        let cpu_before = usage::cpu_ms();
        let mut wall = Vec::with_capacity(self.steps);
        for _ in 0..self.steps {
            let began = Instant::now();
            loss_last = rig.step()?;
            wall.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let cpu = usage::cpu_ms().zip(cpu_before).map(|(after, before)| (after - before) / self.steps as f64);
        // Before the peak is looked for, whose matrices are larger than the activations of a small model.
        let peak_rss_mib = usage::peak_rss_mib();
        let peak_gflops = peak::gemm_gflops()?;

        let Size { seq_len, batch, .. } = self.size;
        let ms = median(&mut wall);
        let gflop = self.size.model().training_flops(batch, seq_len) / 1e9;
        let gflops = gflop / ms * 1e3;
        Ok(TrainResult {
            size: self.size.result(rig.params()),
            threads,
            steps: self.steps,
            ms_per_step: ms,
            ms_min: wall.first().copied().unwrap_or(f64::NAN),
            ms_cpu_per_step: cpu,
            first_step_s,
            tokens_per_s: ((batch * seq_len) as f64 / ms * 1e3).round() as u64,
            gflop_per_step: gflop,
            gflops,
            peak_gflops,
            peak_share: gflops / (peak_gflops * threads as f64),
            peak_rss_mib,
            loss_first,
            loss_last,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::Architecture;

    use super::*;

    const BASELINE: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/bench/pytorch_baseline.py"));

    /// The keyword arguments of the baseline's `json.dumps(dict(…))`.
    fn keys_of_the_baseline() -> Vec<&'static str> {
        let (_, printed) = BASELINE.split_once("json.dumps(dict(").unwrap();
        let mut keys = Vec::new();
        let (mut depth, mut word) = (0, 0);
        for (at, letter) in printed.char_indices() {
            match letter {
                '(' => depth += 1,
                ')' if depth == 0 => break,
                ')' => depth -= 1,
                '=' if depth == 0 => keys.push(printed[word..at].trim()),
                ',' if depth == 0 => word = at + 1,
                _ => {}
            }
        }
        keys
    }

    #[test]
    fn the_keys_are_those_of_the_pytorch_baseline() {
        let size = Size {
            architecture: Architecture { d_model: 8, n_layers: 1, n_heads: 2, ..Architecture::default() },
            position: serde_json::from_str(r#"{ "rope": {} }"#).unwrap(),
            seq_len: 4,
            batch: 2,
            vocab: 5,
            seed: 0,
        };
        let result = Train { size, steps: 1, warmup: 0, threads: 1, composed: false }.run().unwrap();
        let result = serde_json::to_value(&result).unwrap();
        let keys = keys_of_the_baseline();
        assert!(keys.contains(&"impl") && keys.contains(&"loss_last") && keys.len() > 20, "{keys:?}");
        // What only PyTorch has to choose.
        let theirs = ["torch", "attn", "optim", "compile"];
        for key in keys.into_iter().filter(|key| !theirs.contains(key)) {
            assert!(result.get(key).is_some_and(|value| !value.is_null()), "{key} is not in {result}");
        }
    }
}
