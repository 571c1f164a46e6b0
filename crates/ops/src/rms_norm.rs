//! Root-mean-square normalisation over the last dimension (Zhang & Sennrich, 2019).
//!
//! ```text
//! n_i = x_i / √(mean x² + eps)      y_i = n_i w_i      h_i = ∂y_i w_i
//! ∂x_i = (h_i − n_i mean(h n)) / √(mean x² + eps)      ∂w_i = Σ_rows ∂y_i n_i
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::layer_norm::check_vector;
use crate::real::Real;
use crate::vector::{sum, sum2, vectorised};
use crate::{Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor, WithDType};

/// `x / √(mean x² + eps) · weight` over the last dimension; x `(…, D)`, weight `(D)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    check_vector("rms_norm", "weight", x, weight)?;
    if !is_fusable(x) {
        return composed::rms_norm(x, weight, eps);
    }
    x.contiguous()?.apply_op2(&weight.contiguous()?, RmsNorm { eps })
}

struct RmsNorm {
    eps: f64,
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        by_dtype!("rms_norm", x.dtype(), T => {
            let y = forward::<T>(contiguous(x, xl)?, contiguous(w, wl)?, self.eps);
            Ok((T::to_cpu_storage_owned(y), xl.shape().clone()))
        })
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (hx, hw, hg) = (Host::new(x), Host::new(weight), Host::new(&grad));
        by_dtype!("rms_norm", x.dtype(), T => {
            let [dx, dw] = backward::<T>(hx.slice()?, hw.slice()?, hg.slice()?, self.eps);
            Ok((
                Some(Tensor::from_vec(dx, x.shape(), x.device())?),
                Some(Tensor::from_vec(dw, weight.shape(), x.device())?),
            ))
        })
    }
}

#[inline(always)]
fn scale_of<T: Real>(row: &[T], eps: f64) -> T {
    let mean_square = sum(row, |x| x * x) * T::real(1.0 / row.len() as f64);
    T::ONE / (mean_square + T::real(eps)).sqrt()
}

vectorised! {
    fn forward<'a, T, S>(x: &'a [T], weight: &'a [T], eps: f64) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        let d = weight.len().max(1);
        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let scale = scale_of(x, eps);
            for (y, (&x, &w)) in y.iter_mut().zip(x.iter().zip(weight)) {
                *y = x * scale * w;
            }
        }
        y
    }
}

vectorised! {
    fn backward<'a, T, S>(x: &'a [T], weight: &'a [T], grad: &'a [T], eps: f64) -> [Vec<T>; 2] {
        let d = weight.len().max(1);
        let mut dx = vec![T::ZERO; x.len()];
        let mut dw = vec![T::ZERO; weight.len()];
        let mut h = vec![T::ZERO; d];
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d));
        for (dx, (x, grad)) in dx.chunks_exact_mut(d).zip(rows) {
            let scale = scale_of(x, eps);
            for (h, (&g, &w)) in h.iter_mut().zip(grad.iter().zip(weight)) {
                *h = g * w;
            }
            for (dw, (&x, &g)) in dw.iter_mut().zip(x.iter().zip(grad)) {
                *dw += g * (x * scale);
            }
            // mean(h n) · n, with n = scale · x
            let dot = sum2(&h, x, |h, x| h * x) * scale * scale * T::real(1.0 / d as f64);
            for (dx, (&h, &x)) in dx.iter_mut().zip(h.iter().zip(x)) {
                *dx = (h - x * dot) * scale;
            }
        }
        [dx, dw]
    }
}
