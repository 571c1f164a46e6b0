//! One optimiser step over micro-batches.
//!
//! A batch, or each of several of different lengths, is cut into micro-batches small enough for their activations to
//! stay in the cache. They are dealt to a fixed number of lanes; a lane runs its micro-batches in order and sums their
//! gradients, and the lanes' sums are added in order. Threads take whole lanes. How the work is cut and summed depends
//! on the configuration alone, so one thread and sixteen give the same bytes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use attnlab_model::{Dropout, Mlp, ModelConfig, Transformer};
use attnlab_ops::{Gradients, Packs, Parameters, Streams, Tape};
use attnlab_positions::Places;
use attnlab_tasks::Batch;
use candle_core::{DType, Device, Tensor};
use rayon::{ThreadPool, ThreadPoolBuilder};

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
    packs: OnceLock<Arc<Packs>>,
    pool: OnceLock<ThreadPool>,
}

impl StepMemory {
    /// Takes back the gradients of a step that has been made.
    pub fn give_back(&self, gradients: Gradients) {
        lock(&self.sums).push(gradients);
    }

    fn tape(&self, parameters: &Parameters) -> Tape {
        let new = || Tape::new(parameters).with_packs(self.packs(parameters).clone()).recycling();
        lock(&self.tapes).pop().unwrap_or_else(new)
    }

    fn packs(&self, parameters: &Parameters) -> &Arc<Packs> {
        self.packs.get_or_init(|| Arc::new(Packs::new(parameters)))
    }

    /// The threads beside the one that asks. They stay, and with them what they have allocated.
    fn pool(&self, threads: usize) -> Result<&ThreadPool> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool);
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("step {i}"));
        let pool = pool.build().map_err(candle_core::Error::wrap)?;
        Ok(self.pool.get_or_init(|| pool))
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

/// What a step changes of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learns {
    /// Every parameter.
    Everything,
    /// The output head alone, of what the rest makes of the tokens.
    Head,
}

impl Learns {
    /// The parameters of a model that a step changes.
    pub fn of(self, parameters: &Parameters) -> Parameters {
        match self {
            Self::Everything => parameters.clone(),
            Self::Head => parameters.only(|name| name.starts_with("head.")),
        }
    }
}

