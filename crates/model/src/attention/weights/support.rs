//! Which keys have weight at all, for forms whose weights have exact zeros: a constant for the gradient.

use candle_core::{D, Tensor};

use super::on_host;
use crate::error::Result;

/// The support of every row: (B, H, R, T) of ones and zeros. `choose` is given the visible scores of a row in descending
/// order and says how many of them have weight; of equal scores the earlier key goes first.
pub(super) fn support(scores: &Tensor, choose: impl Fn(&[f64]) -> usize) -> Result<Tensor> {
    let columns = scores.dim(D::Minus1)?.max(1);
    let values = on_host(scores)?;
    let mut chosen = vec![0f64; values.len()];
    for (row, chosen) in values.chunks(columns).zip(chosen.chunks_mut(columns)) {
        let mut order: Vec<usize> = (0..row.len()).filter(|&j| row[j] > f64::NEG_INFINITY).collect();
        order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let sorted: Vec<f64> = order.iter().map(|&j| row[j]).collect();
        for &j in order.iter().take(choose(&sorted)) {
            chosen[j] = 1.0;
        }
    }
    let chosen = Tensor::from_vec(chosen, scores.shape(), &candle_core::Device::Cpu)?;
    Ok(chosen.to_dtype(scores.dtype())?.to_device(scores.device())?)
}

/// Scores less the largest of their row, 0 where the support is empty: these forms do not see the shift, and small numbers
/// are precise.
#[expect(
    clippy::disallowed_methods,
    reason = "the result does not depend on the shift, so neither does its gradient"
)]
pub(super) fn shifted(scores: &Tensor, support: &Tensor) -> Result<Tensor> {
    if scores.elem_count() == 0 {
        return Ok(scores.clone()); // Candle has no maximum of nothing
    }
    let inside = support.gt(0.0)?.where_cond(scores, &scores.zeros_like()?)?;
    let max = support.gt(0.0)?.where_cond(&scores.detach(), &(scores.zeros_like()? + f64::NEG_INFINITY)?)?;
    let max = max.max_keepdim(D::Minus1)?;
    let max = max.eq(f64::NEG_INFINITY)?.where_cond(&max.zeros_like()?, &max)?;
    Ok((inside.broadcast_sub(&max)? * support)?)
}
