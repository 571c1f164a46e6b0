//! Inverted dropout (Srivastava et al., 2014).
//!
//! ```text
//! y_i = x_i m_i / (1 − p)      m_i ~ Bernoulli(1 − p)      ∂x_i = ∂y_i m_i / (1 − p)
//! ```

use crate::fused::{Fused, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::vector::vectorised;
use crate::{OpsError, Result, Rng, memory};
use candle_core::{Device, Shape, Tensor};
use rand::RngCore;

/// Zeroes each element with probability `p` and divides the others by 1 − p.
///
/// The mask is drawn from `rng`, one 32-bit word an element in row-major order, so it does not
/// depend on the device. `p = 0` returns x and draws nothing.
pub fn dropout(x: &Tensor, p: f64, rng: &mut Rng) -> Result<Tensor> {
    if !(0.0..1.0).contains(&p) {
        return Err(OpsError::Value {
            op: "dropout",
            argument: "p",
            found: p.to_string(),
            expected: "0 ≤ p < 1".into(),
        }
        .into());
    }
    if p == 0.0 {
        return Ok(x.clone());
    }
    let threshold = (p * 4_294_967_296.0) as u64;
    let kept: Vec<u8> =
        (0..x.elem_count()).map(|_| u8::from(u64::from(rng.next_u32()) >= threshold)).collect();
    let scale = 1.0 / (1.0 - p);
    if is_fusable(x) {
        return apply(Dropout { kept, scale }, &[&x.contiguous()?]);
    }
    let mask = Tensor::from_vec(kept, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?;
    x * (mask * scale)?
}

struct Dropout {
    kept: Vec<u8>,
    scale: f64,
}

impl Fused for Dropout {
    const READS_INPUTS: bool = false;

    fn name(&self) -> &'static str {
        "dropout"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], _: bool) -> Result<(Vec<T>, Shape)> {
        let mut y = memory::copy_of(inputs[0].contiguous()?);
        drop_from::<T>(&mut y, &self.kept, self.scale);
        Ok((y, inputs[0].shape().clone()))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let Some(sink) = sinks[0].take() {
            drop_from::<T>(grad, &self.kept, self.scale);
            sink.add(grad);
        }
        Ok(())
    }
}

vectorised! {
    fn drop_from<'a, T, S>(x: &'a mut [T], kept: &'a [u8], scale: f64) {
        let scale = T::real(scale);
        for (x, &kept) in x.iter_mut().zip(kept) {
            *x = if kept != 0 { *x * scale } else { T::ZERO };
        }
    }
}
