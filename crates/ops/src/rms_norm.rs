//! Root-mean-square normalisation over the last dimension (Zhang & Sennrich, 2019).
//!
//! ```text
//! n_i = x_i / √(mean x² + eps)      y_i = n_i w_i      h_i = ∂y_i w_i
//! ∂x_i = (h_i − n_i mean(h n)) / √(mean x² + eps)      ∂w_i = Σ_rows ∂y_i n_i
//! ```

use crate::fused::{Fused, Kept, Sinks, View, apply};
use crate::host::is_fusable;
use crate::layer_norm::check_vector;
use crate::real::Real;
use crate::threads::Team;
use crate::vector::{sum, sum2, vectorised};
use crate::{Result, composed, memory};
use candle_core::{Shape, Tensor};

/// `x / √(mean x² + eps) · weight` over the last dimension; x `(…, D)`, weight `(D)`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    check_vector("rms_norm", "weight", x, weight)?;
    if !is_fusable(x) {
        return composed::rms_norm(x, weight, eps);
    }
    apply(RmsNorm { eps, scales: Kept::default() }, &[&x.contiguous()?, &weight.contiguous()?])
}

struct RmsNorm {
    eps: f64,
    /// 1/√(mean x² + eps) of each row.
    scales: Kept,
}

impl Fused for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let x = &inputs[0];
        let mut y = memory::take(x.shape().elem_count());
        let mut scales = memory::take(x.rows().0);
        let weight = inputs[1].contiguous()?;
        let (d, team) = (weight.len().max(1), Team::of_forward(keep, y.len()));
        let rows = team.rows_at_once(x.rows().0, x.rows().0);
        let pieces =
            y.chunks_mut(rows * d).zip(x.contiguous()?.chunks(rows * d)).zip(scales.chunks_mut(rows));
        team.each(pieces, |((y, x), scales)| forward::<T>(x, weight, self.eps, y, scales));
        if keep {
            self.scales.set(scales);
        }
        Ok((y, x.shape().clone()))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        let (x, weight) = (inputs[0].contiguous()?, inputs[1].contiguous()?);
        let scales = self.scales.get::<T>(self.name())?;
        if let Some(sink) = sinks[1].take() {
            weight_gradient(x, grad, scales, sink.summed());
        }
        if let Some(sink) = sinks[0].take() {
            let (dx, accumulate) = sink.open();
            input_gradient(x, weight, grad, scales, dx, accumulate);
        }
        Ok(())
    }
}

vectorised! {
    fn forward<'a, T, S>(x: &'a [T], weight: &'a [T], eps: f64, y: &'a mut [T], scales: &'a mut [T]) {
        let d = weight.len().max(1);
        let (share, eps) = (T::real(1.0 / d as f64), T::real(eps));
        for ((y, x), kept) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(scales) {
            let scale = T::ONE / (sum(x, |x| x * x) * share + eps).sqrt();
            *kept = scale;
            for (y, (&x, &w)) in y.iter_mut().zip(x.iter().zip(weight)) {
                *y = x * scale * w;
            }
        }
    }
}

vectorised! {
    fn weight_gradient<'a, T, S>(x: &'a [T], grad: &'a [T], scales: &'a [T], dw: &'a mut [T]) {
        let d = dw.len().max(1);
        for ((x, grad), &scale) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(scales) {
            for (dw, (&x, &g)) in dw.iter_mut().zip(x.iter().zip(grad)) {
                *dw += g * (x * scale);
            }
        }
    }
}

vectorised! {
    fn input_gradient<'a, T, S>(
        x: &'a [T],
        weight: &'a [T],
        grad: &'a [T],
        scales: &'a [T],
        dx: &'a mut [T],
        accumulate: bool,
    ) {
        let d = weight.len().max(1);
        let share = T::real(1.0 / d as f64);
        let mut h = vec![T::ZERO; d];
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(scales);
        for (dx, ((x, grad), &scale)) in dx.chunks_exact_mut(d).zip(rows) {
            for (h, (&g, &w)) in h.iter_mut().zip(grad.iter().zip(weight)) {
                *h = g * w;
            }
            // mean(h n) · n, with n = scale · x
            let dot = sum2(&h, x, |h, x| h * x) * scale * scale * share;
            if accumulate {
                for (dx, (&x, &h)) in dx.iter_mut().zip(x.iter().zip(&h)) {
                    *dx += (h - x * dot) * scale;
                }
            } else {
                for (dx, (&x, &h)) in dx.iter_mut().zip(x.iter().zip(&h)) {
                    *dx = (h - x * dot) * scale;
                }
            }
        }
    }
}
