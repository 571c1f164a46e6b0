//! Products over the visible pairs only, element by element.
//!
//! A hidden pair has the pattern 0, and 0 · ∞ is not a number: where an operand is not finite, blocks that are hidden
//! in part are multiplied like this, so that no row is touched by a key it does not see. The others get the same bits.

use super::block::{Block, Lanes, ROWS, Square, axpy};
use super::sight::Sight;
use crate::real::Real;
use pulp::Simd;

/// `acc[r] += Σ A[r][j] B[j]` over the keys j that the row sees.
#[cold]
#[inline(never)]
pub(super) fn multiply<T: Real, S: Simd>(
    acc: &mut [Lanes<T>],
    a: &Block<T>,
    b: &Square<T>,
    sight: &Sight,
    block: usize,
) {
    for (r, acc) in acc.iter_mut().enumerate() {
        for j in sight.columns(block, r) {
            axpy::<T, S>(a[r].0[j], &b[j], acc);
        }
    }
}

/// `acc[r] += Σ A[i][r] B[i]` over the rows i that see key r.
#[cold]
#[inline(never)]
pub(super) fn multiply_transposed<T: Real, S: Simd>(
    acc: &mut [Lanes<T>],
    a: &Block<T>,
    b: &Block<T>,
    sight: &Sight,
    block: usize,
) {
    for i in 0..ROWS {
        let columns = sight.columns(block, i);
        for (r, acc) in acc.iter_mut().enumerate() {
            if columns.contains(&r) {
                axpy::<T, S>(a[i].0[r], &b[i], acc);
            }
        }
    }
}
