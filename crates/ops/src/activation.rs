//! Pointwise activations, forward and backward in one pass each.
//!
//! ```text
//! gelu      x σ(2u),  u = √(2/π) (x + 0.044715 x³)     as σ(2u) = (1 + tanh u) / 2
//! gelu_erf  x (1 + erf(x/√2)) / 2
//! silu      x σ(x)
//! relu      max(x, 0)
//! ```
//! The logistic form of GELU needs one exponential and keeps its precision where tanh → −1.

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::real::Real;
use crate::vector::vectorised;
use crate::{Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

/// GELU in its tanh form, `x/2 · (1 + tanh(√(2/π)(x + 0.044715x³)))` (Hendrycks & Gimpel, 2016).
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    apply(x, Activation::Gelu, composed::gelu)
}

/// GELU by its definition, `x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel, 2016).
pub fn gelu_erf(x: &Tensor) -> Result<Tensor> {
    apply(x, Activation::GeluErf, composed::gelu_erf)
}

/// SiLU or swish, `x / (1 + exp(−x))` (Elfwing et al., 2018).
pub fn silu(x: &Tensor) -> Result<Tensor> {
    apply(x, Activation::Silu, composed::silu)
}

/// `max(x, 0)`; a NaN stays a NaN, and the gradient at 0 is 0.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    apply(x, Activation::Relu, composed::relu)
}

fn apply(x: &Tensor, activation: Activation, composed: fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if is_fusable(x) { x.contiguous()?.apply_op1(activation) } else { composed(x) }
}

#[derive(Clone, Copy)]
enum Activation {
    Gelu,
    GeluErf,
    Silu,
    Relu,
}

impl CustomOp1 for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Gelu => "gelu",
            Self::GeluErf => "gelu_erf",
            Self::Silu => "silu",
            Self::Relu => "relu",
        }
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        by_dtype!(self.name(), x.dtype(), T => {
            let y = forward::<T>(contiguous(x, layout)?, *self);
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        let (hx, hg) = (Host::new(x), Host::new(&grad));
        by_dtype!(self.name(), x.dtype(), T => {
            let dx = backward::<T>(hx.slice()?, hg.slice()?, *self);
            Ok(Some(Tensor::from_vec(dx, x.shape(), x.device())?))
        })
    }
}

/// √(2/π)
const GELU_SCALE: f64 = 0.797_884_560_802_865_4;
const GELU_CUBE: f64 = 0.044_715;

/// Beyond these bounds the slope is 0 or 1 in f32 and f64, while x² or x · 0 might not be a number.
const GELU_FLAT: f64 = 50.0;
const SILU_FLAT: f64 = 1000.0;

/// x within ±bound; a NaN stays a NaN.
#[inline(always)]
fn clamped<T: Real>(x: T, bound: T) -> T {
    let x = if x > bound { bound } else { x };
    if x < -bound { -bound } else { x }
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

#[inline(always)]
fn map<T: Real>(x: &[T], f: impl Fn(T) -> T) -> Vec<T> {
    let mut y = vec![T::ZERO; x.len()];
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
    y
}

#[inline(always)]
fn map2<T: Real>(x: &[T], grad: &[T], slope: impl Fn(T) -> T) -> Vec<T> {
    let mut dx = vec![T::ZERO; x.len()];
    for (dx, (&x, &g)) in dx.iter_mut().zip(x.iter().zip(grad)) {
        *dx = g * slope(x);
    }
    dx
}

vectorised! {
    fn forward<'a, T, S>(x: &'a [T], activation: Activation) -> Vec<T> {
        match activation {
            Activation::Gelu => {
                let (linear, cube) = (T::real(2.0 * GELU_SCALE), T::real(2.0 * GELU_SCALE * GELU_CUBE));
                map(x, |x| x * sigmoid(x * (linear + cube * x * x)))
            }
            Activation::GeluErf => {
                let (half, root) = (T::real(0.5), T::real(std::f64::consts::FRAC_1_SQRT_2));
                map(x, |x| half * x * (T::ONE + (x * root).erf()))
            }
            Activation::Silu => map(x, |x| x * sigmoid(x)),
            Activation::Relu => map(x, |x| if x < T::ZERO { T::ZERO } else { x }),
        }
    }
}

vectorised! {
    fn backward<'a, T, S>(x: &'a [T], grad: &'a [T], activation: Activation) -> Vec<T> {
        match activation {
            Activation::Gelu => {
                let (linear, cube) = (T::real(2.0 * GELU_SCALE), T::real(2.0 * GELU_SCALE * GELU_CUBE));
                let (three, flat) = (T::real(3.0), T::real(GELU_FLAT));
                map2(x, grad, |x| {
                    let x = clamped(x, flat);
                    let s = sigmoid(x * (linear + cube * x * x));
                    s + x * s * (T::ONE - s) * (linear + three * cube * x * x)
                })
            }
            Activation::GeluErf => {
                let (half, root) = (T::real(0.5), T::real(std::f64::consts::FRAC_1_SQRT_2));
                let density = T::real(0.5 * GELU_SCALE); // 1/√(2π)
                let flat = T::real(GELU_FLAT);
                map2(x, grad, |x| {
                    let x = clamped(x, flat);
                    half * (T::ONE + (x * root).erf()) + x * density * (-half * x * x).exp()
                })
            }
            Activation::Silu => {
                let flat = T::real(SILU_FLAT);
                map2(x, grad, |x| {
                    let x = clamped(x, flat);
                    let s = sigmoid(x);
                    s + x * s * (T::ONE - s)
                })
            }
            Activation::Relu => map2(x, grad, |x| {
                // A NaN fails the comparison and is its own slope, so it is not hidden.
                if x <= T::ZERO {
                    T::ZERO
                } else if x > T::ZERO {
                    T::ONE
                } else {
                    x
                }
            }),
        }
    }
}
