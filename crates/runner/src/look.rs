//! What the heads look at: attention patterns of a few in-distribution examples, and statistics of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use attnlab_heads::{CapturedHead, HeadStatistics, Mask, captured_statistics};
use attnlab_hooks::{HookSpec, Plan};
use attnlab_model::Transformer;
use attnlab_ops::Streams;
use attnlab_report::record::HeadScore;
use attnlab_tasks::{Batch, Split, Task};
use candle_core::{Device, Tensor};

use crate::config::Lengths;
use crate::durable;
use crate::error::Result;
use crate::evaluate::lengths_of;

/// Examples that statistics are averaged over.
const STATISTIC_ROWS: usize = 16;
/// Examples whose maps are kept.
const MAP_ROWS: usize = 2;
/// Longest problem that maps are made of: they are for looking at.
const MAP_LENGTH: usize = 48;

/// A model, and examples of its task.
pub(crate) struct Looker<'a> {
    model: &'a Transformer,
    task: &'a dyn Task,
    batch: Batch,
    device: &'a Device,
}

impl<'a> Looker<'a> {
    /// Examples of the longest training length up to [`MAP_LENGTH`], the same at every step.
    pub(crate) fn new(
        model: &'a Transformer,
        task: &'a dyn Task,
        streams: Streams,
        lengths: Lengths,
        device: &'a Device,
    ) -> Result<Self> {
        let lengths = lengths_of(task, lengths, 0);
        let short = lengths.iter().rev().find(|&&length| length <= MAP_LENGTH).or(lengths.first());
        let length = short.copied().unwrap_or(MAP_LENGTH);
        let batch = task.batch(Split::Test, STATISTIC_ROWS, length, &mut streams.rng("maps", 0))?;
        Ok(Self { model, task, batch, device })
    }

    /// Captures every layer's pattern, (rows, H, T, T), of the first `rows` examples.
    fn look(&self, rows: usize) -> Result<Plan> {
        let every = HookSpec::capture("blocks.*.attn.hook_pattern");
        let mut plan = Plan::resolve(&[every], &self.model.anatomy())?;
        self.model.forward(&self.tokens(rows)?, &mut plan)?;
        plan.finish()?;
        Ok(plan)
    }

    fn tokens(&self, rows: usize) -> Result<Tensor> {
        let len = self.batch.len;
        Ok(Tensor::from_slice(&self.batch.tokens[..rows * len], (rows, len), self.device)?)
    }

    /// Writes the maps of the first examples: tensors `blocks.{l}.attn.hook_pattern` (B, H, T, T) and `input_ids`
    /// (B, T), metadata `tokens`, the printed tokens as JSON.
    pub(crate) fn write_maps(&self, path: &Path) -> Result<()> {
        let plan = self.look(MAP_ROWS)?;
        let mut tensors = HashMap::new();
        for point in plan.capture().points() {
            tensors.insert(point.to_string(), plan.capture().get(point)?.clone());
        }
        let tokens = self.tokens(MAP_ROWS)?.to_dtype(candle_core::DType::I64)?;
        tensors.insert("input_ids".to_string(), tokens);
        let name = |&id: &u32| self.task.vocabulary().get(id as usize).cloned().unwrap_or_default();
        let names: Vec<Vec<String>> = self
            .batch
            .tokens
            .chunks(self.batch.len)
            .take(MAP_ROWS)
            .map(|row| row.iter().map(name).collect())
            .collect();
        let names = serde_json::to_string(&names).map_err(candle_core::Error::wrap)?;
        let metadata = HashMap::from([("tokens".to_string(), names)]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::wrap)?;
        durable::write(path, &bytes)
    }

    /// Statistics of every head, layer-major.
    pub(crate) fn statistics(&self) -> Result<Vec<HeadScore>> {
        let mask = if self.task.causal() { Mask::Causal } else { Mask::Full };
        let uniform = named(&attnlab_heads::uniform_statistics(self.batch.len, mask));
        let heads = captured_statistics(self.look(STATISTIC_ROWS)?.capture(), mask)?;
        let score = |head: CapturedHead| HeadScore {
            layer: head.layer,
            head: head.head,
            values: named(&head.statistics),
            uniform: uniform.clone(),
        };
        Ok(heads.into_iter().map(score).collect())
    }
}

/// The statistics that are defined, by name.
fn named(statistics: &HeadStatistics) -> BTreeMap<String, f64> {
    let values = statistics.values.iter();
    values.filter_map(|(name, value)| Some((name.to_string(), (*value)?))).collect()
}
