//! A tile of score rows, and where the operands of one head lie.

use super::AttentionSpec;
use crate::host::Rows4;
use crate::matmul::{ByRows, NR, Panels, SHORT, multiply};
use crate::real::Real;
use pulp::Simd;

/// Query rows of a tile: enough to reuse each panel of keys, few enough that the rows of scores
/// stay in the cache.
pub(super) const ROWS: usize = 16;

/// The operands: storages and layouts of q `(B, Tq, H, K)` and k, v `(B, Tk, G, K)`.
pub(super) struct Heads<'a, T> {
    pub(super) b: usize,
    pub(super) h: usize,
    pub(super) g: usize,
    pub(super) tq: usize,
    pub(super) tk: usize,
    pub(super) d: usize,
    pub(super) q: (&'a [T], Rows4),
    pub(super) k: (&'a [T], Rows4),
    pub(super) v: (&'a [T], Rows4),
    /// `(H, N)` with distances descending, and the largest distance.
    pub(super) bias: Option<(&'a [T], i64)>,
}

/// The rows of one head of one sequence in a `(B, T, H, K)` operand: row t is row t of the result.
#[inline(always)]
pub(super) fn head<'a, T>(x: &(&'a [T], Rows4), batch: usize, head: usize) -> ByRows<'a, T> {
    ByRows {
        data: x.0.get(x.1.at(batch, 0, head)..).unwrap_or(&[]),
        stride: x.1.at(0, 1, 0) - x.1.at(0, 0, 0),
    }
}

impl<T: Real> Heads<'_, T> {
    /// The bias of `head` for the visible keys `begin..end` of query position `i`.
    #[inline(always)]
    fn bias_row(&self, head: usize, i: i64, begin: usize, end: usize) -> Option<&[T]> {
        let (values, largest) = self.bias?;
        let count = values.len() / self.h;
        // Column c holds distance largest − c; key j has distance i − j.
        let from = usize::try_from(largest - i + begin as i64).ok()?;
        values.get(head * count..(head + 1) * count)?.get(from..from + (end - begin))
    }
}

/// Scores of up to [`ROWS`] query rows against the keys `begin..end` that any of them sees.
pub(super) struct Tile<T> {
    /// `(ROWS, width)`.
    pub(super) scores: Vec<T>,
    pub(super) width: usize,
    /// The first query row and the number of rows.
    pub(super) first: usize,
    pub(super) count: usize,
    /// Keys seen by any row.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Panels of keys that hold them.
    pub(super) panels: std::ops::Range<usize>,
}

impl<T: Real> Tile<T> {
    #[inline(always)]
    pub(super) fn new(tk: usize) -> Self {
        let width = tk.next_multiple_of(NR);
        Self {
            scores: vec![T::ZERO; ROWS * width],
            width,
            first: 0,
            count: 0,
            begin: 0,
            end: 0,
            panels: 0..0,
        }
    }

    /// Moves to the rows from `first` on.
    #[inline(always)]
    pub(super) fn start(&mut self, spec: &AttentionSpec, first: usize, tq: usize, tk: usize) {
        self.first = first;
        self.count = ROWS.min(tq - first);
        // Bounds only grow with the row, so the outer rows bound them all.
        self.begin = spec.visible(first, tq, tk).0;
        self.end = spec.visible(first + self.count - 1, tq, tk).1.max(self.begin);
        self.panels = self.begin / NR..self.end.div_ceil(NR).max(self.begin / NR);
    }

    /// `rows · Bᵀ` for the keys of the tile, into `scores`; `columns` are the keys' panels.
    #[inline(always)]
    pub(super) fn dot<S: Simd>(&mut self, rows: ByRows<'_, T>, d: usize, columns: &Panels<T>) {
        let panels = self.panels.clone();
        multiply::<T, S, SHORT>(self.count, rows, columns, 0..d, panels, &mut self.scores, self.width, false);
    }

    /// Scales, adds the bias, and hands each row's visible part to `finish` with the row's number
    /// within the tile; the rest of the row becomes zero.
    #[inline(always)]
    pub(super) fn rows(
        &mut self,
        heads: &Heads<'_, T>,
        head: usize,
        spec: &AttentionSpec,
        mut finish: impl FnMut(usize, &mut [T]),
    ) {
        let scale = T::real(spec.scale);
        for r in 0..self.count {
            let row = self.first + r;
            let (begin, end) = spec.visible(row, heads.tq, heads.tk);
            let scores = &mut self.scores[r * self.width..(r + 1) * self.width];
            let visible = &mut scores[begin..end];
            let i = (row + heads.tk) as i64 - heads.tq as i64;
            match heads.bias_row(head, i, begin, end) {
                Some(bias) => {
                    for (s, &b) in visible.iter_mut().zip(bias) {
                        *s = *s * scale + b;
                    }
                }
                None => {
                    for s in visible.iter_mut() {
                        *s *= scale;
                    }
                }
            }
            finish(r, visible);
            if begin > self.begin {
                scores[self.begin..begin].fill(T::ZERO);
            }
            if end < self.end {
                scores[end.max(self.begin)..self.end].fill(T::ZERO);
            }
        }
    }

    /// The scores of the keys `begin..end`, by rows.
    #[inline(always)]
    pub(super) fn visible(&self) -> ByRows<'_, T> {
        ByRows { data: &self.scores[self.begin..], stride: self.width }
    }
}
