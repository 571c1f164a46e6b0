//! Losses of independent yes/no outputs, summed over the rows of a mask.
//!
//! ```text
//! cross-entropy   Σ mask_n (softplus(z_nc) − y_nc z_nc)     slope  σ(z) − y
//! squared error   Σ mask_n (σ(z_nc) − y_nc)²                slope  2 (σ(z) − y) σ(z) (1 − σ(z))
//! ```
//! The squared error of a sigmoid is what Bhattamishra et al. (2020) train with.

use crate::fused::{Fused, Sinks, View, apply as apply_fused};
use crate::host::{Host, is_fusable};
use crate::real::Real;
use crate::vector::{sigmoid, vectorised};
use crate::{OpsError, Result, composed};
use candle_core::{Shape, Tensor};

/// `Σ mask_n (softplus(z_nc) − y_nc z_nc)`, a scalar, from logits z `(N, C)`, labels y `(N, C)`
/// in {0, 1} and mask `(N)` in {0, 1}. Rows with mask 0 are not read.
pub fn binary_cross_entropy(logits: &Tensor, labels: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let kind = Kind::CrossEntropy;
    apply(kind, logits, labels, mask, composed::binary_cross_entropy)
}

/// `Σ mask_n (σ(z_nc) − y_nc)²`, a scalar; the arguments are those of [`binary_cross_entropy`].
pub fn squared_error(logits: &Tensor, labels: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let kind = Kind::SquaredError;
    apply(kind, logits, labels, mask, composed::squared_error)
}

fn apply(
    kind: Kind,
    logits: &Tensor,
    labels: &Tensor,
    mask: &Tensor,
    composed: fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let wrong = |argument, found: &Tensor, expected: String| OpsError::Shape {
        op: kind.label(),
        argument,
        found: found.dims().to_vec(),
        expected,
    };
    let &[n, _] = logits.dims() else {
        return Err(wrong("logits", logits, "(N, C)".into()).into());
    };
    if labels.dims() != logits.dims() {
        let expected = format!("that of logits, {:?}", logits.dims());
        return Err(wrong("labels", labels, expected).into());
    }
    if mask.dims() != [n] {
        return Err(wrong("mask", mask, format!("({n})")).into());
    }
    let labels = labels.to_dtype(logits.dtype())?.contiguous()?;
    let mask = mask.to_dtype(logits.dtype())?.contiguous()?;
    if !is_fusable(logits) {
        return composed(logits, &labels, &mask);
    }
    apply_fused(BinaryLoss { kind, labels, mask }, &[&logits.contiguous()?])
}

#[derive(Clone, Copy)]
enum Kind {
    CrossEntropy,
    SquaredError,
}

impl Kind {
    fn label(self) -> &'static str {
        match self {
            Self::CrossEntropy => "binary_cross_entropy",
            Self::SquaredError => "squared_error",
        }
    }
}

struct BinaryLoss {
    kind: Kind,
    labels: Tensor,
    mask: Tensor,
}

impl Fused for BinaryLoss {
    fn name(&self) -> &'static str {
        self.kind.label()
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], _: bool) -> Result<(Vec<T>, Shape)> {
        let (labels, mask) = (Host::new(&self.labels), Host::new(&self.mask));
        let loss = forward::<T>(inputs[0].contiguous()?, labels.slice()?, mask.slice()?, self.kind);
        Ok((vec![loss], Shape::from(())))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        let (labels, mask) = (Host::new(&self.labels), Host::new(&self.mask));
        if let (Some(sink), Some(&by)) = (sinks[0].take(), grad.first()) {
            let z = inputs[0].contiguous()?;
            backward::<T>(z, labels.slice()?, mask.slice()?, self.kind, by, sink.summed());
        }
        Ok(())
    }
}

vectorised! {
    fn forward<'a, T, S>(z: &'a [T], y: &'a [T], mask: &'a [T], kind: Kind) -> T {
        let c = (z.len() / mask.len().max(1)).max(1);
        let mut total = 0.0f64;
        let rows = z.chunks_exact(c).zip(y.chunks_exact(c));
        for (&m, (z, y)) in mask.iter().zip(rows) {
            if m == T::ZERO {
                continue;
            }
            for (&z, &y) in z.iter().zip(y) {
                let loss = match kind {
                    Kind::CrossEntropy => {
                        // max(z, 0) + log(1 + exp(−|z|)) never overflows.
                        let (top, size) = if z < T::ZERO { (T::ZERO, -z) } else { (z, z) };
                        top + (T::ONE + (-size).exp()).ln() - y * z
                    }
                    Kind::SquaredError => (sigmoid(z) - y) * (sigmoid(z) - y),
                };
                total += (m * loss).to_f64();
            }
        }
        T::real(total)
    }
}

vectorised! {
    fn backward<'a, T, S>(
        z: &'a [T],
        y: &'a [T],
        mask: &'a [T],
        kind: Kind,
        by: T,
        dz: &'a mut [T],
    ) {
        let c = (z.len() / mask.len().max(1)).max(1);
        let rows = z.chunks_exact(c).zip(y.chunks_exact(c));
        for ((dz, &m), (z, y)) in dz.chunks_exact_mut(c).zip(mask).zip(rows) {
            if m == T::ZERO {
                continue;
            }
            let by = m * by;
            for (dz, (&z, &y)) in dz.iter_mut().zip(z.iter().zip(y)) {
                let s = sigmoid(z);
                let slope = match kind {
                    Kind::CrossEntropy => s - y,
                    Kind::SquaredError => T::real(2.0) * (s - y) * s * (T::ONE - s),
                };
                *dz += by * slope;
            }
        }
    }
}
