//! Layer normalisation over the last dimension (Ba et al., 2016).
//!
//! ```text
//! n_i = (x_i − mean x) / √(var x + eps)        y_i = n_i w_i + b_i
//! h_i = ∂y_i w_i
//! ∂x_i = (h_i − mean h − n_i mean(h n)) / √(var x + eps)
//! ∂w_i = Σ_rows ∂y_i n_i      ∂b_i = Σ_rows ∂y_i
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::real::Real;
use crate::vector::{sum, sum2, vectorised};
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};

/// `(x − mean) / √(var + eps) · weight + bias` over the last dimension; x `(…, D)`, weight and
/// bias `(D)`. The variance is the biased one.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    check_vector("layer_norm", "weight", x, weight)?;
    if let Some(bias) = bias {
        check_vector("layer_norm", "bias", x, bias)?;
    }
    if !is_fusable(x) {
        return composed::layer_norm(x, weight, bias, eps);
    }
    let x = x.contiguous()?;
    let weight = weight.contiguous()?;
    let op = LayerNorm { eps };
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, op),
        None => x.apply_op2(&weight, op),
    }
}

/// Checks that `vector` has the length of x's last dimension.
pub(crate) fn check_vector(
    op: &'static str,
    argument: &'static str,
    x: &Tensor,
    vector: &Tensor,
) -> Result<()> {
    let d = x.dims().last().copied();
    if d.is_some() && d == vector.dims().first().copied() && vector.rank() == 1 {
        return Ok(());
    }
    Err(OpsError::Shape {
        op,
        argument,
        found: vector.dims().to_vec(),
        expected: format!("(D), the last dimension of x {:?}", x.dims()),
    }
    .into())
}

struct LayerNorm {
    eps: f64,
}

impl LayerNorm {
    fn forward(
        &self,
        (x, layout): (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        by_dtype!("layer_norm", x.dtype(), T => {
            let bias = bias.map(|(s, l)| contiguous::<T>(s, l)).transpose()?;
            let weight = contiguous::<T>(weight.0, weight.1)?;
            let y = forward::<T>(contiguous(x, layout)?, weight, bias, self.eps);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn backward(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Tensor; 3]> {
        let grad = grad.contiguous()?;
        let (hx, hw, hg) = (Host::new(x), Host::new(weight), Host::new(&grad));
        by_dtype!("layer_norm", x.dtype(), T => {
            let [dx, dw, db] = backward::<T>(hx.slice()?, hw.slice()?, hg.slice()?, self.eps);
            Ok([
                Tensor::from_vec(dx, x.shape(), x.device())?,
                Tensor::from_vec(dw, weight.shape(), x.device())?,
                Tensor::from_vec(db, weight.shape(), x.device())?,
            ])
        })
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.backward(x, weight, grad)?;
        Ok((Some(dx), Some(dw), Some(db)))
    }
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm without bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward((x, xl), (w, wl), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.backward(x, weight, grad)?;
        Ok((Some(dx), Some(dw)))
    }
}

/// Mean and 1/√(var + eps) of a row; the variance from centred values, in a second pass.
#[inline(always)]
fn moments<T: Real>(row: &[T], eps: f64) -> (T, T) {
    let share = T::real(1.0 / row.len() as f64);
    let mean = sum(row, |x| x) * share;
    let variance = sum(row, |x| (x - mean) * (x - mean)) * share;
    (mean, T::ONE / (variance + T::real(eps)).sqrt())
}

vectorised! {
    fn forward<'a, T, S>(
        x: &'a [T],
        weight: &'a [T],
        bias: Option<&'a [T]>,
        eps: f64,
    ) -> Vec<T> {
        let mut y = vec![T::ZERO; x.len()];
        let d = weight.len().max(1);
        for (y, x) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, scale) = moments(x, eps);
            for (y, (&x, &w)) in y.iter_mut().zip(x.iter().zip(weight)) {
                *y = (x - mean) * scale * w;
            }
            if let Some(bias) = bias {
                for (y, &b) in y.iter_mut().zip(bias) {
                    *y += b;
                }
            }
        }
        y
    }
}

vectorised! {
    fn backward<'a, T, S>(x: &'a [T], weight: &'a [T], grad: &'a [T], eps: f64) -> [Vec<T>; 3] {
        let d = weight.len().max(1);
        let share = T::real(1.0 / d as f64);
        let mut dx = vec![T::ZERO; x.len()];
        let mut dw = vec![T::ZERO; weight.len()];
        let mut db = vec![T::ZERO; weight.len()];
        let mut n = vec![T::ZERO; d];
        let mut h = vec![T::ZERO; d];
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d));
        for (dx, (x, grad)) in dx.chunks_exact_mut(d).zip(rows) {
            let (mean, scale) = moments(x, eps);
            for (n, &x) in n.iter_mut().zip(x) {
                *n = (x - mean) * scale;
            }
            for (h, (&g, &w)) in h.iter_mut().zip(grad.iter().zip(weight)) {
                *h = g * w;
            }
            for ((dw, db), (&n, &g)) in dw.iter_mut().zip(&mut db).zip(n.iter().zip(grad)) {
                *dw += g * n;
                *db += g;
            }
            let mean_h = sum(&h, |h| h) * share;
            let mean_hn = sum2(&h, &n, |h, n| h * n) * share;
            for (dx, (&h, &n)) in dx.iter_mut().zip(h.iter().zip(&n)) {
                *dx = (h - mean_h - n * mean_hn) * scale;
            }
        }
        [dx, dw, db]
    }
}
