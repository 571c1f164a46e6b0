//! Softmax over the last dimension.
//!
//! ```text
//! p_i = exp(x_i − max x) / Σ_j exp(x_j − max x)        ∂x_i = p_i (∂p_i − Σ_j ∂p_j p_j)
//! ```

use crate::fused::{Fused, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::threads::Team;
use crate::vector::{softmax_row, sum2, vectorised};
use crate::{Result, composed, memory};
use candle_core::{Shape, Tensor};

/// Softmax over the last dimension, shifted by the maximum. A row of nothing but −∞ gives zeros.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if !is_fusable(x) || x.rank() == 0 {
        return composed::softmax(x);
    }
    apply(Softmax { columns: x.dims().last().copied().unwrap_or(1) }, &[&x.contiguous()?])
}

struct Softmax {
    columns: usize,
}

impl Fused for Softmax {
    const READS_INPUTS: bool = false;
    const READS_OUTPUT: bool = true;

    fn name(&self) -> &'static str {
        "softmax"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let x = inputs[0].contiguous()?;
        let mut p = memory::take(x.len());
        let team = Team::of_forward(keep, 8 * p.len());
        let (rows, columns) = (p.len() / self.columns.max(1), self.columns.max(1));
        let piece = team.rows_at_once(rows, rows) * columns;
        team.each(p.chunks_mut(piece).zip(x.chunks(piece)), |(p, x)| {
            p.copy_from_slice(x);
            forward::<T>(p, columns);
        });
        Ok((p, inputs[0].shape().clone()))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        p: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let Some(sink) = sinks[0].take() {
            backward::<T>(p, grad, self.columns);
            sink.add(grad);
        }
        Ok(())
    }
}

vectorised! {
    fn forward<'a, T, S>(p: &'a mut [T], columns: usize) {
        for row in p.chunks_exact_mut(columns.max(1)) {
            softmax_row(row);
        }
    }
}

vectorised! {
    /// ∂x in place of ∂p.
    fn backward<'a, T, S>(p: &'a [T], grad: &'a mut [T], columns: usize) {
        let columns = columns.max(1);
        for (grad, p) in grad.chunks_exact_mut(columns).zip(p.chunks_exact(columns)) {
            let dot = sum2(p, grad, |p, g| p * g);
            for (g, &p) in grad.iter_mut().zip(p) {
                *g = p * (*g - dot);
            }
        }
    }
}
