//! The T×T map of attention, stage by stage, from plain differentiable Candle ops: for chosen query rows only.

use attnlab_ops::{AttentionSpec, DistanceBias, composed};
use candle_core::Tensor;

use crate::error::Result;

/// Maps whose queries are `rows` of `queries` tokens, the last of `keys` tokens.
pub(super) struct Maps<'a> {
    pub(super) spec: &'a AttentionSpec,
    pub(super) rows: &'a [usize],
    pub(super) queries: usize,
    pub(super) keys: usize,
}

impl Maps<'_> {
    /// n_i of each row: how many keys it may see.
    pub(super) fn seen(&self) -> Vec<usize> {
        seen(self.spec, self.rows.iter().copied(), self.queries, self.keys)
    }

    /// The bias of `heads`, laid out over rows and keys: (H', R, T).
    pub(super) fn by_distance(&self, bias: &DistanceBias, heads: &[usize]) -> Result<Tensor> {
        let last = bias.values.dim(1)? as i64 - 1;
        let before = self.keys as i64 - self.queries as i64;
        let pairs = self.rows.iter().flat_map(|&i| (0..self.keys).map(move |j| (i, j)));
        // A causal bias has no column for keys after the query; they are masked, so any column serves.
        let column =
            |(i, j): (usize, usize)| (i as i64 + before - j as i64 - bias.first).clamp(0, last) as u32;
        let columns: Vec<u32> = pairs.map(column).collect();
        let columns = Tensor::from_vec(columns, self.rows.len() * self.keys, bias.values.device())?;
        let shape = (heads.len(), self.rows.len(), self.keys);
        Ok(pick(&bias.values, 0, heads)?.index_select(&columns, 1)?.reshape(shape)?)
    }

    /// cap(scores) + biases, −∞ wherever the query may not see the key: (B, H, R, T).
    pub(super) fn finish(&self, scores: &Tensor, biases: &[Tensor]) -> Result<Tensor> {
        let mut scores = composed::softcap(scores, self.spec)?;
        for bias in biases {
            scores = scores.broadcast_add(bias)?;
        }
        let mut visible = vec![0u8; self.rows.len() * self.keys];
        for (row, keys) in self.rows.iter().zip(visible.chunks_mut(self.keys.max(1))) {
            let (begin, end) = self.spec.visible(*row, self.queries, self.keys);
            keys[begin..end].fill(1);
        }
        let visible = Tensor::from_vec(visible, (self.rows.len(), self.keys), scores.device())?;
        let hidden = Tensor::new(f32::NEG_INFINITY, scores.device())?.to_dtype(scores.dtype())?;
        let visible = visible.broadcast_as(scores.shape())?;
        Ok(visible.where_cond(&scores, &hidden.broadcast_as(scores.shape())?)?)
    }
}

/// How many of `keys` keys each of the rows may see.
pub(super) fn seen(
    spec: &AttentionSpec,
    rows: impl Iterator<Item = usize>,
    queries: usize,
    keys: usize,
) -> Vec<usize> {
    let count = |row| {
        let (begin, end) = spec.visible(row, queries, keys);
        end - begin
    };
    rows.map(count).collect()
}

/// The slices `indices` of dimension `dim`.
pub(super) fn pick(x: &Tensor, dim: usize, indices: &[usize]) -> Result<Tensor> {
    if indices.iter().copied().eq(0..x.dim(dim)?) {
        return Ok(x.clone());
    }
    let ids: Vec<u32> = indices.iter().map(|&i| i as u32).collect();
    let ids = Tensor::from_vec(ids, indices.len(), x.device())?;
    Ok(x.contiguous()?.index_select(&ids, dim)?)
}
