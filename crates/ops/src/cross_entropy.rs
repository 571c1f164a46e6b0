//! Cross-entropy of a softmax, summed over the rows that have a label.
//!
//! ```text
//! L = Σ_n (log Σ_v exp z_nv − z_n,target)      ∂z_nv = ∂L (softmax(z_n)_v − [v = target])
//! ```
//! The forward pass of a training step computes the slope as well, from the same exponentials, and the logits can go.

use crate::fused::{Fused, Kept, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::vector::{exp_and_sum, max, scaled_to, sum, vectorised};
use crate::{OpsError, Result, composed, memory};
use candle_core::{DType, Shape, Tensor};

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
    apply(CrossEntropy { labels, slopes: Kept::default() }, &[&logits.contiguous()?])
}

struct CrossEntropy {
    labels: Vec<u32>,
    /// softmax(z) − [v = target], `(N, V)`.
    slopes: Kept,
}

impl Fused for CrossEntropy {
    const READS_INPUTS: bool = false;

    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let (_, v) = inputs[0].shape().dims2()?;
        let logits = inputs[0].contiguous()?;
        let loss = if keep {
            let mut slopes = memory::copy_of(logits);
            let loss = with_slopes::<T>(&mut slopes, &self.labels, v);
            self.slopes.set(slopes);
            loss
        } else {
            forward::<T>(logits, &self.labels, v)
        };
        Ok((vec![T::real(loss)], Shape::from(())))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let (Some(sink), Some(&by)) = (sinks[0].take(), grad.first()) {
            let (dz, accumulate) = sink.open();
            scaled_to(dz, self.slopes.get(self.name())?, by, accumulate);
        }
        Ok(())
    }
}

vectorised! {
    /// The loss. Thousands of rows: f64 keeps the sum independent of how many there are.
    fn forward<'a, T, S>(logits: &'a [T], labels: &'a [u32], v: usize) -> f64 {
        let mut total = 0.0f64;
        for (row, &label) in logits.chunks_exact(v.max(1)).zip(labels) {
            if label != IGNORE {
                let top = max(row);
                let log = sum(row, |z| (z - top).exp()).ln();
                total += (log - (row[label as usize] - top)).to_f64();
            }
        }
        total
    }
}

vectorised! {
    /// The loss, and the slopes in place of the logits.
    fn with_slopes<'a, T, S>(logits: &'a mut [T], labels: &'a [u32], v: usize) -> f64 {
        let mut total = 0.0f64;
        for (row, &label) in logits.chunks_exact_mut(v.max(1)).zip(labels) {
            if label == IGNORE {
                row.fill(T::ZERO);
                continue;
            }
            let top = max(row);
            let target = row[label as usize] - top;
            let sum = exp_and_sum(row, top);
            total += (sum.ln() - target).to_f64();
            let scale = T::ONE / sum;
            for z in row.iter_mut() {
                *z *= scale;
            }
            row[label as usize] -= T::ONE;
        }
        total
    }
}
