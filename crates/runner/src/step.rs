//! One optimiser step over micro-batches.
//!
//! A batch is cut into micro-batches small enough for their activations to stay in the cache. They are dealt to a
//! fixed number of lanes; a lane runs its micro-batches in order and sums their gradients, and the lanes' sums are
//! added in order. Threads take whole lanes. How the work is cut and summed depends on the configuration alone, so
//! one thread and sixteen give the same bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use attnlab_hooks::NoHooks;
use attnlab_model::{Dropout, Mlp, ModelConfig, Transformer};
use attnlab_ops::{Gradients, Parameters, Streams, Tape};
use attnlab_positions::Places;
use attnlab_tasks::Batch;
use candle_core::{DType, Device, Tensor};

use crate::config::SetLoss;
use crate::error::Result;
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

/// The memory of training steps, used again from one to the next.
#[derive(Default)]
pub struct StepMemory {
    tapes: Mutex<Vec<Tape>>,
    sums: Mutex<Vec<Gradients>>,
}

impl StepMemory {
    /// Takes back the gradients of a step that has been made.
    pub fn give_back(&self, gradients: Gradients) {
        lock(&self.sums).push(gradients);
    }

    fn tape(&self, parameters: &Parameters) -> Tape {
        lock(&self.tapes).pop().unwrap_or_else(|| Tape::new(parameters))
    }

    fn sum(&self, parameters: &Parameters) -> Result<Gradients> {
        match lock(&self.sums).pop() {
            Some(mut sum) => {
                sum.clear();
                Ok(sum)
            }
            None => Ok(Gradients::none(parameters)?),
        }
    }
}

/// Loss and gradient of a batch.
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
    /// What earlier steps allocated.
    pub memory: &'a StepMemory,
}

impl TrainingStep<'_> {
    /// Runs forward and backward over the batch. `step` addresses the dropout masks.
    pub fn run(&self, batch: &Batch, places: &Places, step: u64) -> Result<StepResult> {
        let rows = micro_batch_rows(self.model.config(), batch.len).min(batch.rows);
        let count = batch.rows.div_ceil(rows);
        let lanes = LANES.min(count);
        let labels = batch.labelled().max(1) as f64;
        let next = AtomicUsize::new(0);
        let folded = Mutex::new(Folded::default());
        let work = || {
            let mut tape = self.memory.tape(self.parameters);
            loop {
                let lane = next.fetch_add(1, Ordering::Relaxed);
                if lane >= lanes {
                    break;
                }
                let micro_batches = (lane..count).step_by(lanes).map(|micro| Micro {
                    index: (step << 20) | micro as u64,
                    start: micro * rows,
                    rows: rows.min(batch.rows - micro * rows),
                });
                let sum = self.lane(batch, places, labels, micro_batches, &mut tape);
                lock(&folded).add(lane, sum, self.memory);
            }
            lock(&self.memory.tapes).push(tape);
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads.clamp(1, lanes.max(1)) {
                scope.spawn(work);
            }
            work();
        });
        let folded = folded.into_inner().unwrap_or_else(PoisonError::into_inner);
        let no_rows = || Err(candle_core::Error::msg("a batch without rows").into());
        let (loss, gradients) = folded.sum.unwrap_or_else(no_rows)?;
        Ok(StepResult { loss, gradients })
    }

    /// Runs a lane's micro-batches in order and sums their losses and gradients.
    fn lane(
        &self,
        batch: &Batch,
        places: &Places,
        labels: f64,
        micro_batches: impl Iterator<Item = Micro>,
        tape: &mut Tape,
    ) -> Result<(f64, Gradients)> {
        let mut sum = self.memory.sum(self.parameters)?;
        let mut losses = 0.0;
        for micro in micro_batches {
            let masks = Dropout::new(self.streams, micro.index);
            let feed = Feed::new(batch, micro.start, micro.rows, self.device)?;
            let places = places.slice_rows(micro.start, micro.rows);
            let loss = tape.gradient(&mut sum, || -> Result<Tensor> {
                let logits = feed.logits(self.model, &places, Some(&masks), &mut NoHooks)?;
                Ok((feed.loss(&logits, self.set_loss)? / labels)?)
            })?;
            losses += loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
        Ok((losses, sum))
    }
}

/// Some sequences of a batch.
struct Micro {
    /// Where its dropout masks are found.
    index: u64,
    start: usize,
    rows: usize,
}

/// The sum over the lanes, in lane order. A lane that ends before those that come before it has to wait.
#[derive(Default)]
struct Folded {
    sum: Option<Result<(f64, Gradients)>>,
    next: usize,
    waiting: BTreeMap<usize, Result<(f64, Gradients)>>,
}

impl Folded {
    fn add(&mut self, lane: usize, result: Result<(f64, Gradients)>, memory: &StepMemory) {
        self.waiting.insert(lane, result);
        while let Some(result) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.sum = Some(match (self.sum.take(), result) {
                (None, first) => first,
                (Some(Ok((losses, mut sum))), Ok((loss, gradients))) => {
                    let added = sum.add(&gradients);
                    memory.give_back(gradients);
                    added.map(|()| (losses + loss, sum)).map_err(Into::into)
                }
                // The first lane to fail speaks for the step.
                (Some(Err(error)), _) | (Some(Ok(_)), Err(error)) => Err(error),
            });
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is pushed and popped is whole, even if a thread panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
