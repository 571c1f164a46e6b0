//! The T×T map of attention, from plain differentiable Candle ops: for chosen query rows, one stage at a time.

use attnlab_ops::{AttentionSpec, DistanceBias};
use candle_core::{D, Tensor};

use crate::error::Result;

/// Computes maps whose queries are `rows` and whose keys are 0..`keys`.
pub(super) struct Maps<'a> {
    pub(super) spec: &'a AttentionSpec,
    pub(super) rows: &'a [usize],
    pub(super) keys: usize,
}

impl Maps<'_> {
    /// scale · q·kᵀ: (B, R, H, K), (B, T, H, K) → (B, H, R, T).
    pub(super) fn raw_scores(&self, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let q = q.transpose(1, 2)?.contiguous()?; // (B, H, R, K)
        let k = k.transpose(1, 2)?.contiguous()?; // (B, H, T, K)
        Ok((q.matmul(&k.t()?)? * self.spec.scale)?)
    }

    /// The bias of `heads` laid out over rows and keys: (H', R, T).
    pub(super) fn by_distance(&self, bias: &DistanceBias, heads: &[usize]) -> Result<Tensor> {
        let last = bias.values.dim(1)? as i64 - 1;
        let columns: Vec<u32> = self
            .pairs()
            // A causal bias has no column for keys after the query; they are masked, so any column serves.
            .map(|(i, j)| (i as i64 - j as i64 - bias.first).clamp(0, last) as u32)
            .collect();
        let columns = Tensor::from_vec(columns, self.rows.len() * self.keys, bias.values.device())?;
        let shape = (heads.len(), self.rows.len(), self.keys);
        Ok(pick(&bias.values, 0, heads)?.index_select(&columns, 1)?.reshape(shape)?)
    }

    /// scores + bias, where there is one.
    pub(super) fn biased(&self, scores: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        match bias {
            Some(bias) => Ok(scores.broadcast_add(bias)?),
            None => Ok(scores),
        }
    }

    /// −∞ wherever the query may not see the key.
    pub(super) fn masked(&self, scores: &Tensor) -> Result<Tensor> {
        if !self.spec.causal && self.spec.window.is_none() {
            return Ok(scores.clone());
        }
        let hidden: Vec<u8> = self.pairs().map(|(i, j)| u8::from(!self.sees(i, j))).collect();
        let hidden = Tensor::from_vec(hidden, (self.rows.len(), self.keys), scores.device())?;
        let nothing = Tensor::new(f32::NEG_INFINITY, scores.device())?.to_dtype(scores.dtype())?;
        let hidden = hidden.broadcast_as(scores.shape())?;
        Ok(hidden.where_cond(&nothing.broadcast_as(scores.shape())?, scores)?)
    }

    fn sees(&self, query: usize, key: usize) -> bool {
        let near = self.spec.window.is_none_or(|w| query.abs_diff(key) < w);
        near && (!self.spec.causal || key <= query)
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.rows.iter().flat_map(|&i| (0..self.keys).map(move |j| (i, j)))
    }
}

/// pattern·v: (B, H, R, T), (B, T, H, K) → (B, R, H, K).
pub(super) fn weighted_values(pattern: &Tensor, v: &Tensor) -> Result<Tensor> {
    let v = v.transpose(1, 2)?.contiguous()?; // (B, H, T, K)
    Ok(pattern.matmul(&v)?.transpose(1, 2)?.contiguous()?)
}

/// Repeats each key/value head for the query heads that it serves: (B, T, G, K) → (B, T, H, K).
pub(super) fn share_among_group(x: &Tensor, n_heads: usize) -> Result<Tensor> {
    let (b, t, g, k) = x.dims4()?;
    if g == n_heads {
        return Ok(x.clone());
    }
    Ok(x.unsqueeze(D::Minus2)?.broadcast_as((b, t, g, n_heads / g, k))?.reshape((b, t, n_heads, k))?)
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
