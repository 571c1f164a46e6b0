//! Softmax over the last dimension.
//!
//! ```text
//! p_i = exp(x_i − max x) / Σ_j exp(x_j − max x)        ∂x_i = p_i (∂p_i − Σ_j ∂p_j p_j)
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::vector::{softmax_row, sum2, vectorised};
use crate::{Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

/// Softmax over the last dimension, shifted by the maximum. A row of nothing but −∞ gives zeros.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    if !is_fusable(x) || x.rank() == 0 {
        return composed::softmax(x);
    }
    x.contiguous()?.apply_op1(Softmax)
}

struct Softmax;

impl CustomOp1 for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let columns = layout.dims().last().copied().unwrap_or(1);
        by_dtype!("softmax", x.dtype(), T => {
            let p = forward::<T>(contiguous(x, layout)?, columns);
            Ok((T::to_cpu_storage_owned(p), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, p: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let columns = x.dims().last().copied().unwrap_or(1);
        let grad = grad.contiguous()?;
        let (hp, hg) = (Host::new(p), Host::new(&grad));
        by_dtype!("softmax", x.dtype(), T => {
            let dx = backward::<T>(hp.slice()?, hg.slice()?, columns);
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

vectorised! {
    fn forward<'a, T, S>(x: &'a [T], columns: usize) -> Vec<T> {
        let mut p = x.to_vec();
        for row in p.chunks_exact_mut(columns.max(1)) {
            softmax_row(row);
        }
        p
    }
}

vectorised! {
    fn backward<'a, T, S>(p: &'a [T], grad: &'a [T], columns: usize) -> Vec<T> {
        let columns = columns.max(1);
        let mut dx = vec![T::ZERO; p.len()];
        let rows = p.chunks_exact(columns).zip(grad.chunks_exact(columns));
        for (dx, (p, grad)) in dx.chunks_exact_mut(columns).zip(rows) {
            let dot = sum2(p, grad, |p, g| p * g);
            for (dx, (&p, &g)) in dx.iter_mut().zip(p.iter().zip(grad)) {
                *dx = p * (g - dot);
            }
        }
        dx
    }
}
