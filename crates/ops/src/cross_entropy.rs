//! Cross-entropy of a softmax, summed over the rows that have a label.
//!
//! ```text
//! L = Σ_n (log Σ_v exp z_nv − z_n,target)      ∂z_nv = ∂L (softmax(z_n)_v − [v = target])
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::real::Real;
use crate::vector::{max, sum, vectorised};
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};

/// The target of a row without a label.
pub const IGNORE: u32 = u32::MAX;

/// `Σ_n −log softmax(logits_n)[target_n]`, a scalar, from logits `(N, V)` and targets `(N)` of
/// u32. Rows whose target is [`IGNORE`] are neither read nor given a gradient.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let &[n, v] = logits.dims() else {
        return Err(OpsError::Shape {
            op: "cross_entropy",
            argument: "logits",
            found: logits.dims().to_vec(),
            expected: "(N, V)".into(),
        }
        .into());
    };
    if targets.dims() != [n] {
        return Err(OpsError::Shape {
            op: "cross_entropy",
            argument: "targets",
            found: targets.dims().to_vec(),
            expected: format!("({n}), one target a row of logits"),
        }
        .into());
    }
    if targets.dtype() != DType::U32 {
        return Err(OpsError::DType {
            op: "cross_entropy",
            argument: "targets",
            found: targets.dtype().as_str(),
            expected: "u32",
        }
        .into());
    }
    let labels: Vec<u32> = targets.to_vec1()?;
    if let Some(wrong) = labels.iter().find(|&&t| t != IGNORE && t as usize >= v) {
        return Err(OpsError::Value {
            op: "cross_entropy",
            argument: "targets",
            found: wrong.to_string(),
            expected: format!("a class below {v}, or IGNORE"),
        }
        .into());
    }
    if !is_fusable(logits) {
        return composed::cross_entropy(logits, targets);
    }
    logits.contiguous()?.apply_op1(CrossEntropy { labels })
}

struct CrossEntropy {
    labels: Vec<u32>,
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, v) = layout.shape().dims2()?;
        by_dtype!("cross_entropy", logits.dtype(), T => {
            let loss = forward::<T>(contiguous(logits, layout)?, &self.labels, v);
            Ok((T::to_cpu_storage_owned(vec![loss]), Shape::from(())))
        })
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, v) = logits.dims2()?;
        let by = grad.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let host = Host::new(logits);
        by_dtype!("cross_entropy", logits.dtype(), T => {
            let dz = backward::<T>(host.slice()?, &self.labels, v, by);
            Ok(Some(Tensor::from_vec(dz, logits.shape(), logits.device())?))
        })
    }
}

/// The maximum of a row and `log Σ exp(z − max)`.
#[inline(always)]
fn log_sum<T: Real>(row: &[T]) -> (T, T) {
    let top = max(row);
    (top, sum(row, |z| (z - top).exp()).ln())
}

vectorised! {
    fn forward<'a, T, S>(logits: &'a [T], labels: &'a [u32], v: usize) -> T {
        // Thousands of rows: f64 keeps the sum independent of how many there are.
        let mut total = 0.0f64;
        for (row, &label) in logits.chunks_exact(v.max(1)).zip(labels) {
            if label != IGNORE {
                let (top, log) = log_sum(row);
                total += (log - (row[label as usize] - top)).to_f64();
            }
        }
        T::real(total)
    }
}

vectorised! {
    fn backward<'a, T, S>(logits: &'a [T], labels: &'a [u32], v: usize, by: f64) -> Vec<T> {
        let by = T::real(by);
        let v = v.max(1);
        let mut dz = vec![T::ZERO; logits.len()];
        let rows = logits.chunks_exact(v).zip(labels);
        for (dz, (row, &label)) in dz.chunks_exact_mut(v).zip(rows) {
            if label == IGNORE {
                continue;
            }
            dz.copy_from_slice(row);
            crate::vector::softmax_row(dz);
            dz[label as usize] -= T::ONE;
            for dz in dz.iter_mut() {
                *dz *= by;
            }
        }
        dz
    }
}
