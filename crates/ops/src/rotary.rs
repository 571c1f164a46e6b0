//! Rotary position embedding (Su et al., 2021).
//!
//! ```text
//! (a, b) ← (a cos θ − b sin θ, a sin θ + b cos θ)      for each of the R/2 pairs (a, b)
//! ```
//! The backward pass is the same rotation by −θ.

use crate::host::{Host, Rows4, by_dtype, is_fusable, with_rows};
use crate::vector::vectorised;
use crate::{OpsError, Result, composed};
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};

/// Which dimensions form a rotating pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryLayout {
    /// Dimension i with i + R/2 (GPT-NeoX, and Llama in Hugging Face's order).
    HalfSplit,
    /// Dimension 2i with 2i + 1 (the paper, GPT-J).
    Interleaved,
}

/// Rotates the first R of the K dimensions of x `(B, T, H, K)` and passes the rest; cosines and
/// sines are `(B or 1, T, R/2)`. They get no gradient from the fused operation; if they are part
/// of a graph the [`composed`] form runs.
pub fn rotate(x: &Tensor, cos: &Tensor, sin: &Tensor, layout: RotaryLayout) -> Result<Tensor> {
    let wrong = |argument, found: &Tensor, expected: String| OpsError::Shape {
        op: "rotate",
        argument,
        found: found.dims().to_vec(),
        expected,
    };
    let &[b, t, _, k] = x.dims() else {
        return Err(wrong("x", x, "(B, T, H, K)".into()).into());
    };
    match *cos.dims() {
        [rows, len, half] if (rows == b || rows == 1) && len == t && 2 * half <= k => {}
        _ => {
            let expected = format!("({b} or 1, {t}, R/2) with R at most {k}");
            return Err(wrong("cos", cos, expected).into());
        }
    }
    if sin.dims() != cos.dims() {
        return Err(wrong("sin", sin, format!("that of cos, {:?}", cos.dims())).into());
    }
    if !is_fusable(x) || cos.track_op() || sin.track_op() {
        return composed::rotate(x, cos, sin, layout);
    }
    let op = Rotate {
        cos: cos.to_dtype(x.dtype())?.contiguous()?,
        sin: sin.to_dtype(x.dtype())?.contiguous()?,
        layout,
        backwards: false,
    };
    with_rows(x)?.apply_op1(op)
}

struct Rotate {
    cos: Tensor,
    sin: Tensor,
    layout: RotaryLayout,
    backwards: bool,
}

impl CustomOp1 for Rotate {
    fn name(&self) -> &'static str {
        "rotate"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dims = layout.shape().dims4()?;
        let rows =
            Rows4::new(layout).ok_or_else(|| candle_core::Error::RequiresContiguous { op: "rotate" }.bt())?;
        let (cos, sin) = (Host::new(&self.cos), Host::new(&self.sin));
        by_dtype!("rotate", x.dtype(), T => {
            let y = turn::<T>(
                x.as_slice()?,
                rows,
                dims,
                cos.slice()?,
                sin.slice()?,
                self.cos.dim(0)? > 1,
                self.layout,
                if self.backwards { -1.0 } else { 1.0 },
            );
            Ok((T::to_cpu_storage_owned(y), layout.shape().clone()))
        })
    }

    fn bwd(&self, _x: &Tensor, _y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let inverse = Rotate {
            cos: self.cos.clone(),
            sin: self.sin.clone(),
            layout: self.layout,
            backwards: !self.backwards,
        };
        Ok(Some(with_rows(grad)?.apply_op1_no_bwd(&inverse)?))
    }
}

vectorised! {
    #[expect(clippy::too_many_arguments)]
    fn turn<'a, T, S>(
        x: &'a [T],
        rows: Rows4,
        dims: (usize, usize, usize, usize),
        cos: &'a [T], // (B or 1, T, R/2)
        sin: &'a [T],
        by_row: bool,
        layout: RotaryLayout,
        direction: f64,
    ) -> Vec<T> {
        let (b, t, h, k) = dims;
        let angle_rows = if by_row { b * t } else { t };
        let half = cos.len() / angle_rows.max(1);
        let direction = T::real(direction);
        let mut y = vec![T::ZERO; b * t * h * k];
        for batch in 0..b {
            for place in 0..t {
                let angle = half * if by_row { batch * t + place } else { place };
                let (cos, sin) = (&cos[angle..angle + half], &sin[angle..angle + half]);
                for head in 0..h {
                    let from = rows.at(batch, place, head);
                    let x = &x[from..from + k];
                    let to = ((batch * t + place) * h + head) * k;
                    let y = &mut y[to..to + k];
                    y[2 * half..].copy_from_slice(&x[2 * half..]);
                    match layout {
                        RotaryLayout::HalfSplit => {
                            let (x1, x2) = (&x[..half], &x[half..2 * half]);
                            let (y1, y2) = y[..2 * half].split_at_mut(half);
                            for i in 0..half {
                                let s = direction * sin[i];
                                y1[i] = x1[i] * cos[i] - x2[i] * s;
                                y2[i] = x1[i] * s + x2[i] * cos[i];
                            }
                        }
                        RotaryLayout::Interleaved => {
                            let pairs = x.as_chunks::<2>().0.iter().zip(y.as_chunks_mut::<2>().0);
                            for (([x1, x2], y), (&c, &s)) in pairs.zip(cos.iter().zip(sin)) {
                                let s = direction * s;
                                *y = [*x1 * c - *x2 * s, *x1 * s + *x2 * c];
                            }
                        }
                    }
                }
            }
        }
        y
    }
}
