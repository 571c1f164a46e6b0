//! One optimiser step over micro-batches.
//!
//! A batch is cut into micro-batches small enough for their activations to stay in the cache. They are dealt to a
//! fixed number of lanes; a lane runs its micro-batches in order and sums their gradients, and the lanes' sums are
//! added in order. Threads take whole lanes. How the work is cut and summed depends on the configuration alone, so
//! one thread and sixteen give the same bytes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use attnlab_hooks::NoHooks;
use attnlab_model::{Dropout, Mlp, ModelConfig, Transformer};
use attnlab_ops::{Gradients, Parameters, Streams};
use attnlab_positions::Places;
use attnlab_tasks::Batch;
use candle_core::{DType, Device};

use crate::config::SetLoss;
use crate::error::{Result, RunError};
use crate::feed::Feed;

/// Independent sums of gradients: the most threads that a step can use.
const LANES: usize = 8;

/// Activations of a micro-batch are kept near this many bytes, a core's share of the cache.
const MICRO_BATCH_BYTES: usize = 2 << 20;

/// What a batch gave: the loss, and the gradient of its mean over the labels.
pub struct StepResult {
    /// Mean loss per label, in nats.
    pub loss: f64,
    /// Gradient of that mean.
    pub gradients: Gradients,
}

/// How many sequences of `len` tokens make a micro-batch.
pub fn micro_batch_rows(config: &ModelConfig, len: usize) -> usize {
    let bytes = activation_bytes(config) * len.max(1) as f64;
    ((MICRO_BATCH_BYTES as f64 / bytes) as usize).max(1)
}

/// Bytes kept for the backward pass per token: norms, q k v z and outputs, the MLP twice; logits and their softmax.
pub(crate) fn activation_bytes(config: &ModelConfig) -> f64 {
    let a = &config.architecture;
    let mlp = if a.mlp == Mlp::None { 0 } else { 2 * a.mlp_width() };
    let block = 6 * a.d_model + (2 * a.n_heads + 2 * a.kv_heads()) * a.head_width() + mlp;
    4.0 * (a.n_layers as f64 * block as f64 + 2.0 * config.n_outputs as f64)
}

/// Loss and gradient of one batch. `labels` is their number in the whole batch.
pub struct TrainingStep<'a> {
    /// The model.
    pub model: &'a Transformer,
    /// Its parameters.
    pub parameters: &'a Parameters,
    /// Where dropout masks come from.
    pub streams: Streams,
    /// The loss of tasks that are labelled with sets.
    pub set_loss: SetLoss,
    /// Threads to use.
    pub threads: usize,
    /// Where tensors live.
    pub device: &'a Device,
}

impl TrainingStep<'_> {
    /// Runs forward and backward over the batch. `step` addresses the dropout masks.
    pub fn run(&self, batch: &Batch, places: &Places, step: u64) -> Result<StepResult> {
        let rows = micro_batch_rows(self.model.config(), batch.len).min(batch.rows);
        let count = batch.rows.div_ceil(rows);
        let lanes = LANES.min(count);
        let labels = batch.labelled().max(1) as f64;
        let lane = |lane: usize| -> Result<(f64, Gradients)> {
            let mut sum = None;
            for micro in (lane..count).step_by(lanes) {
                let start = micro * rows;
                let rows = rows.min(batch.rows - start);
                sum = add(sum, self.micro_batch(batch, start, rows, places, step, micro, labels)?)?;
            }
            sum.ok_or_else(no_rows)
        };

        let sum = run_lanes(lanes, self.threads, lane, |sum, result| add(sum, result?))?;
        let (loss, gradients) = sum.ok_or_else(no_rows)?;
        Ok(StepResult { loss, gradients })
    }

    #[expect(clippy::too_many_arguments, reason = "one micro-batch is addressed by all of them")]
    fn micro_batch(
        &self,
        batch: &Batch,
        start: usize,
        rows: usize,
        places: &Places,
        step: u64,
        micro: usize,
        labels: f64,
    ) -> Result<(f64, Gradients)> {
        let masks = Dropout::new(self.streams, (step << 20) | micro as u64);
        let feed = Feed::new(batch, start, rows, self.device)?;
        let logits = feed.logits(self.model, &places.slice_rows(start, rows), Some(&masks), &mut NoHooks)?;
        let loss = (feed.loss(&logits, self.set_loss)? / labels)?;
        let gradients = Gradients::collect(self.parameters, &loss.backward()?)?;
        Ok((loss.to_dtype(DType::F64)?.to_scalar::<f64>()?, gradients))
    }
}

/// A running sum of losses and gradients, and one more.
fn add(
    sum: Option<(f64, Gradients)>,
    (loss, gradients): (f64, Gradients),
) -> Result<Option<(f64, Gradients)>> {
    match sum {
        None => Ok(Some((loss, gradients))),
        Some((losses, mut summed)) => {
            summed.add(&gradients)?;
            Ok(Some((losses + loss, summed)))
        }
    }
}

fn no_rows() -> RunError {
    candle_core::Error::msg("a batch without rows").into()
}

/// Runs `lane(0..lanes)` on at most `threads` threads and folds the results in lane order.
fn run_lanes<T: Send, S>(
    lanes: usize,
    threads: usize,
    lane: impl Fn(usize) -> T + Sync,
    mut fold: impl FnMut(Option<S>, T) -> Result<Option<S>>,
) -> Result<Option<S>> {
    let mut sum = None;
    let threads = threads.clamp(1, lanes.max(1));
    if threads == 1 {
        // One lane's gradients at a time, and not all of them.
        for index in 0..lanes {
            sum = fold(sum, lane(index))?;
        }
        return Ok(sum);
    }
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::with_capacity(lanes));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= lanes {
                break;
            }
            let result = lane(index);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    for (_, result) in done {
        sum = fold(sum, result)?;
    }
    Ok(sum)
}
