//! A learned key that every query sees, and that belongs to no token.

use attnlab_ops::{AttentionSpec, composed};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::maps::pick;
use super::registry::Form;
use crate::config::{Architecture, ExtraKey};
use crate::error::Result;

pub(super) const KEY: Form = Form {
    name: "extra_key",
    title: "a learned key without a value",
    formula: "A_i = softmax([q_i·k_*, q_i·k_1, …]), v_* = 0; one k_* for each key/value head",
    cost: "one key; holds T×T maps beside a window or a bias of distance",
    effect: "takes the sink's place, without its large activations",
    source: "Gu et al. 2024 (arXiv 2410.10781), K biases; Sun et al. 2024 (arXiv 2402.17762)",
    example: "attention.extra_key = \"key\"\n",
    fused: true,
};

pub(super) const KEY_VALUE: Form = Form {
    name: "extra_key_value",
    title: "a learned key with a learned value",
    formula: "z_i = softmax([q_i·k_*, q_i·k_1, …])·[v_*, v_1, …]; one k_* and v_* for each key/value head",
    cost: "one key; holds T×T maps beside a window or a bias of distance",
    effect: "as without a value",
    source: "Gu et al. 2024 (arXiv 2410.10781), KV biases; Sun et al. 2024 (arXiv 2402.17762)",
    example: "attention.extra_key = \"key_value\"\n",
    fused: true,
};

/// The key of one layer. No encoding turns it or adds to its score, and no window hides it.
pub(super) struct Extra {
    key: Tensor,           // (G, K)
    value: Option<Tensor>, // (G, K)
}

impl Extra {
    pub(super) fn new(a: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let shape = (a.kv_heads(), a.head_width());
        let vb = vb.pp("extra");
        if a.attention.extra_key == ExtraKey::None {
            return Ok(None);
        }
        let init = Init::Randn { mean: 0.0, stdev: 0.02 };
        let key = vb.get_with_hints(shape, "key", init)?;
        let value = match a.attention.extra_key {
            ExtraKey::KeyValue => Some(vb.get_with_hints(shape, "value", init)?),
            _ => None,
        };
        Ok(Some(Self { key, value }))
    }

    /// Keys and values (B, T, G, K) with the extra ones in front.
    pub(super) fn prepend(&self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let (b, _, g, width) = k.dims4()?;
        let value = match &self.value {
            Some(value) => value.clone(),
            None => self.key.zeros_like()?,
        };
        let front = |one: &Tensor, all: &Tensor| -> Result<Tensor> {
            Ok(Tensor::cat(&[&one.reshape((1, 1, g, width))?.broadcast_as((b, 1, g, width))?, all], 1)?)
        };
        Ok((front(&self.key, k)?, front(&value, v)?))
    }

    /// The key's scores, capped, for queries (B, R, H', K') of the query heads `heads`: (B, H', R, 1). `part` says which
    /// dimensions of the key belong to them.
    pub(super) fn scores(
        &self,
        q: &Tensor,
        heads: &[usize],
        group: usize,
        part: usize,
        spec: &AttentionSpec,
    ) -> Result<Tensor> {
        let width = q.dim(3)?;
        let key = self.of_heads(&self.key, heads, group)?.narrow(2, part * width, width)?; // (1, H', K')
        let scores = (q.broadcast_mul(&key.unsqueeze(0)?)?.sum_keepdim(3)? * spec.scale)?; // (B, R, H', 1)
        Ok(composed::softcap(&scores.transpose(1, 2)?.contiguous()?, spec)?)
    }

    /// What the key's weights (B, H, R, 1) of all query heads add to z: (B, R, H, K), or nothing.
    pub(super) fn values(&self, weights: &Tensor, group: usize) -> Result<Option<Tensor>> {
        let Some(value) = &self.value else { return Ok(None) };
        let heads: Vec<usize> = (0..weights.dim(1)?).collect();
        let value = self.of_heads(value, &heads, group)?.unsqueeze(0)?; // (1, 1, H, K)
        Ok(Some(weights.transpose(1, 2)?.broadcast_mul(&value)?))
    }

    /// What each of the query heads reads of (G, K): (1, H', K).
    fn of_heads(&self, x: &Tensor, heads: &[usize], group: usize) -> Result<Tensor> {
        let kv_heads: Vec<usize> = heads.iter().map(|h| h / group).collect();
        Ok(pick(x, 0, &kv_heads)?.unsqueeze(0)?)
    }
}
