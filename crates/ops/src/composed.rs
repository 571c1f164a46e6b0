//! The same functions from plain differentiable Candle operations.
//!
//! They are the reference in tests, the path on devices other than the CPU, and the way to see or
//! edit the scores and the pattern of attention, which the fused operation never holds.

mod attention;

use crate::fused::with_flag;
use crate::{IGNORE, OpsError, Result, RotaryLayout};
use candle_core::{D, Tensor};
use std::cell::Cell;

pub use attention::{add_bias, attention, mask, pattern, raw_scores, softcap, weighted_values};
pub(crate) use attention::{dropped, scores};

thread_local! {
    static FORCED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f` with the composed form of every operation on this thread, wherever the tensors are: to compare results,
/// and to see what the fused forms are worth.
pub fn only<R>(f: impl FnOnce() -> R) -> R {
    with_flag(&FORCED, f)
}

pub(crate) fn is_forced() -> bool {
    FORCED.get()
}

/// `softmax(x)_i = exp(x_i − max x) / Σ_j exp(x_j − max x)` over the last dimension.
/// A row of nothing but −∞ gives zeros.
#[expect(
    clippy::disallowed_methods,
    reason = "the result does not depend on the shift by the maximum, so neither does its gradient"
)]
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if x.elem_count() == 0 {
        return Ok(x.clone()); // Candle has no maximum of nothing
    }
    let max = x.detach().max_keepdim(D::Minus1)?;
    let lowest = max.eq(f64::NEG_INFINITY)?;
    let max = lowest.where_cond(&max.zeros_like()?, &max)?;
    let exp = x.broadcast_sub(&max)?.exp()?;
    let sum = exp.sum_keepdim(D::Minus1)?;
    let sum = lowest.where_cond(&sum.ones_like()?, &sum)?;
    exp.broadcast_div(&sum)
}

/// `(x − mean x) / √(var x + eps) · weight + bias` over the last dimension (Ba et al., 2016).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normal = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let scaled = normal.broadcast_mul(weight)?;
    match bias {
        Some(bias) => scaled.broadcast_add(bias),
        None => Ok(scaled),
    }
}

/// `x / √(mean x² + eps) · weight` over the last dimension (Zhang & Sennrich, 2019).
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean_square + eps)?.sqrt()?)?.broadcast_mul(weight)
}

/// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks & Gimpel, 2016).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    let inner = ((x * (x.sqr()? * 0.044_715)?)? + x)?;
    let tanh = (inner * (2.0 / std::f64::consts::PI).sqrt())?.tanh()?;
    ((tanh + 1.0)? * 0.5)? * x
}

/// `x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel, 2016).
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    let erf = (x * std::f64::consts::FRAC_1_SQRT_2)?.erf()?;
    ((erf + 1.0)? * 0.5)? * x
}

/// `x / (1 + exp(−x))` (Elfwing et al., 2018).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x / (x.neg()?.exp()? + 1.0)?
}

/// `max(x, 0)`; a NaN stays a NaN.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.lt(0.0)?.where_cond(&x.zeros_like()?, x)
}

/// `x / (1 + exp(−1.702x))` (Hendrycks & Gimpel, 2016).
pub fn quick_gelu(x: &Tensor) -> Result<Tensor> {
    x / ((x * -1.702)?.exp()? + 1.0)?
}

/// `max(x, 0)²`; a NaN stays a NaN.
pub fn relu_squared(x: &Tensor) -> Result<Tensor> {
    let positive = relu(x)?;
    &positive * &positive
}

/// `tanh x`.
pub fn tanh(x: &Tensor) -> Result<Tensor> {
    x.tanh()
}

/// `x Wᵀ + b` with x `(…, In)`, weight `(Out, In)`, bias `(Out)`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (out, inner) = weight.dims2()?;
    let mut dims = x.dims().to_vec();
    if dims.pop() != Some(inner) {
        return Err(OpsError::Shape {
            op: "linear",
            argument: "x",
            found: x.dims().to_vec(),
            expected: format!("(…, {inner})"),
        }
        .into());
    }
    let rows: usize = dims.iter().product();
    dims.push(out);
    let y = x.reshape((rows, inner))?.matmul(&weight.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias)?.reshape(dims),
        None => y.reshape(dims),
    }
}

