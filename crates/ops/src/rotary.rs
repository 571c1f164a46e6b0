//! Rotary position embedding (Su et al., 2021).
//!
//! ```text
//! (a, b) ← (a cos θ − b sin θ, a sin θ + b cos θ)      for each of the R/2 pairs (a, b)
//! ```
//! The backward pass is the same rotation by −θ.

use crate::fused::{Fused, Sinks, View, apply};
use crate::host::{Host, Rows4, is_fusable, with_rows};
use crate::real::Real;
use crate::threads::Team;
use crate::vector::vectorised;
use crate::{OpsError, Result, composed, memory};
use candle_core::{Shape, Tensor};

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
        dims: x.dims4()?,
    };
    apply(op, &[&with_rows(x)?])
}

struct Rotate {
    cos: Tensor,
    sin: Tensor,
    layout: RotaryLayout,
    dims: (usize, usize, usize, usize),
}

impl Rotate {
    /// Turns the rows of x by ±θ into y.
    fn turn<T: Real>(
        &self,
        x: &[T],
        rows: Rows4,
        y: &mut [T],
        direction: f64,
        accumulate: bool,
        team: &Team,
    ) -> Result<()> {
        let (cos, sin) = (Host::new(&self.cos), Host::new(&self.sin));
        let by_row = self.cos.dim(0)? > 1;
        let angles = Angles { cos: cos.slice()?, sin: sin.slice()?, by_row, layout: self.layout };
        let (b, t, h, k) = self.dims;
        let piece = team.rows_at_once(b * t, b * t);
        team.each(y.chunks_mut((piece * h * k).max(1)).enumerate(), |(at, y)| {
            turn::<T>((x, &rows), at * piece, self.dims, angles, direction, y, accumulate);
        });
        Ok(())
    }
}

impl Fused for Rotate {
    const READS_INPUTS: bool = false;

    fn name(&self) -> &'static str {
        "rotate"
    }

    fn forward<T: Real>(&self, inputs: &[View<'_, T>], keep: bool) -> Result<(Vec<T>, Shape)> {
        let shape = inputs[0].shape().clone();
        let (x, rows) = inputs[0].rows4()?;
        let mut y = memory::take(shape.elem_count());
        self.turn(x, rows, &mut y, 1.0, false, &Team::of_forward(keep, 2 * x.len()))?;
        Ok((y, shape))
    }

    fn backward<T: Real>(
        &self,
        _: &[View<'_, T>],
        _: &[T],
        grad: &mut [T],
        sinks: &mut Sinks<'_, T>,
    ) -> Result<()> {
        if let Some(sink) = sinks[0].take() {
            let (dx, accumulate) = sink.open();
            self.turn(grad, Rows4::contiguous(self.dims), dx, -1.0, accumulate, &Team::ONE)?;
        }
        Ok(())
    }
}

/// Cosines and sines `(B or 1, T, R/2)`.
#[derive(Clone, Copy)]
struct Angles<'a, T> {
    cos: &'a [T],
    sin: &'a [T],
    by_row: bool,
    layout: RotaryLayout,
}

vectorised! {
    fn turn<'a, T, S>(
        from: (&'a [T], &'a Rows4),
        first: usize,
        dims: (usize, usize, usize, usize),
        angles: Angles<'a, T>,
        direction: f64,
        y: &'a mut [T],
        accumulate: bool,
    ) {
        let (x, rows) = from;
        let (b, t, h, k) = dims;
        let Angles { cos, sin, by_row, layout } = angles;
        let angle_rows = if by_row { b * t } else { t };
        let half = cos.len() / angle_rows.max(1);
        let direction = T::real(direction);
        let mut turned = vec![T::ZERO; k];
        for (row, y) in (first..).zip(y.chunks_exact_mut((h * k).max(1))) {
            let (batch, place) = (row / t, row % t);
            let angle = half * if by_row { row } else { place };
            let (cos, sin) = (&cos[angle..angle + half], &sin[angle..angle + half]);
            for (head, y) in y.chunks_exact_mut(k).enumerate() {
                let from = rows.at(batch, place, head);
                let x = &x[from..from + k];
                turned[2 * half..].copy_from_slice(&x[2 * half..]);
                match layout {
                    RotaryLayout::HalfSplit => {
                        let (x1, x2) = (&x[..half], &x[half..2 * half]);
                        let (y1, y2) = turned[..2 * half].split_at_mut(half);
                        for i in 0..half {
                            let s = direction * sin[i];
                            y1[i] = x1[i] * cos[i] - x2[i] * s;
                            y2[i] = x1[i] * s + x2[i] * cos[i];
                        }
                    }
                    RotaryLayout::Interleaved => {
                        let pairs = x.as_chunks::<2>().0.iter().zip(turned.as_chunks_mut::<2>().0);
                        for (([x1, x2], y), (&c, &s)) in pairs.zip(cos.iter().zip(sin)) {
                            let s = direction * s;
                            *y = [*x1 * c - *x2 * s, *x1 * s + *x2 * c];
                        }
                    }
                }
                if accumulate {
                    for (y, &turned) in y.iter_mut().zip(&turned) {
                        *y += turned;
                    }
                } else {
                    y.copy_from_slice(&turned);
                }
            }
        }
    }
}
