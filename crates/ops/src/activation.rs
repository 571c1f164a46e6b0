//! Pointwise activations.
//!
//! ```text
//! gelu          x σ(2u),  u = √(2/π) (x + 0.044715 x³)     as σ(2u) = (1 + tanh u) / 2
//! gelu_erf      x (1 + erf(x/√2)) / 2
//! silu          x σ(x)
//! relu          max(x, 0)
//! quick_gelu    x σ(1.702 x)
//! relu_squared  max(x, 0)²
//! tanh          tanh x
//! ```
//! The logistic form of GELU needs one exponential and keeps its precision where tanh → −1. Value and slope come from
//! the same exponential: the forward pass of a training step computes both.

use crate::fused::{Fused, Kept, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::threads::Team;
use crate::vector::{mul_to, sigmoid, vectorised};
use crate::{Result, composed, memory};
use candle_core::{Shape, Tensor};

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x/2 · (1 + tanh(√(2/π)(x + 0.044715x³)))` (Hendrycks & Gimpel, 2016).
    Gelu,
    /// `x/2 · (1 + erf(x/√2))` (Hendrycks & Gimpel, 2016).
    GeluErf,
    /// `x / (1 + exp(−x))`, also called swish (Elfwing et al., 2018).
    Silu,
    /// `max(x, 0)`; a NaN stays a NaN, and the gradient at 0 is 0.
    Relu,
    /// `x / (1 + exp(−1.702x))`, the logistic approximation of GELU (Hendrycks & Gimpel, 2016; CLIP).
    QuickGelu,
    /// `max(x, 0)²` (So et al., 2021); a NaN stays a NaN.
    ReluSquared,
    /// `tanh x`.
    Tanh,
}

/// `f(x)`, of any shape.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    if !is_fusable(x) {
        return activation.composed(x);
    }
    apply(Pointwise { activation, slopes: Kept::default() }, &[&x.contiguous()?])
}

/// `f(gate) · up`, of one shape: the inside of a gated MLP (Shazeer, 2020).
pub fn gated(gate: &Tensor, up: &Tensor, activation: Activation) -> Result<Tensor> {
    if !is_fusable(gate) || gate.dims() != up.dims() {
        return activation.composed(gate)? * up;
    }
    apply(Gated { activation }, &[&gate.contiguous()?, &up.contiguous()?])
}

/// Elements that are computed together.
const PIECE: usize = 4096;

struct Pointwise {
    activation: Activation,
    /// f′(x).
    slopes: Kept,
}

impl Fused for Pointwise {
    const READS_INPUTS: bool = false;

    fn name(&self) -> &'static str {
        "activate"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let x = &inputs[0];
        let mut y = memory::copy_of(x.contiguous()?);
        if keep {
            let mut slopes = memory::take(y.len());
            with_slopes(&mut y, &mut slopes, self.activation);
            self.slopes.set(slopes);
        } else {
            let team = Team::of_forward(keep, 8 * y.len());
            team.each(y.chunks_mut(PIECE), |y| values(y, self.activation));
        }
        Ok((y, x.shape().clone()))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let Some(sink) = sinks[0].take() {
            mul_to(grad, self.slopes.get(self.name())?);
            sink.add(grad);
        }
        Ok(())
    }
}

struct Gated {
    activation: Activation,
}

impl Fused for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let (gate, up) = (inputs[0].contiguous()?, inputs[1].contiguous()?);
        let mut y = memory::take(gate.len());
        let team = Team::of_forward(keep, 8 * y.len());
        let pieces = y.chunks_mut(PIECE).zip(gate.chunks(PIECE)).zip(up.chunks(PIECE));
        // A piece is in the nearest cache for all three.
        team.each(pieces, |((y, gate), up)| {
            y.copy_from_slice(gate);
            values(y, self.activation);
            mul_to(y, up);
        });
        Ok((y, inputs[0].shape().clone()))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        let mut gate = memory::copy_of(inputs[0].contiguous()?);
        let mut slopes = memory::take(gate.len());
        with_slopes(&mut gate, &mut slopes, self.activation); // f(gate), f′(gate)
        if let Some(sink) = sinks[1].take() {
            mul_to(&mut gate, grad);
            sink.add(&gate);
        }
        if let Some(sink) = sinks[0].take() {
            mul_to(grad, inputs[1].contiguous()?);
            mul_to(grad, &slopes);
            sink.add(grad);
        }
        memory::give(gate);
        memory::give(slopes);
        Ok(())
    }
}

vectorised! {
    fn values<'a, T, S>(x: &'a mut [T], activation: Activation) {
        activation.apply(x);
    }
}

vectorised! {
    fn with_slopes<'a, T, S>(x: &'a mut [T], slopes: &'a mut [T], activation: Activation) {
        activation.apply_with_slopes(x, slopes);
    }
}

/// √(2/π)
const GELU_SCALE: f64 = 0.797_884_560_802_865_4;
const GELU_CUBE: f64 = 0.044_715;

/// Beyond these bounds the slope is 0 or 1 in f32 and f64, while x² or x · 0 might not be a number.
const GELU_FLAT: f64 = 50.0;
const SILU_FLAT: f64 = 1000.0;

const QUICK_GELU: f64 = 1.702;

/// x within ±bound; a NaN stays a NaN.
#[inline(always)]
fn clamped<T: Real>(x: T, bound: T) -> T {
    let x = if x > bound { bound } else { x };
    if x < -bound { -bound } else { x }
}

impl Activation {
    pub(crate) fn composed(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Gelu => composed::gelu(x),
            Self::GeluErf => composed::gelu_erf(x),
            Self::Silu => composed::silu(x),
            Self::Relu => composed::relu(x),
            Self::QuickGelu => composed::quick_gelu(x),
            Self::ReluSquared => composed::relu_squared(x),
            Self::Tanh => composed::tanh(x),
        }
    }

    /// f(x) in place of x.
    #[inline(always)]
    pub(crate) fn apply<T: Real>(self, x: &mut [T]) {
        match self {
            Self::Gelu => map(x, |x| x * sigmoid(x * gelu_slope_terms(x).0)),
            Self::GeluErf => {
                let (half, root) = (T::real(0.5), T::real(std::f64::consts::FRAC_1_SQRT_2));
                map(x, |x| half * x * (T::ONE + (x * root).erf()));
            }
            Self::Silu => map(x, |x| x * sigmoid(x)),
            Self::Relu => map(x, |x| if x < T::ZERO { T::ZERO } else { x }),
            Self::QuickGelu => {
                let steep = T::real(QUICK_GELU);
                map(x, |x| x * sigmoid(x * steep));
            }
            Self::ReluSquared => map(x, |x| if x < T::ZERO { T::ZERO } else { x * x }),
            Self::Tanh => map(x, T::tanh),
        }
    }

    /// f(x) in place of x, and f′(x).
    #[inline(always)]
    pub(crate) fn apply_with_slopes<T: Real>(self, x: &mut [T], slopes: &mut [T]) {
        match self {
            Self::Gelu => {
                let flat = T::real(GELU_FLAT);
                map2(x, slopes, |x| {
                    let c = clamped(x, flat);
                    let (inner, outer) = gelu_slope_terms(c);
                    let s = sigmoid(c * inner);
                    // σ is 0 or 1 beyond the bound, so that x itself gives the value.
                    (x * s, s + c * s * (T::ONE - s) * outer)
                });
            }
            Self::GeluErf => {
                let (half, root) = (T::real(0.5), T::real(std::f64::consts::FRAC_1_SQRT_2));
                let density = T::real(0.5 * GELU_SCALE); // 1/√(2π)
                let flat = T::real(GELU_FLAT);
                map2(x, slopes, |x| {
                    let c = clamped(x, flat);
                    let twice = T::ONE + (c * root).erf();
                    (half * x * twice, half * twice + c * density * (-half * c * c).exp())
                });
            }
            Self::Silu => {
                let flat = T::real(SILU_FLAT);
                map2(x, slopes, |x| {
                    let c = clamped(x, flat);
                    let s = sigmoid(c);
                    (x * s, s + c * s * (T::ONE - s))
                });
            }
            Self::Relu => map2(x, slopes, |x| {
                // A NaN fails both comparisons and is its own slope, so it is not hidden.
                if x <= T::ZERO {
                    (T::ZERO, T::ZERO)
                } else if x > T::ZERO {
                    (x, T::ONE)
                } else {
                    (x, x)
                }
            }),
            Self::QuickGelu => {
                let (steep, flat) = (T::real(QUICK_GELU), T::real(SILU_FLAT));
                map2(x, slopes, |x| {
                    let c = clamped(x, flat);
                    let s = sigmoid(c * steep);
                    (x * s, s + c * steep * s * (T::ONE - s))
                });
            }
            Self::ReluSquared => {
                map2(x, slopes, |x| if x <= T::ZERO { (T::ZERO, T::ZERO) } else { (x * x, x + x) })
            }
            Self::Tanh => map2(x, slopes, |x| {
                let y = x.tanh();
                (y, (T::ONE - y) * (T::ONE + y))
            }),
        }
    }
}

/// GELU is `x σ(x a)` with slope `s + x s (1 − s) b`: a and b.
#[inline(always)]
fn gelu_slope_terms<T: Real>(x: T) -> (T, T) {
    let (linear, cube) = (T::real(2.0 * GELU_SCALE), T::real(2.0 * GELU_SCALE * GELU_CUBE));
    (linear + cube * x * x, linear + T::real(3.0) * cube * x * x)
}

#[inline(always)]
fn map<T: Real>(x: &mut [T], f: impl Fn(T) -> T) {
    for x in x {
        *x = f(*x);
    }
}

#[inline(always)]
fn map2<T: Real>(x: &mut [T], slopes: &mut [T], f: impl Fn(T) -> (T, T)) {
    for (x, slope) in x.iter_mut().zip(slopes) {
        (*x, *slope) = f(*x);
    }
}
