//! Operands in blocks: contiguous, aligned, padded with zeros to whole blocks, scaled on the way.
//!
//! Rows t of a head `(T, K)` become blocks of N rows by [`LANES`] dimensions, `[T/N][K/16]`, or, transposed, squares of
//! 16 dimensions by 16 rows at the same places.

use super::block::{LANES, Lanes, Square, fused};
use crate::real::Real;
use pulp::Simd;

/// The rows of one head of one sequence: row t is `data[t * stride..][..width]`.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a, T> {
    pub(super) data: &'a [T],
    pub(super) stride: usize,
    pub(super) width: usize,
    pub(super) count: usize,
}

impl<T: Real> HeadRows<'_, T> {
    #[inline(always)]
    pub(super) fn row(&self, t: usize) -> &[T] {
        &self.data[t * self.stride..][..self.width]
    }
}

/// The number of panels of sixteen dimensions.
pub(super) fn panels(width: usize) -> usize {
    width.div_ceil(LANES)
}

/// Remembers whether everything it saw was finite.
pub(super) struct Finite<T>(Lanes<T>);

impl<T: Real> Finite<T> {
    pub(super) const NEW: Self = Self(Lanes::ZERO);

    #[inline(always)]
    fn see<S: Simd>(&mut self, x: &Lanes<T>) {
        // 0 · x is 0, but for infinities and NaNs, for which it is a NaN.
        for l in 0..LANES {
            self.0.0[l] = fused::<T, S>(x.0[l], T::ZERO, self.0.0[l]);
        }
    }

    #[inline(always)]
    pub(super) fn all(&self) -> bool {
        self.0.0.iter().all(|&x| x == T::ZERO)
    }
}

/// Blocks of N rows from row `first` on, times `scale`, as many as `to` holds; zeros beyond the last row and the last
/// dimension. Says whether all of it is finite.
#[inline(always)]
pub(super) fn pack<T: Real, S: Simd, const N: usize>(
    rows: &HeadRows<'_, T>,
    first: usize,
    scale: T,
    to: &mut [[Lanes<T>; N]],
) -> bool {
    let mut finite = Finite::NEW;
    for (at, to) in to.chunks_exact_mut(panels(rows.width).max(1)).enumerate() {
        let first = first + at * N;
        let count = N.min(rows.count.saturating_sub(first));
        for r in 0..count {
            let (whole, rest) = rows.row(first + r).as_chunks::<LANES>();
            for (to, from) in to.iter_mut().zip(whole) {
                to[r] = Lanes(*from).map(|_, x| x * scale);
                finite.see::<S>(&to[r]);
            }
            if !rest.is_empty()
                && let Some(to) = to.last_mut()
            {
                to[r] = Lanes::ZERO;
                for (to, &x) in to[r].0.iter_mut().zip(rest) {
                    *to = x * scale;
                }
                finite.see::<S>(&to[r]);
            }
        }
        for to in to {
            to[count..].fill(Lanes::ZERO);
        }
    }
    finite.all()
}

/// Transposes each square.
#[inline(always)]
pub(super) fn transpose_all<T: Real>(from: &[Square<T>], to: &mut [Square<T>]) {
    for (from, to) in from.iter().zip(to) {
        transpose(from, to);
    }
}

/// Rows to columns in four rounds of a perfect shuffle: row and column of an element are eight bits, and interleaving
/// row r with row r + 8 turns them by one place.
#[inline(always)]
fn transpose<T: Real>(from: &Square<T>, to: &mut Square<T>) {
    let mut once = [Lanes::ZERO; LANES];
    shuffle(from, &mut once);
    let mut twice = [Lanes::ZERO; LANES];
    shuffle(&once, &mut twice);
    shuffle(&twice, &mut once);
    shuffle(&once, to);
}

#[inline(always)]
fn shuffle<T: Real>(from: &Square<T>, to: &mut Square<T>) {
    const HALF: usize = LANES / 2;
    for r in 0..HALF {
        let (a, b) = (from[r].0, from[r + HALF].0);
        for l in 0..HALF {
            to[2 * r].0[2 * l] = a[l];
            to[2 * r].0[2 * l + 1] = b[l];
            to[2 * r + 1].0[2 * l] = a[l + HALF];
            to[2 * r + 1].0[2 * l + 1] = b[l + HALF];
        }
    }
}
