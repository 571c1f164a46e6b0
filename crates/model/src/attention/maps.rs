//! The T×T map of attention, stage by stage, from plain differentiable Candle ops: for chosen query rows only.

use attnlab_ops::{AttentionSpec, DistanceBias};
use candle_core::Tensor;

use crate::error::Result;

/// Maps whose queries are `rows` of a sequence of `len` tokens and whose keys are all of it.
pub(super) struct Maps<'a> {
    pub(super) spec: &'a AttentionSpec,
    pub(super) rows: &'a [usize],
    pub(super) len: usize,
}

impl Maps<'_> {
    /// The bias of `heads`, laid out over rows and keys: (H', R, T).
    pub(super) fn by_distance(&self, bias: &DistanceBias, heads: &[usize]) -> Result<Tensor> {
        let last = bias.values.dim(1)? as i64 - 1;
        let pairs = self.rows.iter().flat_map(|&i| (0..self.len).map(move |j| (i, j)));
        // A causal bias has no column for keys after the query; they are masked, so any column serves.
        let column = |(i, j): (usize, usize)| (i as i64 - j as i64 - bias.first).clamp(0, last) as u32;
        let columns: Vec<u32> = pairs.map(column).collect();
        let columns = Tensor::from_vec(columns, self.rows.len() * self.len, bias.values.device())?;
        let shape = (heads.len(), self.rows.len(), self.len);
        Ok(pick(&bias.values, 0, heads)?.index_select(&columns, 1)?.reshape(shape)?)
    }

    /// scores + bias where there is one, −∞ wherever the query may not see the key: (B, H, R, T).
    pub(super) fn finish(&self, scores: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let scores = match bias {
            Some(bias) => scores.broadcast_add(bias)?,
            None => scores.clone(),
        };
        let mut visible = vec![0u8; self.rows.len() * self.len];
        for (row, keys) in self.rows.iter().zip(visible.chunks_mut(self.len.max(1))) {
            let (begin, end) = self.spec.visible(*row, self.len, self.len);
            keys[begin..end].fill(1);
        }
        let visible = Tensor::from_vec(visible, (self.rows.len(), self.len), scores.device())?;
        let hidden = Tensor::new(f32::NEG_INFINITY, scores.device())?.to_dtype(scores.dtype())?;
        let visible = visible.broadcast_as(scores.shape())?;
        Ok(visible.where_cond(&scores, &hidden.broadcast_as(scores.shape())?)?)
    }
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
