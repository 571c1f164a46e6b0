//! Inverted dropout (Srivastava et al., 2014).
//!
//! ```text
//! y_i = x_i m_i / (1 − p)      m_i ~ Bernoulli(1 − p)      ∂x_i = ∂y_i m_i / (1 − p)
//! ```

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::vector::vectorised;
use crate::{OpsError, Result, Rng};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Tensor, WithDType};
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
        return x.contiguous()?.apply_op1(Dropout { kept, scale });
    }
    let mask = Tensor::from_vec(kept, x.shape(), &Device::Cpu)?.to_dtype(x.dtype())?.to_device(x.device())?;
    x * (mask * scale)?
}

struct Dropout {
    kept: Vec<u8>,
    scale: f64,
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!("dropout", x.dtype(), T => {
            let y = apply::<T>(contiguous(x, layout)?, &self.kept, self.scale);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let host = Host::new(&grad);
        by_dtype!("dropout", x.dtype(), T => {
            let dx = apply::<T>(host.slice()?, &self.kept, self.scale);
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

vectorised! {
    fn apply<'a, T, S>(x: &'a [T], kept: &'a [u8], scale: f64) -> Vec<T> {
        let scale = T::real(scale);
        let mut y = vec![T::ZERO; x.len()];
        for (y, (&x, &kept)) in y.iter_mut().zip(x.iter().zip(kept)) {
            *y = if kept != 0 { x * scale } else { T::ZERO };
        }
        y
    }
}
