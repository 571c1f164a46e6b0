//! Which keys the eight rows of a block of queries see.

use super::AttentionSpec;
use super::block::{Block, LANES, ROWS, each_row};
use crate::real::Real;
use std::ops::Range;

/// The visible keys `begin[r]..end[r]` of each row, none for rows beyond the last.
#[derive(Clone)]
pub(super) struct Sight {
    begin: [i32; ROWS],
    end: [i32; ROWS],
    /// From the first key to the last that any row sees.
    keys: Range<usize>,
    /// Blocks of sixteen keys that hold them.
    pub(super) blocks: Range<usize>,
    /// Keys that every row sees.
    common: Range<i32>,
}

impl Sight {
    #[inline(always)]
    pub(super) fn new(spec: &AttentionSpec, first: usize, tq: usize, tk: usize) -> Self {
        let (mut begin, mut end) = ([0; ROWS], [0; ROWS]);
        let (mut low, mut high) = (usize::MAX, 0);
        for r in 0..ROWS.min(tq.saturating_sub(first)) {
            let (b, e) = spec.visible(first + r, tq, tk);
            (begin[r], end[r]) = (b as i32, e as i32);
            if b < e {
                low = low.min(b);
                high = high.max(e);
            }
        }
        let keys = if low < high { low..high } else { 0..0 };
        let blocks = keys.start / LANES..keys.end.div_ceil(LANES);
        let common = begin.into_iter().fold(0, i32::max)..end.into_iter().fold(i32::MAX, i32::min);
        Self { begin, end, keys, blocks, common }
    }

    /// Whether every row sees all of a block of keys.
    #[inline(always)]
    pub(super) fn is_full(&self, block: usize) -> bool {
        let first = (block * LANES) as i32;
        self.common.start <= first && first + LANES as i32 <= self.common.end
    }

    /// Whether any row sees any of the keys.
    #[inline(always)]
    pub(super) fn meets(&self, keys: Range<usize>) -> bool {
        self.keys.start < keys.end && keys.start < self.keys.end
    }

    /// Whether row r sees anything.
    #[inline(always)]
    pub(super) fn sees(&self, r: usize) -> bool {
        self.begin[r] < self.end[r]
    }

    /// The keys that row r sees.
    #[inline(always)]
    pub(super) fn of_row(&self, r: usize) -> Range<usize> {
        self.begin[r] as usize..self.end[r] as usize
    }

    /// The columns of a block that row r sees.
    #[inline(always)]
    pub(super) fn columns(&self, block: usize, r: usize) -> Range<usize> {
        let first = (block * LANES) as i32;
        let place = |j: i32| (j - first).clamp(0, LANES as i32) as usize;
        place(self.begin[r])..place(self.end[r])
    }

    /// Puts `hidden` where a row does not see the key.
    #[inline(always)]
    pub(super) fn hide<T: Real>(&self, block: usize, values: &mut Block<T>, hidden: T) {
        let first = (block * LANES) as i32;
        each_row!(ROWS, ROW => {
            let begin = self.begin[ROW] - first;
            let count = (self.end[ROW] - self.begin[ROW]) as u32;
            // One unsigned comparison: columns before the first wrap around to large numbers.
            values[ROW] = values[ROW].map(|l, x| {
                if ((l as i32).wrapping_sub(begin) as u32) < count { x } else { hidden }
            });
        });
    }
}
