//! The bias of one head by place: distances descending, as they meet ascending keys.
//!
//! ```text
//! table[x] = bias[h, Tq' + Tk − Tq − 1 − x]     key j and row i read x = Tq' − 1 − i + j
//! ```
//! with Tq' the rows filled up to whole blocks. Every block of scores reads inside the table; distances that the given
//! values do not cover are hidden ones, and zero.

use super::block::{Block, LANES, Lanes, ROWS};
use crate::real::Real;

/// The values given: `(H, N)`, distances ascending from `first`.
#[derive(Clone, Copy)]
pub(super) struct BiasValues<'a, T> {
    pub(super) values: &'a [T],
    pub(super) first: i64,
}

/// Where a head's table lies against rows, keys and distances.
#[derive(Clone, Copy)]
pub(super) struct Diagonals {
    rows: usize,
    len: usize,
    /// The distance of the first element.
    largest: i64,
}

impl Diagonals {
    pub(super) fn new(tq: usize, tk: usize) -> Self {
        let rows = tq.next_multiple_of(ROWS);
        let len = rows + tk.next_multiple_of(LANES);
        Self { rows, len, largest: (rows + tk) as i64 - tq as i64 - 1 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Where row `row` finds its value for the first key of a block.
    #[inline(always)]
    fn place(&self, row: usize, block: usize) -> usize {
        self.rows - 1 - row + block * LANES
    }

    /// Fills the table from a head's values, times `scale`.
    #[inline(always)]
    pub(super) fn read<T: Real>(&self, values: &[T], first: i64, scale: T, table: &mut [T]) {
        table.fill(T::ZERO);
        for (c, &value) in values.iter().enumerate() {
            if let Some(x) = self.index(first, c) {
                table[x] = value * scale;
            }
        }
    }

    /// Adds the gradient of the table to that of a head's values.
    #[inline(always)]
    pub(super) fn give<T: Real>(&self, table: &[T], first: i64, gradient: &mut [T]) {
        for (c, gradient) in gradient.iter_mut().enumerate() {
            if let Some(x) = self.index(first, c) {
                *gradient += table[x];
            }
        }
    }

    fn index(&self, first: i64, column: usize) -> Option<usize> {
        usize::try_from(self.largest - first - column as i64).ok().filter(|&x| x < self.len)
    }

    /// Adds the bias of row `row` to its scores for a block of keys.
    #[inline(always)]
    pub(super) fn add<T: Real>(&self, table: &[T], row: usize, block: usize, scores: &mut Lanes<T>) {
        if let Some(bias) = table[self.place(row, block)..].first_chunk::<LANES>() {
            for (score, &bias) in scores.0.iter_mut().zip(bias) {
                *score += bias;
            }
        }
    }

    /// Adds the gradients of a block's scores along its diagonals.
    #[inline(always)]
    pub(super) fn collect<T: Real>(&self, table: &mut [T], first_row: usize, block: usize, grad: &Block<T>) {
        for (r, grad) in grad.iter().enumerate() {
            if let Some(sum) = table[self.place(first_row + r, block)..].first_chunk_mut::<LANES>() {
                for (sum, &grad) in sum.iter_mut().zip(&grad.0) {
                    *sum += grad;
                }
            }
        }
    }
}
