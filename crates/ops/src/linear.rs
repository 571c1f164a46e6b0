//! The linear map `y = x Wᵀ + b`.
//!
//! ```text
//! ∂x = ∂y W      ∂W = ∂yᵀ x      ∂b = Σ_rows ∂y
//! ```
//! with x `(N, In)`, W `(Out, In)`, y `(N, Out)`. No operand is transposed in memory: panels of
//! the smaller matrix are laid out once a block, the larger one is read where it lies.

use crate::host::{Host, by_dtype, contiguous, is_fusable};
use crate::matmul::{ByRows, DEPTH, NR, Panels, TALL, multiply, multiply_transposed};
use crate::real::Real;
use crate::vector::vectorised;
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor, WithDType};

/// Rows of x that go through all panels together, so that they stay in the cache.
const ROWS: usize = 96;

/// `x Wᵀ + b`: `(…, Out)` from x `(…, In)`, weight `(Out, In)`, bias `(Out)`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
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
        return composed::linear(x, weight, bias);
    }
    let x = x.contiguous()?;
    let weight = weight.contiguous()?;
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

struct Linear;

impl Linear {
    fn forward(
        x: (&CpuStorage, &Layout),
        weight: (&CpuStorage, &Layout),
        bias: Option<(&CpuStorage, &Layout)>,
    ) -> Result<(CpuStorage, Shape)> {
        let (out, inner) = weight.1.shape().dims2()?;
        let mut dims = x.1.dims().to_vec();
        dims.pop();
        dims.push(out);
        by_dtype!("linear", x.0.dtype(), T => {
            let bias = bias.map(|(s, l)| contiguous::<T>(s, l)).transpose()?;
            let (x, weight) = (contiguous::<T>(x.0, x.1)?, contiguous::<T>(weight.0, weight.1)?);
            let rows = dims.iter().rev().skip(1).product();
            let y = forward::<T>(x, weight, bias, rows, inner, out);
            Ok((T::to_cpu_storage_owned(y), Shape::from(dims)))
        })
    }

    fn backward(
        x: &Tensor,
        weight: &Tensor,
        bias: Option<&Tensor>,
        grad: &Tensor,
    ) -> Result<[Option<Tensor>; 3]> {
        let (out, inner) = weight.dims2()?;
        let grad = grad.contiguous()?;
        let device = x.device();
        by_dtype!("linear", x.dtype(), T => {
            let (hx, hw, hg) = (Host::new(x), Host::new(weight), Host::new(&grad));
            let (xs, ws, gs) = (hx.slice::<T>()?, hw.slice::<T>()?, hg.slice::<T>()?);
            let rows = x.dims().iter().rev().skip(1).product();
            let dx = if x.track_op() {
                let dx = input_gradient::<T>(gs, ws, rows, inner, out);
                Some(Tensor::from_vec(dx, x.shape(), device)?)
            } else {
                None
            };
            let dw = if weight.track_op() {
                let dw = weight_gradient::<T>(gs, xs, rows, inner, out);
                Some(Tensor::from_vec(dw, (out, inner), device)?)
            } else {
                None
            };
            let db = if bias.is_some_and(Tensor::track_op) {
                Some(Tensor::from_vec(column_sums::<T>(gs, out), out, device)?)
            } else {
                None
            };
            Ok([dx, dw, db])
        })
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, xl), (w, wl), Some((b, bl)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = Self::backward(x, weight, Some(bias), grad)?;
        Ok((dx, dw, db))
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear without bias"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::forward((x, xl), (w, wl), None)
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = Self::backward(x, weight, None, grad)?;
        Ok((dx, dw))
    }
}

vectorised! {
    fn forward<'a, T, S>(
        x: &'a [T],      // (N, In)
        weight: &'a [T], // (Out, In)
        bias: Option<&'a [T]>,
        rows: usize,
        inner: usize,
        out: usize,
    ) -> Vec<T> {
        let mut y = vec![T::ZERO; rows * out];
        if y.is_empty() {
            return y; // no row to read at any depth
        }
        let mut panels = Panels::default();
        for depth in (0..inner).step_by(DEPTH) {
            let k = DEPTH.min(inner - depth);
            let bias = bias.filter(|_| depth + k == inner);
            panels.set_columns(&weight[depth..], inner, k, out); // Wᵀ
            product::<T, S>(&x[depth..], inner, rows, k, &panels, &mut y, out, depth > 0, bias);
        }
        y
    }
}

vectorised! {
    fn input_gradient<'a, T, S>(
        grad: &'a [T],   // (N, Out)
        weight: &'a [T], // (Out, In)
        rows: usize,
        inner: usize,
        out: usize,
    ) -> Vec<T> {
        let mut dx = vec![T::ZERO; rows * inner];
        if dx.is_empty() {
            return dx;
        }
        let mut panels = Panels::default();
        for depth in (0..out).step_by(DEPTH) {
            let k = DEPTH.min(out - depth);
            panels.set_rows(&weight[depth * inner..], inner, k, inner);
            product::<T, S>(&grad[depth..], out, rows, k, &panels, &mut dx, inner, depth > 0, None);
        }
        dx
    }
}

vectorised! {
    fn weight_gradient<'a, T, S>(
        grad: &'a [T], // (N, Out)
        x: &'a [T],    // (N, In)
        rows: usize,
        inner: usize,
        out: usize,
    ) -> Vec<T> {
        let mut dw = vec![T::ZERO; out * inner];
        if dw.is_empty() {
            return dw;
        }
        let mut panels = Panels::default();
        for depth in (0..rows).step_by(DEPTH) {
            let k = DEPTH.min(rows - depth);
            panels.set_rows(&x[depth * inner..], inner, k, inner);
            let grad = ByRows { data: &grad[depth * out..], stride: out };
            multiply_transposed::<T, S, TALL>(out, grad, &panels, &mut dw, inner, depth > 0);
        }
        dw
    }
}

vectorised! {
    fn column_sums<'a, T, S>(grad: &'a [T], columns: usize) -> Vec<T> {
        let mut sums = vec![T::ZERO; columns];
        if columns > 0 {
            for row in grad.chunks_exact(columns) {
                for (sum, &g) in sums.iter_mut().zip(row) {
                    *sum += g;
                }
            }
        }
        sums
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments)]
fn product<T: Real, S: pulp::Simd>(
    a: &[T],
    stride: usize,
    rows: usize,
    k: usize,
    b: &Panels<T>,
    c: &mut [T],
    columns: usize,
    accumulate: bool,
    bias: Option<&[T]>,
) {
    for begin in (0..rows).step_by(ROWS) {
        let m = ROWS.min(rows - begin);
        let a = ByRows { data: &a[begin * stride..], stride };
        let c = &mut c[begin * columns..];
        multiply::<T, S, TALL>(m, a, b, 0..k, 0..columns.div_ceil(NR), c, columns, accumulate);
        if let Some(bias) = bias {
            // Now, while the block is in the cache.
            for c in c[..m * columns].chunks_exact_mut(columns.max(1)) {
                for (c, &b) in c.iter_mut().zip(bias) {
                    *c += b;
                }
            }
        }
    }
}
