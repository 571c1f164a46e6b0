//! What the heads look at: attention patterns of a few in-distribution examples, and statistics of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use attnlab_heads::{CapturedHead, HeadStatistics, Mask, captured_statistics, uniform_statistics_of_rows};
use attnlab_hooks::{HookSpec, Plan};
use attnlab_model::Transformer;
use attnlab_ops::{self as ops, Streams};
use attnlab_report::record::HeadScore;
use attnlab_tasks::{Batch, Split, Task};
use candle_core::{Device, Tensor};

use crate::config::Lengths;
use crate::durable;
use crate::error::Result;
use crate::evaluate::lengths_of;

/// Examples that statistics are averaged over.
const STATISTIC_EXAMPLES: usize = 8;
/// Query rows of each example that statistics are averaged over: all, or so many evenly spread. A head's statistics
/// never need its T×T map.
const STATISTIC_QUERIES: usize = 64;
/// Examples whose maps are kept.
const MAP_EXAMPLES: usize = 2;
/// Problems no longer than this are looked at, if there are any.
const LENGTH: usize = 48;
/// Sequences of more tokens have no maps kept: they are for looking at.
const MAP_TOKENS: usize = 512;

/// A model, and examples of its task.
pub(crate) struct Looker<'a> {
    model: &'a Transformer,
    task: &'a dyn Task,
    batch: Batch,
    device: &'a Device,
}

impl<'a> Looker<'a> {
    /// Examples of the longest training length up to [`LENGTH`], or of the shortest, the same at every step.
    pub(crate) fn new(
        model: &'a Transformer,
        task: &'a dyn Task,
        streams: Streams,
        lengths: Lengths,
        device: &'a Device,
    ) -> Result<Self> {
        let lengths = lengths_of(task, lengths, 0);
        let short = lengths.iter().rev().find(|&&length| length <= LENGTH).or(lengths.first());
        let length = short.copied().unwrap_or(LENGTH);
        let batch = task.batch(Split::Test, STATISTIC_EXAMPLES, length, &mut streams.rng("maps", 0))?;
        Ok(Self { model, task, batch, device })
    }

    /// What `spec` captures of the first `examples`.
    fn capture(&self, spec: HookSpec, examples: usize) -> Result<Plan> {
        capture(self.model, &self.tokens(examples)?, spec)
    }

    fn tokens(&self, examples: usize) -> Result<Tensor> {
        let len = self.batch.len;
        Ok(Tensor::from_slice(&self.batch.tokens[..examples * len], (examples, len), self.device)?)
    }

    /// Writes the maps of the first examples, unless they are too long to look at: tensors
    /// `blocks.{l}.attn.hook_pattern` (B, H, T, T) and `input_ids` (B, T), metadata `tokens`, the printed tokens as JSON.
    pub(crate) fn write_maps(&self, path: &Path) -> Result<()> {
        if self.batch.len > MAP_TOKENS {
            return Ok(());
        }
        let plan = self.capture(HookSpec::capture("blocks.*.attn.hook_pattern"), MAP_EXAMPLES)?;
        let mut tensors = HashMap::new();
        for point in plan.capture().points() {
            tensors.insert(point.to_string(), plan.capture().get(point)?.clone());
        }
        let tokens = self.tokens(MAP_EXAMPLES)?.to_dtype(candle_core::DType::I64)?;
        tensors.insert("input_ids".to_string(), tokens);
        let name = |&id: &u32| self.task.vocabulary().get(id as usize).cloned().unwrap_or_default();
        let names: Vec<Vec<String>> = self
            .batch
            .tokens
            .chunks(self.batch.len)
            .take(MAP_EXAMPLES)
            .map(|row| row.iter().map(name).collect())
            .collect();
        let names = serde_json::to_string(&names).map_err(candle_core::Error::wrap)?;
        let metadata = HashMap::from([("tokens".to_string(), names)]);
        let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::wrap)?;
        durable::write(path, &bytes)
    }

    /// Statistics of every head, layer-major, one layer's maps at a time.
    pub(crate) fn statistics(&self) -> Result<Vec<HeadScore>> {
        let mask = if self.task.causal() { Mask::Causal } else { Mask::Full };
        let len = self.batch.len;
        let queries = spread(STATISTIC_QUERIES.min(len), len);
        let uniform = named(&uniform_statistics_of_rows(len, queries.iter().copied(), mask));
        let mut scores = Vec::new();
        for layer in 0..self.model.anatomy().n_layers {
            let spec = HookSpec::capture(format!("blocks.{layer}.attn.hook_pattern")).rows(queries.clone());
            let plan = self.capture(spec, STATISTIC_EXAMPLES)?;
            let score = |head: CapturedHead| HeadScore {
                layer: head.layer,
                head: head.head,
                values: named(&head.statistics),
                uniform: uniform.clone(),
            };
            scores.extend(captured_statistics(plan.capture(), mask)?.into_iter().map(score));
        }
        Ok(scores)
    }
}

/// What `spec` captures of a forward pass over `tokens` (B, T).
pub(crate) fn capture(model: &Transformer, tokens: &Tensor, spec: HookSpec) -> Result<Plan> {
    let mut plan = Plan::resolve(&[spec], &model.anatomy())?;
    ops::without_gradients(|| model.forward(tokens, &mut plan))?;
    plan.finish()?;
    Ok(plan)
}

/// `count` of the rows `0..len`, evenly spread, the last among them.
pub(crate) fn spread(count: usize, len: usize) -> Vec<usize> {
    (0..count).map(|i| (i + 1) * len / count - 1).collect()
}

/// The statistics that are defined, by name.
fn named(statistics: &HeadStatistics) -> BTreeMap<String, f64> {
    let values = statistics.values.iter();
    values.filter_map(|(name, value)| Some((name.to_string(), (*value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn rows_are_spread_over_the_sequence_and_end_with_its_last() {
        assert_eq!(spread(4, 4), [0, 1, 2, 3]);
        assert_eq!(spread(2, 9), [3, 8]);
        assert_eq!(spread(1, 9), [8]);
    }
}
