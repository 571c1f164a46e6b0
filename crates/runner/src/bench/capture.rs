//! The price of looking: a forward pass alone, with statistics of every head, and with every attention map kept.

use std::hint::black_box;
use std::time::Instant;

use attnlab_heads::{Mask, captured_statistics};
use attnlab_hooks::{HookSpec, NoHooks};
use attnlab_model::Transformer;
use attnlab_ops::{self as ops, Parameters, Streams};
use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use super::size::{Size, SizeResult};
use super::{median, usage};
use crate::error::Result;
use crate::look::{capture, spread};

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// Nothing: logits only.
    Forward,
    /// Every statistic of every head as runs take them: a layer a pass, and no map beyond the rows asked for.
    Statistics,
    /// The whole map of every head of every layer, held together.
    Maps,
}

/// What to measure. Memory is a process's: a second look in it would inherit the first one's peak.
pub struct Capture {
    /// The model and its batch.
    pub size: Size,
    /// What is looked at.
    pub what: What,
    /// Query rows of each sequence that statistics are taken of, evenly spread; all if there are no more.
    pub queries: usize,
    /// Timed looks, after one that is not.
    pub repeats: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct CaptureResult {
    /// The model and its batch.
    #[serde(flatten)]
    pub size: SizeResult,
    /// What was looked at.
    pub what: What,
    /// Query rows of each sequence that were looked at; none of a plain forward pass.
    pub queries: usize,
    /// Timed looks.
    pub repeats: usize,
    /// Median wall-clock time of a look, forward pass included.
    pub ms: f64,
    /// Shortest look.
    pub ms_min: f64,
    /// User and system time of the whole process, over the looks.
    pub ms_cpu: Option<f64>,
    /// Most memory that the process had held before the first look: the weights, as they were drawn.
    pub peak_rss_before_mib: Option<f64>,
    /// Most memory that it has held after the last.
    pub peak_rss_mib: Option<f64>,
}

impl Capture {
    /// Looks at a model of random weights, on the calling thread.
    pub fn run(&self) -> Result<CaptureResult> {
        let streams = Streams::new(self.size.seed);
        let parameters = Parameters::new();
        let model =
            Transformer::new(&self.size.model(), parameters.seeded(streams, DType::F32, &Device::Cpu))?;
        let Size { batch, seq_len, .. } = self.size;
        let tokens = self.size.draw(&mut streams.rng("bench", 0)).tokens;
        let tokens = Tensor::from_vec(tokens, (batch, seq_len), &Device::Cpu)?;
        let rows = match self.what {
            What::Forward => Vec::new(),
            What::Statistics => spread(self.queries.min(seq_len), seq_len),
            What::Maps => (0..seq_len).collect(),
        };
        let look = || match self.what {
            What::Forward => forward(&model, &tokens),
            What::Statistics => statistics(&model, &tokens, &rows),
            What::Maps => maps(&model, &tokens),
        };

        let peak_rss_before_mib = usage::peak_rss_mib();
        look()?;
        let cpu_before = usage::cpu_ms();
        let mut wall = Vec::with_capacity(self.repeats);
        for _ in 0..self.repeats {
            let began = Instant::now();
            look()?;
            wall.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let cpu =
            usage::cpu_ms().zip(cpu_before).map(|(after, before)| (after - before) / self.repeats as f64);
        Ok(CaptureResult {
            size: self.size.result(parameters.count()),
            what: self.what,
            queries: rows.len(),
            repeats: self.repeats,
            ms: median(&mut wall),
            ms_min: wall.first().copied().unwrap_or(f64::NAN),
            ms_cpu: cpu,
            peak_rss_before_mib,
            peak_rss_mib: usage::peak_rss_mib(),
        })
    }
}

fn forward(model: &Transformer, tokens: &Tensor) -> Result<()> {
    black_box(ops::without_gradients(|| model.forward(tokens, &mut NoHooks))?);
    Ok(())
}

fn statistics(model: &Transformer, tokens: &Tensor, rows: &[usize]) -> Result<()> {
    for layer in 0..model.anatomy().n_layers {
        let spec = HookSpec::capture(format!("blocks.{layer}.attn.hook_pattern")).rows(rows.iter().copied());
        let plan = capture(model, tokens, spec)?;
        black_box(captured_statistics(plan.capture(), Mask::Causal)?);
    }
    Ok(())
}

fn maps(model: &Transformer, tokens: &Tensor) -> Result<()> {
    black_box(capture(model, tokens, HookSpec::capture("blocks.*.attn.hook_pattern"))?);
    Ok(())
}
