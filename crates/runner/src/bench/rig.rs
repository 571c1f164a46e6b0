//! A model that trains on one batch.

use attnlab_model::Transformer;
use attnlab_ops::{AdamW, AdamWConfig, Parameters, Streams};
use attnlab_tasks::Batch;
use candle_core::{DType, Device};

use super::size::Size;
use crate::config::SetLoss;
use crate::error::Result;
use crate::feed::sequences;
use crate::step::{Learns, StepMemory, TrainingStep};

/// Everything that a step needs, in memory: forward, backward, and AdamW 1e-3 with weight decay 0.01 on everything.
pub(super) struct Rig {
    model: Transformer,
    parameters: Parameters,
    optimizer: AdamW,
    streams: Streams,
    batch: Batch,
    memory: StepMemory,
    threads: usize,
    index: u64,
}

impl Rig {
    pub(super) fn new(size: &Size, threads: usize) -> Result<Self> {
        let (streams, parameters) = (Streams::new(size.seed), Parameters::new());
        let model = Transformer::new(&size.model(), parameters.seeded(streams, DType::F32, &Device::Cpu))?;
        let optimizer = AdamW::new(&parameters, AdamWConfig::default())?;
        let batch = size.draw(&mut streams.rng("bench", 0));
        let memory = StepMemory::default();
        Ok(Self { model, parameters, optimizer, streams, batch, memory, threads, index: 0 })
    }

    /// Trainable scalars.
    pub(super) fn params(&self) -> usize {
        self.parameters.count()
    }

    /// One step; the loss before it.
    pub(super) fn step(&mut self) -> Result<f64> {
        let mut rng = self.streams.rng("places", self.index);
        let places = self.model.position().training_places(&sequences(&self.batch), &mut rng);
        let step = TrainingStep {
            model: &self.model,
            parameters: &self.parameters,
            streams: self.streams,
            set_loss: SetLoss::CrossEntropy,
            learns: Learns::Everything,
            threads: self.threads,
            device: &Device::Cpu,
            memory: &self.memory,
        };
        let result = step.run(&self.batch, &places, self.index)?;
        self.optimizer.step(&result.gradients, 1e-3)?;
        self.memory.give_back(result.gradients);
        self.index += 1;
        Ok(result.loss)
    }
}