/// Rows of `table` `(V, D)` by `ids` `(…)` u32: `(…, D)`.
pub fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    let mut dims = ids.dims().to_vec();
    dims.push(table.dim(1)?);
    table.index_select(&ids.flatten_all()?.contiguous()?, 0)?.reshape(dims)
}

/// `Σ_n −log softmax(logits_n)[target_n]` over rows whose target is not [`IGNORE`].
#[expect(
    clippy::disallowed_methods,
    reason = "the result does not depend on the shift by the maximum, so neither does its gradient"
)]
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let host: Vec<u32> = targets.to_vec1()?;
    let rows: Vec<u32> =
        (0u32..).zip(&host).filter_map(|(row, &target)| (target != IGNORE).then_some(row)).collect();
    if rows.is_empty() {
        // Zero, and still a function of the logits: their gradient is zero, not absent.
        return logits.zeros_like()?.mul(logits)?.sum_all();
    }
    let count = rows.len();
    let labels: Vec<u32> = host.into_iter().filter(|&t| t != IGNORE).collect();
    let labels = Tensor::from_vec(labels, (count, 1), logits.device())?;
    let rows = Tensor::from_vec(rows, count, logits.device())?;
    let logits = logits.contiguous()?.index_select(&rows, 0)?; // (N', V)
    let max = logits.detach().max_keepdim(1)?;
    let sum = logits.broadcast_sub(&max)?.exp()?.sum_keepdim(1)?;
    let log_sum = (sum.log()? + max)?; // (N', 1)
    (log_sum - logits.gather(&labels, 1)?)?.sum_all()
}

/// `Σ mask_n (softplus(z_nc) − y_nc z_nc)`, the cross-entropy of independent sigmoids.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor, mask: &Tensor) -> Result<Tensor> {
    // softplus(z) = max(z, 0) + log(1 + exp(−|z|)) never overflows.
    let softplus = (relu(logits)? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    let loss = (softplus - logits.mul(labels)?)?;
    loss.broadcast_mul(&mask.unsqueeze(1)?)?.sum_all()
}

/// `Σ mask_n (σ(z_nc) − y_nc)²`, the loss of Bhattamishra et al. (2020).
pub fn squared_error(logits: &Tensor, labels: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let sigmoid = (logits.neg()?.exp()? + 1.0)?.recip()?;
    let loss = (sigmoid - labels)?.sqr()?;
    loss.broadcast_mul(&mask.unsqueeze(1)?)?.sum_all()
}

/// Rotates the first R dimensions of x `(B, T, H, K)` by angles whose cosines and sines are
/// `(B or 1, T, R/2)` (Su et al., 2021); the rest passes.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, layout: RotaryLayout) -> Result<Tensor> {
    let (b, t, h, k) = x.dims4()?;
    let half = cos.dim(2)?;
    let turned = x.narrow(3, 0, 2 * half)?;
    let cos = cos.unsqueeze(2)?; // (B or 1, T, 1, R/2)
    let sin = sin.unsqueeze(2)?;
    let (first, second) = match layout {
        RotaryLayout::HalfSplit => (turned.narrow(3, 0, half)?, turned.narrow(3, half, half)?),
        RotaryLayout::Interleaved => {
            let pairs = turned.contiguous()?.reshape((b, t, h, half, 2))?;
            (pairs.narrow(4, 0, 1)?.squeeze(4)?, pairs.narrow(4, 1, 1)?.squeeze(4)?)
        }
    };
    let new_first = (first.broadcast_mul(&cos)? - second.broadcast_mul(&sin)?)?;
    let new_second = (first.broadcast_mul(&sin)? + second.broadcast_mul(&cos)?)?;
    let turned = match layout {
        RotaryLayout::HalfSplit => Tensor::cat(&[&new_first, &new_second], 3)?,
        RotaryLayout::Interleaved => {
            Tensor::stack(&[&new_first, &new_second], 4)?.reshape((b, t, h, 2 * half))?
        }
    };
    if 2 * half == k {
        return Ok(turned);
    }
    Tensor::cat(&[&turned, &x.narrow(3, 2 * half, k - 2 * half)?], 3)
}
