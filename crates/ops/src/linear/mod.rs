//! The linear map `y = f(x Wᵀ + b)`.
//!
//! ```text
//! u = x Wᵀ + b    y = f(u)    ∂u = ∂y f′(u)    ∂x = ∂u W    ∂W = ∂uᵀ x    ∂b = Σ_rows ∂u
//! ```
//! with x `(N, In)`, W `(Out, In)`, y `(N, Out)`. f and its slope are computed on rows of u that are still in the
//! cache, from one exponential; u itself is never kept.

mod kernels;

use crate::activation::Activation;
use crate::fused::{Fused, Kept, Sinks, View, apply};
use crate::host::is_fusable;
use crate::real::Real;
use crate::threads::Team;
use crate::vector::mul_to;
use crate::{OpsError, Result, composed, memory, tape};
use candle_core::{Shape, Tensor};
use std::sync::Arc;

use kernels::{AddBias, Epilogue, NoEpilogue, Sizes, Weight};
pub(crate) use kernels::{PackedWeight, column_sums};

/// `x Wᵀ + b`: `(…, Out)` from x `(…, In)`, weight `(Out, In)`, bias `(Out)`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    activated(x, weight, bias, None)
}

/// `f(x Wᵀ + b)`; the arguments are those of [`linear`].
pub fn linear_activation(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Result<Tensor> {
    activated(x, weight, bias, Some(activation))
}

fn activated(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    let wrong = |argument, found: &Tensor, expected: String| OpsError::Shape {
        op: "linear",
        argument,
        found: found.dims().to_vec(),
        expected,
    };
    let &[out, inner] = weight.dims() else {
        return Err(wrong("weight", weight, "(Out, In)".into()).into());
    };
    if x.dims().last() != Some(&inner) {
        return Err(wrong("x", x, format!("(…, {inner}), as `weight` is ({out}, {inner})")).into());
    }
    if let Some(bias) = bias
        && bias.dims() != [out]
    {
        return Err(wrong("bias", bias, format!("({out})")).into());
    }
    if !is_fusable(x) || inner == 0 {
        let u = composed::linear(x, weight, bias)?;
        return match activation {
            Some(activation) => activation.composed(&u),
            None => Ok(u),
        };
    }
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    let packed = tape::packed(&weight)?;
    let op = Linear { activation, packed, slopes: Kept::default() };
    match bias {
        Some(bias) => apply(op, &[&x, &weight, &bias.contiguous()?]),
        None => apply(op, &[&x, &weight]),
    }
}

struct Linear {
    activation: Option<Activation>,
    /// The weight as all micro-batches of a step read it.
    packed: Option<Arc<PackedWeight<f32>>>,
    /// f′(u), `(N, Out)`.
    slopes: Kept,
}

fn sizes<T: Real>(x: &View<'_, T>, weight: &View<'_, T>) -> Result<Sizes> {
    let (out, inner) = weight.shape().dims2()?;
    Ok(Sizes { rows: x.rows().0, inner, out })
}

impl Fused for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let sizes = sizes(x, weight)?;
        let bias = inputs.get(2).map(View::contiguous).transpose()?;
        let mut dims = x.dims().to_vec();
        dims.pop();
        dims.push(sizes.out);
        let weight = match self.packed.as_deref().and_then(T::packed) {
            Some(packed) => Weight::Packed(packed),
            None => Weight::Plain(weight.contiguous()?),
        };
        let x = x.contiguous()?;
        let mut y = memory::take(sizes.rows * sizes.out);
        let team = Team::of_forward(keep, sizes.rows * sizes.out * sizes.inner);
        match (self.activation, bias) {
            (None, None) => kernels::forward(x, weight, &mut y, sizes, &NoEpilogue, None, &team),
            (None, Some(bias)) => kernels::forward(x, weight, &mut y, sizes, &AddBias(bias), None, &team),
            (Some(activation), bias) => {
                let mut slopes = memory::take(if keep { y.len() } else { 0 });
                let epilogue = Activate { bias: bias.map(AddBias), activation };
                let kept = keep.then_some(&mut slopes[..]);
                kernels::forward(x, weight, &mut y, sizes, &epilogue, kept, &team);
                if keep {
                    self.slopes.set(slopes);
                }
            }
        }
        Ok((y, Shape::from(dims)))
    }

    fn backward<T: Real>(
        &self,
        inputs: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let sizes = sizes(x, weight)?;
        let (x, weight) = (x.contiguous()?, weight.contiguous()?);
        if self.activation.is_some() {
            mul_to(grad, self.slopes.get(self.name())?);
        }
        if let Some(sink) = sinks[0].take() {
            let (dx, accumulate) = sink.open();
            kernels::input_gradient(grad, weight, dx, sizes, accumulate);
        }
        if let Some(sink) = sinks[1].take() {
            let (dw, accumulate) = sink.open();
            kernels::weight_gradient(grad, x, dw, sizes, accumulate);
        }
        if let Some(sink) = sinks.get_mut(2).and_then(Option::take) {
            let (db, accumulate) = sink.open();
            kernels::column_sums(grad, db, accumulate);
        }
        Ok(())
    }
}

/// `y = f(u + b)` and its slope, in place of u.
struct Activate<'a, T> {
    bias: Option<AddBias<'a, T>>,
    activation: Activation,
}

impl<T: Real> Epilogue<T> for Activate<'_, T> {
    #[inline(always)]
    fn rows(&self, block: &mut [T], slopes: Option<&mut [T]>) {
        if let Some(bias) = &self.bias {
            bias.rows(block, None);
        }
        match slopes {
            None => self.activation.apply(block),
            Some(slopes) => self.activation.apply_with_slopes(block, slopes),
        }
    }
}
