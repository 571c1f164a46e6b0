//! One training step, timed: the same model, the same counting and the same JSON keys as the PyTorch baseline.

use std::time::Instant;

use attnlab_model::{Architecture, Mask, ModelConfig, Transformer};
use attnlab_ops::{AdamW, AdamWConfig, Parameters, Streams};
use attnlab_positions::PositionConfig;
use attnlab_tasks::{Batch, Labels};
use candle_core::{DType, Device};
use rand::Rng as _;
use serde::Serialize;

use crate::config::SetLoss;
use crate::error::Result;
use crate::step::{StepMemory, TrainingStep};

/// What to time.
pub struct Bench {
    /// The architecture.
    pub architecture: Architecture,
    /// The positional encoding.
    pub position: PositionConfig,
    /// Tokens of a sequence T.
    pub seq_len: usize,
    /// Sequences of a batch B.
    pub batch: usize,
    /// Token ids V.
    pub vocab: usize,
    /// Timed steps.
    pub steps: usize,
    /// Steps before them.
    pub warmup: usize,
    /// Threads.
    pub threads: usize,
    /// Seed of weights and tokens.
    pub seed: u64,
}

/// What was measured. `ms` are milliseconds; `gflop` counts the matrix products of forward and backward
/// ([`ModelConfig::training_flops`]).
#[derive(Clone, Debug, Serialize)]
pub struct BenchResult {
    /// Always `attnlab`.
    #[serde(rename = "impl")]
    pub implementation: &'static str,
    /// D.
    pub d_model: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// T.
    pub seq_len: usize,
    /// B.
    pub batch: usize,
    /// V.
    pub vocab: usize,
    /// The encoding.
    pub position: String,
    /// Threads.
    pub threads: usize,
    /// Trainable scalars.
    pub params: usize,
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
    /// Most memory that the process has held.
    pub peak_rss_mib: Option<f64>,
    /// Loss of the first step.
    pub loss_first: f64,
    /// Loss of the last step.
    pub loss_last: f64,
}

impl Bench {
    /// Trains on one batch of random tokens and random targets, AdamW 1e-3 with weight decay 0.01 on everything.
    pub fn run(&self) -> Result<BenchResult> {
        let config = ModelConfig {
            vocab_size: self.vocab,
            n_outputs: self.vocab,
            max_len: self.seq_len,
            mask: Mask::Causal,
            position: self.position.clone(),
            architecture: self.architecture.clone(),
        };
        let (streams, device) = (Streams::new(self.seed), Device::Cpu);
        let parameters = Parameters::new();
        let model = Transformer::new(&config, parameters.seeded(streams, DType::F32, &device))?;
        let mut optimizer = AdamW::new(&parameters, AdamWConfig::default())?;
        let mut rng = streams.rng("bench", 0);
        let mut draw =
            || (0..self.batch * self.seq_len).map(|_| rng.random_range(0..self.vocab as u32)).collect();
        let (tokens, labels) = (draw(), Labels::Classes(draw()));
        let batch = Batch { rows: self.batch, len: self.seq_len, tokens, labels };

        let memory = StepMemory::default();
        let mut index = 0;
        let mut step = || -> Result<f64> {
            let mut rng = streams.rng("places", index);
            let places = model.position().training_places(batch.rows, batch.len, &mut rng);
            let step = TrainingStep {
                model: &model,
                parameters: &parameters,
                streams,
                set_loss: SetLoss::CrossEntropy,
                threads: self.threads,
                device: &device,
                memory: &memory,
            };
            let result = step.run(&batch, &places, index)?;
            optimizer.step(&result.gradients, 1e-3)?;
            memory.give_back(result.gradients);
            index += 1;
            Ok(result.loss)
        };

        let began = Instant::now();
        let loss_first = step()?;
        let first_step_s = began.elapsed().as_secs_f64();
        let mut loss_last = loss_first;
        for _ in 0..self.warmup {
            loss_last = step()?;
        }
        let cpu_before = usage::cpu_ms();
        let mut wall = Vec::with_capacity(self.steps);
        for _ in 0..self.steps {
            let began = Instant::now();
            loss_last = step()?;
            wall.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let cpu = usage::cpu_ms().zip(cpu_before).map(|(after, before)| (after - before) / self.steps as f64);
        wall.sort_by(f64::total_cmp);
        let ms = median(&wall);
        let gflop = config.training_flops(self.batch, self.seq_len) / 1e9;
        Ok(BenchResult {
            implementation: "attnlab",
            d_model: self.architecture.d_model,
            layers: self.architecture.n_layers,
            heads: self.architecture.n_heads,
            seq_len: self.seq_len,
            batch: self.batch,
            vocab: self.vocab,
            position: self.position.label(),
            threads: self.threads,
            params: parameters.count(),
            steps: self.steps,
            ms_per_step: ms,
            ms_min: wall.first().copied().unwrap_or(f64::NAN),
            ms_cpu_per_step: cpu,
            first_step_s,
            tokens_per_s: ((self.batch * self.seq_len) as f64 / ms * 1e3).round() as u64,
            gflop_per_step: gflop,
            gflops: gflop / ms * 1e3,
            peak_rss_mib: usage::peak_rss_mib(),
            loss_first,
            loss_last,
        })
    }
}

fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

/// What the process has used so far, where the system tells.
#[cfg(unix)]
mod usage {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;

    pub(super) fn cpu_ms() -> Option<f64> {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
        Some((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e3)
    }

    pub(super) fn peak_rss_mib() -> Option<f64> {
        let held = getrusage(UsageWho::RUSAGE_SELF).ok()?.max_rss() as f64;
        // Linux counts in KiB, macOS in bytes.
        Some(if cfg!(target_vendor = "apple") { held / 1048576.0 } else { held / 1024.0 })
    }
}

#[cfg(not(unix))]
mod usage {
    pub(super) fn cpu_ms() -> Option<f64> {
        None
    }

    pub(super) fn peak_rss_mib() -> Option<f64> {
        None
    }
}
