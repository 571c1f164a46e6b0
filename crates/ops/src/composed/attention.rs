//! Attention from plain Candle operations, in steps that can be looked at and edited.

use super::softmax;
use crate::attention::check;
use crate::{AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, OpsError, Result};
use candle_core::{D, Tensor};

/// `scale · q kᵀ` with q `(B, Tq, H, K)` and k `(B, Tk, G, K)`: `(B, H, Tq, Tk)`.
pub fn raw_scores(q: &Tensor, k: &Tensor, scale: f64) -> Result<Tensor> {
    let keys = per_query_head(k, q.dim(2)?)?; // (B, H, Tk, K)
    let queries = q.transpose(1, 2)?.contiguous()?; // (B, H, Tq, K)
    queries.matmul(&keys.t()?)? * scale
}

/// `cap · tanh(scores / cap)` if the spec has a cap, else the scores themselves.
pub fn softcap(scores: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    match spec.softcap {
        Some(cap) => (scores / cap)?.tanh()? * cap,
        None => Ok(scores.clone()),
    }
}

/// Adds `values[h, (i − j) − first]` to scores `(B, H, Tq, Tk)`, with i the row + (Tk − Tq) and
/// j the column. Distances that `spec` hides need no value in the table.
pub fn add_bias(scores: &Tensor, bias: Option<&DistanceBias>, spec: &AttentionSpec) -> Result<Tensor> {
    let Some(bias) = bias else {
        return Ok(scores.clone());
    };
    let (_, h, tq, tk) = scores.dims4()?;
    bias.check(h, tq, tk, spec)?;
    let last = bias.values.dim(1)? as i64 - 1;
    let mut index = Vec::with_capacity(tq * tk);
    for row in 0..tq {
        let i = (row + tk) as i64 - tq as i64;
        // Hidden distances may lie outside the table; whatever they read is masked afterwards.
        index.extend((0..tk).map(|j| (i - j as i64 - bias.first).clamp(0, last) as u32));
    }
    let index = Tensor::from_vec(index, tq * tk, scores.device())?;
    let values = bias.values.to_dtype(scores.dtype())?.contiguous()?;
    scores.broadcast_add(&values.index_select(&index, 1)?.reshape((1, h, tq, tk))?)
}

/// Puts −∞ where `spec` hides the key from the query, scores being `(B, H, Tq, Tk)`.
pub fn mask(scores: &Tensor, spec: &AttentionSpec) -> Result<Tensor> {
    let (_, _, tq, tk) = scores.dims4()?;
    if !spec.causal && spec.window.is_none() {
        return Ok(scores.clone());
    }
    let mut visible = vec![0u8; tq * tk];
    for row in 0..tq {
        let (begin, end) = spec.visible(row, tq, tk);
        if let Some(keys) = visible.get_mut(row * tk + begin..row * tk + end) {
            keys.fill(1);
        }
    }
    let visible = Tensor::from_vec(visible, (1, 1, tq, tk), scores.device())?;
    let hidden =
        Tensor::full(f64::NEG_INFINITY, scores.shape(), scores.device())?.to_dtype(scores.dtype())?;
    visible.broadcast_as(scores.shape())?.where_cond(scores, &hidden)
}

/// `P v` with pattern `(B, H, Tq, Tk)` and v `(B, Tk, G, K)`: `(B, Tq, H, K)`.
pub fn weighted_values(pattern: &Tensor, v: &Tensor) -> Result<Tensor> {
    let values = per_query_head(v, pattern.dim(1)?)?; // (B, H, Tk, K)
    pattern.contiguous()?.matmul(&values)?.transpose(1, 2)?.contiguous()
}

/// Softmax of scores `(B, H, Tq, Tk)` over the keys and the option to attend to nothing, if there is one, whose own
/// weight is left out. A row of nothing but −∞ gives zeros.
#[expect(
    clippy::disallowed_methods,
    reason = "the result does not depend on the shift by the maximum, so neither does its gradient"
)]
pub fn pattern(scores: &Tensor, null: Option<Null<'_>>) -> Result<Tensor> {
    let Some(null) = null else {
        return softmax(scores);
    };
    if scores.elem_count() == 0 {
        return Ok(scores.clone()); // Candle has no maximum of nothing
    }
    let h = scores.dim(1)?;
    let null = match null {
        Null::Zero => Tensor::zeros((1, h, 1, 1), scores.dtype(), scores.device())?,
        Null::Learned(logits) => logits.to_dtype(scores.dtype())?.reshape((1, h, 1, 1))?,
    };
    let max = scores.detach().max_keepdim(D::Minus1)?.broadcast_maximum(&null.detach())?; // (B, H, Tq, 1)
    let lowest = max.eq(f64::NEG_INFINITY)?;
    let max = lowest.where_cond(&max.zeros_like()?, &max)?;
    let exp = scores.broadcast_sub(&max)?.exp()?;
    let sum = (exp.sum_keepdim(D::Minus1)? + null.broadcast_sub(&max)?.exp()?)?;
    let sum = lowest.where_cond(&sum.ones_like()?, &sum)?;
    exp.broadcast_div(&sum)
}

/// `softmax(mask(scale · q kᵀ + bias)) v`: `(B, Tq, H, K)` (Vaswani et al., 2017), with a soft cap, a null option and
/// dropout if they are asked for.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    extras: &Extras<'_>,
    spec: &AttentionSpec,
) -> Result<Tensor> {
    check(q, k, v, extras, spec)?;
    let pattern = pattern(&scores(q, k, extras, spec)?, extras.null)?;
    weighted_values(&dropped(&pattern, extras.dropout)?, v)
}

/// What the pattern is made of: scaled, capped, biased, masked `(B, H, Tq, Tk)`.
pub(crate) fn scores(q: &Tensor, k: &Tensor, extras: &Extras<'_>, spec: &AttentionSpec) -> Result<Tensor> {
    let scores = softcap(&raw_scores(q, k, spec.scale)?, spec)?;
    mask(&add_bias(&scores, extras.bias, spec)?, spec)
}

/// The pattern with dropout, if there is one.
pub(crate) fn dropped(pattern: &Tensor, dropout: Option<AttentionDropout>) -> Result<Tensor> {
    match dropout {
        Some(dropout) => pattern * dropout.factors(pattern.dims4()?, pattern.dtype(), pattern.device())?,
        None => Ok(pattern.clone()),
    }
}

/// `(B, T, G, K)` to `(B, H, T, K)`: query head h reads key/value head ⌊h / (H/G)⌋.
fn per_query_head(x: &Tensor, h: usize) -> Result<Tensor> {
    let (b, t, g, k) = x.dims4()?;
    let x = x.transpose(1, 2)?; // (B, G, T, K)
    if g == h {
        return x.contiguous();
    }
    if g == 0 || !h.is_multiple_of(g) {
        return Err(OpsError::Shape {
            op: "attention",
            argument: "k, v",
            found: vec![b, t, g, k],
            expected: format!("a number of heads that divides the {h} query heads"),
        }
        .into());
    }
    x.unsqueeze(2)?.broadcast_as((b, g, h / g, t, k))?.contiguous()?.reshape((b, h, t, k))
}