/// Loss and gradient of a batch.
pub struct TrainingStep<'a> {
    /// The model.
    pub model: &'a Transformer,
    /// Those of its parameters that it learns: [`Learns::of`] all.
    pub parameters: &'a Parameters,
    /// Where dropout masks come from.
    pub streams: Streams,
    /// The loss of tasks that are labelled with sets.
    pub set_loss: SetLoss,
    /// What `parameters` are of the model.
    pub learns: Learns,
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
        self.run_groups(&[(batch, places)], step)
    }

    /// The same over several batches, each of a length of its own, as if they were one.
    pub fn run_groups(&self, groups: &[(&Batch, &Places)], step: u64) -> Result<StepResult> {
        let micro_batches: Vec<Micro<'_>> =
            groups.iter().flat_map(|&(batch, places)| self.micro_batches(batch, places)).collect();
        let lanes = LANES.min(micro_batches.len());
        let labels = groups.iter().map(|(batch, _)| batch.labelled()).sum::<usize>().max(1) as f64;
        self.memory.packs(self.parameters).parameters_changed(); // by the optimiser
        let next = AtomicUsize::new(0);
        let folded = Mutex::new(Folded::default());
        let work = || {
            let mut tape = self.memory.tape(self.parameters);
            loop {
                let lane = next.fetch_add(1, Ordering::Relaxed);
                if lane >= lanes {
                    break;
                }
                let own = micro_batches.iter().enumerate().skip(lane).step_by(lanes);
                let own = own.map(|(micro, batch)| ((step << 20) | micro as u64, batch));
                let sum = self.lane(labels, own, &mut tape);
                lock(&folded).add(lane, sum, self.memory);
            }
            lock(&self.memory.tapes).push(tape);
        };
        match self.threads.clamp(1, LANES) - 1 {
            0 => work(),
            // One call a thread, which no other thread can take over while it waits for work of Candle's.
            helpers => self.memory.pool(helpers)?.in_place_scope(|scope| {
                scope.spawn_broadcast(|_, _| work());
                work();
            }),
        }
        let folded = folded.into_inner().unwrap_or_else(PoisonError::into_inner);
        let no_rows = || Err(candle_core::Error::msg("a batch without rows").into());
        let (loss, gradients) = folded.sum.unwrap_or_else(no_rows)?;
        Ok(StepResult { loss, gradients })
    }

    fn micro_batches<'b>(&self, batch: &'b Batch, places: &'b Places) -> impl Iterator<Item = Micro<'b>> {
        let rows = micro_batch_rows(self.model.config(), batch.len).min(batch.rows).max(1);
        let starts = (0..batch.rows).step_by(rows);
        starts.map(move |start| Micro { batch, places, start, rows: rows.min(batch.rows - start) })
    }

    /// Runs a lane's micro-batches in order, each with the number that its dropout masks are found by, and sums their
    /// losses and gradients.
    fn lane<'b>(
        &self,
        labels: f64,
        micro_batches: impl Iterator<Item = (u64, &'b Micro<'b>)>,
        tape: &mut Tape,
    ) -> Result<(f64, Gradients)> {
        let mut sum = self.memory.sum(self.parameters)?;
        let mut losses = 0.0;
        for (index, micro) in micro_batches {
            let masks = Dropout::new(self.streams, index);
            let feed = Feed::new(micro.batch, micro.start, micro.rows, self.device)?;
            let places = micro.places.slice_rows(micro.start, micro.rows);
            let loss = tape.gradient(&mut sum, || -> Result<Tensor> {
                let hidden = match self.learns {
                    Learns::Everything => feed.hidden(self.model, &places, Some(&masks))?,
                    Learns::Head => feed.features(self.model, &places, Some(&masks))?,
                };
                let logits = feed.logits(self.model, &hidden)?;
                Ok((feed.loss(&logits, self.set_loss)? / labels)?)
            })?;
            losses += loss.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        }
        Ok((losses, sum))
    }
}

