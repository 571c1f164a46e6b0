//! Layer normalisation over the last dimension (Ba et al., 2016).
//!
//! ```text
//! n_i = (x_i − mean x) / √(var x + eps)        y_i = n_i w_i + b_i
//! h_i = ∂y_i w_i
//! ∂x_i = (h_i − mean h − n_i mean(h n)) / √(var x + eps)
//! ∂w_i = Σ_rows ∂y_i n_i      ∂b_i = Σ_rows ∂y_i
//! ```

use crate::fused::{Fused, Kept, Sinks, View, apply};
use crate::host::is_fusable;
use crate::linear::column_sums;
use crate::real::Real;
use crate::threads::Team;
use crate::vector::{sum, sum2, vectorised};
use crate::{OpsError, Result, composed, memory};
use candle_core::{Shape, Tensor};

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
    let op = LayerNorm { eps, moments: Kept::default() };
    match bias {
        Some(bias) => apply(op, &[&x, &weight, &bias.contiguous()?]),
        None => apply(op, &[&x, &weight]),
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
    /// Mean and 1/√(var + eps) of each row, `(rows, 2)`.
    moments: Kept,
}

impl Fused for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let (x, weight) = (&inputs[0], inputs[1].contiguous()?);
        let bias = inputs.get(2).map(View::contiguous).transpose()?;
        let mut y = memory::take(x.shape().elem_count());
        let mut moments = memory::take(2 * x.rows().0);
        let (d, team) = (weight.len().max(1), Team::of_forward(keep, y.len()));
        let rows = team.rows_at_once(x.rows().0, x.rows().0);
        let pieces = y.chunks_mut(rows * d).zip(x.contiguous()?.chunks(rows * d));
        team.each(pieces.zip(moments.as_chunks_mut().0.chunks_mut(rows)), |((y, x), moments)| {
            forward::<T>(x, weight, bias, self.eps, y, moments);
        });
        if keep {
            self.moments.set(moments);
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
        let (moments, _) = self.moments.get::<T>(self.name())?.as_chunks::<2>();
        if let Some(sink) = sinks.get_mut(2).and_then(Option::take) {
            let (db, accumulate) = sink.open();
            column_sums(grad, db, accumulate);
        }
        if let Some(sink) = sinks[1].take() {
            weight_gradient(x, grad, moments, sink.summed());
        }
        if let Some(sink) = sinks[0].take() {
            let (dx, accumulate) = sink.open();
            input_gradient(x, weight, grad, moments, dx, accumulate);
        }
        Ok(())
    }
}

vectorised! {
    fn forward<'a, T, S>(
        x: &'a [T],
        weight: &'a [T],
        bias: Option<&'a [T]>,
        eps: f64,
        y: &'a mut [T],
        moments: &'a mut [[T; 2]],
    ) {
        let d = weight.len().max(1);
        let share = T::real(1.0 / d as f64);
        let eps = T::real(eps);
        for ((y, x), moments) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(moments) {
            let mean = sum(x, |x| x) * share;
            // From centred values, in a second pass: no difference of large numbers.
            let variance = sum(x, |x| (x - mean) * (x - mean)) * share;
            let scale = T::ONE / (variance + eps).sqrt();
            *moments = [mean, scale];
            match bias {
                Some(bias) => {
                    for ((y, &x), (&w, &b)) in y.iter_mut().zip(x).zip(weight.iter().zip(bias)) {
                        *y = (x - mean) * scale * w + b;
                    }
                }
                None => {
                    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
                        *y = (x - mean) * scale * w;
                    }
                }
            }
        }
    }
}

vectorised! {
    fn weight_gradient<'a, T, S>(x: &'a [T], grad: &'a [T], moments: &'a [[T; 2]], dw: &'a mut [T]) {
        let d = dw.len().max(1);
        for ((x, grad), &[mean, scale]) in x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(moments) {
            for (dw, (&x, &g)) in dw.iter_mut().zip(x.iter().zip(grad)) {
                *dw += g * ((x - mean) * scale);
            }
        }
    }
}

vectorised! {
    fn input_gradient<'a, T, S>(
        x: &'a [T],
        weight: &'a [T],
        grad: &'a [T],
        moments: &'a [[T; 2]],
        dx: &'a mut [T],
        accumulate: bool,
    ) {
        let d = weight.len().max(1);
        let share = T::real(1.0 / d as f64);
        let mut h = vec![T::ZERO; d];
        let rows = x.chunks_exact(d).zip(grad.chunks_exact(d)).zip(moments);
        for (dx, ((x, grad), &[mean, scale])) in dx.chunks_exact_mut(d).zip(rows) {
            for (h, (&g, &w)) in h.iter_mut().zip(grad.iter().zip(weight)) {
                *h = g * w;
            }
            let mean_h = sum(&h, |h| h) * share;
            let mean_hn = sum2(&h, x, |h, x| h * ((x - mean) * scale)) * share;
            let slope = |x: T, h: T| (h - mean_h - (x - mean) * scale * mean_hn) * scale;
            if accumulate {
                for (dx, (&x, &h)) in dx.iter_mut().zip(x.iter().zip(&h)) {
                    *dx += slope(x, h);
                }
            } else {
                for (dx, (&x, &h)) in dx.iter_mut().zip(x.iter().zip(&h)) {
                    *dx = slope(x, h);
                }
            }
        }
    }
}
