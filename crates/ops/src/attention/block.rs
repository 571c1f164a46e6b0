//! Products of small blocks: everything attention computes is made of these two.
//!
//! ```text
//! C (8, 16) += A (8, 16) B (16, 16)              scores, ∂p, o, ∂q
//! C (8, 16) += A[.., first..first + 8]ᵀ B        ∂k, ∂v with A (8, 16), B (8, 16)
//! ```
//! C stays in vector registers along a whole chain of blocks: eight rows of one AVX-512 register each, or, where
//! registers are half as long and half as many, twice four rows of two. Elements are summed in the order of the chain
//! either way, so that both give the same bits.

use crate::real::Real;
use pulp::Simd;

/// Columns of a block.
pub(super) const LANES: usize = 16;
/// Rows of a block of queries.
pub(super) const ROWS: usize = 8;

/// One row of a block: a cache line of f32.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Lanes<T>(pub [T; LANES]);

impl<T: Real> Lanes<T> {
    pub(super) const ZERO: Self = Self([T::ZERO; LANES]);

    /// `f` of each element and its lane.
    #[inline(always)]
    pub(super) fn map(self, f: impl Fn(usize, T) -> T) -> Self {
        let mut result = self;
        for l in 0..LANES {
            result.0[l] = f(l, self.0[l]);
        }
        result
    }

    /// `f` of two elements.
    #[inline(always)]
    pub(super) fn zip(self, other: Self, f: impl Fn(T, T) -> T) -> Self {
        self.map(|l, x| f(x, other.0[l]))
    }
}

/// Eight rows: queries by keys, or queries by dimensions.
pub(super) type Block<T> = [Lanes<T>; ROWS];
/// Sixteen rows: keys by dimensions, or dimensions by keys.
pub(super) type Square<T> = [Lanes<T>; LANES];

/// `a · b + c`, rounded once where the processor can.
#[inline(always)]
pub(super) fn fused<T: Real, S: Simd>(a: T, b: T, c: T) -> T {
    // Without the instruction a fused multiply-add is a library call.
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

/// Whether eight rows of accumulators and their operands fit the registers.
#[inline(always)]
pub(super) fn is_wide<S: Simd>() -> bool {
    size_of::<S::f32s>() == size_of::<[f32; LANES]>()
}

/// Calls `step` for each row of a register block. Written out because a loop over rows is not always unrolled, and
/// the accumulators then live in memory.
macro_rules! each_row {
    ($rows:ident, $r:ident => $step:expr) => {
        each_row!(@ $rows, $r, 0 1 2 3 4 5 6 7 => $step)
    };
    (@ $rows:ident, $r:ident, $($n:literal)* => $step:expr) => {{
        $(if $n < $rows {
            const $r: usize = $n;
            $step;
        })*
    }};
}
pub(super) use each_row;

/// `acc += x b`.
#[inline(always)]
pub(super) fn axpy<T: Real, S: Simd>(x: T, b: &Lanes<T>, acc: &mut Lanes<T>) {
    for l in 0..LANES {
        acc.0[l] = fused::<T, S>(x, b.0[l], acc.0[l]);
    }
}

/// `acc += A[from..from + R] B`.
#[expect(clippy::needless_range_loop, reason = "one index into a column of A and a row of B")]
#[inline(always)]
pub(super) fn multiply<T: Real, S: Simd, const R: usize>(
    acc: &mut [Lanes<T>; R],
    a: &Block<T>,
    from: usize,
    b: &Square<T>,
) {
    let Some(a) = a[from..].first_chunk::<R>() else { return };
    for k in 0..LANES {
        each_row!(R, ROW => axpy::<T, S>(a[ROW].0[k], &b[k], &mut acc[ROW]));
    }
}

/// `acc += A[.., FROM..FROM + R]ᵀ B`.
#[inline(always)]
pub(super) fn multiply_transposed<T: Real, S: Simd, const R: usize, const FROM: usize>(
    acc: &mut [Lanes<T>; R],
    a: &Block<T>,
    b: &Block<T>,
) {
    for k in 0..ROWS {
        each_row!(R, ROW => axpy::<T, S>(a[k].0[FROM + ROW], &b[k], &mut acc[ROW]));
    }
}

/// `to = Q Kᵀ` for one block of keys.
#[inline(always)]
pub(super) fn score<T: Real, S: Simd>(queries: &[Block<T>], keys: &[Square<T>], to: &mut Block<T>) {
    #[inline(always)]
    fn rows<T: Real, S: Simd, const R: usize>(
        queries: &[Block<T>],
        keys: &[Square<T>],
        from: usize,
        to: &mut Block<T>,
    ) {
        let mut acc = [Lanes::ZERO; R];
        for (q, k) in queries.iter().zip(keys) {
            multiply::<T, S, R>(&mut acc, q, from, k);
        }
        to[from..from + R].copy_from_slice(&acc);
    }
    if is_wide::<S>() {
        rows::<T, S, ROWS>(queries, keys, 0, to);
    } else {
        rows::<T, S, { ROWS / 2 }>(queries, keys, 0, to);
        rows::<T, S, { ROWS / 2 }>(queries, keys, ROWS / 2, to);
    }
}

/// Folds the lanes of each row pairwise: lane l with lane l + 8, then l + 4, and so on.
///
/// The rows are overwritten on the way, and belong to somebody else: halves that must be stored are computed as
/// vectors, while of a local copy the compiler would gather its lanes one by one.
#[inline(always)]
pub(super) fn fold<T: Real>(rows: &mut Block<T>, combine: impl Fn(T, T) -> T) -> [T; ROWS] {
    let mut folded = [T::ZERO; ROWS];
    each_row!(ROWS, ROW => {
        let row = &mut rows[ROW].0;
        for l in 0..8 {
            row[l] = combine(row[l], row[l + 8]);
        }
        for l in 0..4 {
            row[l] = combine(row[l], row[l + 4]);
        }
        folded[ROW] = combine(combine(row[0], row[2]), combine(row[1], row[3]));
    });
    folded
}