/// Some sequences of a batch.
struct Micro<'a> {
    batch: &'a Batch,
    places: &'a Places,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, Details, Mask, Norm};
    use attnlab_ops::{AdamW, AdamWConfig, composed};
    use attnlab_positions::PositionConfig;
    use attnlab_tasks::Labels;
    use rand::Rng as _;

    use super::*;

    /// Losses of training a small model to name the token before.
    fn losses(
        steps: u64,
        rows: usize,
        architecture: &Architecture,
        position: &str,
        threads: usize,
    ) -> Vec<f64> {
        const VOCAB: usize = 17;
        let config = ModelConfig {
            vocab_size: VOCAB,
            n_outputs: VOCAB,
            max_len: 24,
            mask: Mask::Causal,
            position: toml::from_str::<PositionConfig>(&format!("{position} = {{}}")).unwrap(),
            architecture: architecture.clone(),
            details: Details::default(),
        };
        let (streams, parameters) = (Streams::new(4), Parameters::new());
        let model = Transformer::new(&config, parameters.seeded(streams, DType::F32, &Device::Cpu)).unwrap();
        let mut optimizer = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
        let len = 24;
        let memory = StepMemory::default();
        let step = |index| {
            let mut rng = streams.rng("batch", index);
            let tokens: Vec<u32> = (0..rows * len).map(|_| rng.random_range(0..VOCAB as u32)).collect();
            // The token before; the first position has no label.
            let before = |i: usize| if i.is_multiple_of(len) { attnlab_tasks::IGNORE } else { tokens[i - 1] };
            let labels = Labels::Classes((0..rows * len).map(before).collect());
            let batch = Batch { rows, len, tokens, labels };
            let step = TrainingStep {
                model: &model,
                parameters: &parameters,
                streams,
                set_loss: SetLoss::CrossEntropy,
                learns: Learns::Everything,
                threads,
                device: &Device::Cpu,
                memory: &memory,
            };
            let mut result = step.run(&batch, &Places::range(0, len), index).unwrap();
            result.gradients.clip(1.0).unwrap();
            optimizer.step(&result.gradients, 4e-4).unwrap();
            memory.give_back(result.gradients);
            result.loss
        };
        (0..steps).map(step).collect()
    }

    fn small(norm: Norm, mlp: Mlp) -> Architecture {
        Architecture { d_model: 32, n_heads: 4, n_kv_heads: Some(2), norm, mlp, ..Architecture::default() }
    }

    /// At a rate at which they are still learning: once the loss is small, AdamW divides noise by noise and two runs
    /// that differ in the last bit part.
    #[test]
    fn two_hundred_steps_of_the_fused_and_the_composed_forms_have_the_same_losses() {
        for (architecture, position) in [
            (small(Norm::Layer, Mlp::Gelu), "rope"),
            (small(Norm::Rms, Mlp::Swiglu), "alibi"),
            (Architecture { qk_norm: true, tie_embeddings: true, ..small(Norm::Rms, Mlp::Relu) }, "learned"),
        ] {
            let fused = losses(200, 16, &architecture, position, 1);
            let composed = composed::only(|| losses(200, 16, &architecture, position, 1));
            let worst = fused.iter().zip(&composed).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(fused[199] < 0.7 * fused[0], "{position}: nothing was learned");
            assert!(worst < 1e-4, "{position}: losses differ by {worst}");
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        // Few and many micro-batches, too large to be packed and not.
        for (d_model, attention_dropout) in [(256, 0.0), (128, 0.1)] {
            let architecture =
                Architecture { dropout: 0.1, attention_dropout, d_model, ..small(Norm::Layer, Mlp::Gelu) };
            let one = losses(3, 48, &architecture, "sinusoidal", 1);
            for threads in [2, 3, 16] {
                assert_eq!(
                    one,
                    losses(3, 48, &architecture, "sinusoidal", threads),
                    "{threads} threads, {d_model}"
                );
            }
        }
    }

    fn batch(rows: usize, len: usize, index: u64) -> Batch {
        let mut rng = Streams::new(4).rng("batch", index);
        let mut draw = || (0..rows * len).map(|_| rng.random_range(0..7)).collect::<Vec<u32>>();
        Batch { rows, len, tokens: draw(), labels: Labels::Classes(draw()) }
    }

    /// A model of 7 tokens with what it learns.
    fn model(learns: Learns) -> (Transformer, Parameters) {
        let config = ModelConfig {
            vocab_size: 7,
            n_outputs: 7,
            max_len: 24,
            mask: Mask::Causal,
            position: toml::from_str::<PositionConfig>("sinusoidal = {}").unwrap(),
            architecture: Architecture { tie_embeddings: false, ..small(Norm::Layer, Mlp::Gelu) },
            details: Details::default(),
        };
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(4), DType::F32, &Device::Cpu);
        let model = Transformer::new(&config, vb).unwrap();
        (model, learns.of(&parameters))
    }

    /// The loss over batches and the gradient by name.
    fn gradient(learns: Learns, batches: &[Batch], threads: usize) -> (f64, Vec<(String, Tensor)>) {
        let (model, parameters) = model(learns);
        let memory = StepMemory::default();
        let step = TrainingStep {
            model: &model,
            parameters: &parameters,
            streams: Streams::new(4),
            set_loss: SetLoss::CrossEntropy,
            learns,
            threads,
            device: &Device::Cpu,
            memory: &memory,
        };
        let places: Vec<Places> = batches.iter().map(|batch| Places::range(0, batch.len)).collect();
        let groups: Vec<(&Batch, &Places)> = batches.iter().zip(&places).collect();
        let result = step.run_groups(&groups, 0).unwrap();
        let names = parameters.vars().into_iter().map(|(name, _)| name);
        let tensors = result.gradients.tensors().iter().map(|tensor| tensor.copy().unwrap());
        (result.loss, names.zip(tensors).collect())
    }

    fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn the_gradient_of_several_lengths_is_that_of_the_mean_over_all_their_labels() {
        let batches = [batch(6, 3, 0), batch(2, 24, 1), batch(9, 5, 2)];
        let labels = batches.each_ref().map(|batch| batch.labelled() as f64);
        let all: f64 = labels.iter().sum();
        let (loss, together) = gradient(Learns::Everything, &batches, 2);
        let apart = batches.each_ref().map(|one| gradient(Learns::Everything, std::slice::from_ref(one), 1));
        let mean: f64 = apart.iter().zip(labels).map(|((loss, _), n)| loss * n / all).sum();
        assert!((loss - mean).abs() < 1e-6, "{loss} and {mean}");
        for (i, (name, tensor)) in together.iter().enumerate() {
            let weighted =
                apart.iter().zip(labels).map(|((_, tensors), n)| (&tensors[i].1 * (n / all)).unwrap());
            let mean = weighted.reduce(|a, b| (a + b).unwrap()).unwrap();
            let difference = largest_difference(tensor, &mean);
            assert!(difference < 1e-6, "{name}: {difference}");
        }
        for threads in [1, 3, 16] {
            let (other, tensors) = gradient(Learns::Everything, &batches, threads);
            assert_eq!(other.to_bits(), loss.to_bits(), "{threads} threads");
            for ((name, a), (_, b)) in tensors.iter().zip(&together) {
                assert_eq!(largest_difference(a, b), 0.0, "{name}, {threads} threads");
            }
        }
    }

    #[test]
    fn the_gradient_of_the_head_alone_is_the_heads_part_of_the_whole() {
        let batches = [batch(6, 3, 0), batch(2, 24, 1)];
        let (loss, whole) = gradient(Learns::Everything, &batches, 1);
        let (same, head) = gradient(Learns::Head, &batches, 1);
        assert!((loss - same).abs() < 1e-9, "{loss} and {same}");
        let names: Vec<&str> = head.iter().map(|(name, _)| name.as_str()).collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("head.")), "{names:?}");
        for (name, tensor) in &head {
            let (_, of_whole) = whole.iter().find(|(other, _)| other == name).unwrap();
            assert!(largest_difference(tensor, of_whole) < 1e-7, "{name}");
            assert!(
                tensor.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap() > 0.0,
                "{name} is 0"
            );
        }
    }

    #[test]
    fn a_batch_without_rows_is_an_error() {
        let position = toml::from_str::<PositionConfig>("none = {}").unwrap();
        let config = ModelConfig {
            vocab_size: 2,
            n_outputs: 2,
            max_len: 4,
            mask: Mask::Causal,
            position,
            architecture: small(Norm::Layer, Mlp::Gelu),
            details: Details::default(),
        };
        let (streams, parameters) = (Streams::new(0), Parameters::new());
        let model = Transformer::new(&config, parameters.seeded(streams, DType::F32, &Device::Cpu)).unwrap();
        let step = TrainingStep {
            model: &model,
            parameters: &parameters,
            streams,
            set_loss: SetLoss::CrossEntropy,
            learns: Learns::Everything,
            threads: 2,
            device: &Device::Cpu,
            memory: &StepMemory::default(),
        };
        let batch = Batch { rows: 0, len: 4, tokens: Vec::new(), labels: Labels::Classes(Vec::new()) };
        let error = step.run(&batch, &Places::range(0, 4), 0).err().unwrap();
        assert!(error.to_string().contains("without rows"), "{error}");
    }
}
