//! Dense products in registers: the core of the linear map.
//!
//! `C (+)= A B` is computed in blocks of C that stay in vector registers for the whole inner
//! dimension. B is laid out in panels of NR columns. A is read where it lies, by rows or by columns,
//! one element at a time into all lanes of a register. A strip of rows of A is taken across the
//! panels before the next one: the strip stays in the first-level cache, the panels in the second.
//!
//! Each element of C is a sum over the inner dimension in ascending order, from zero, and is then
//! added to C: its bits depend on the operands and not on the shape of the blocks, which is chosen
//! for the instruction set. Where the processor has a fused multiply-add it is used, which rounds
//! once and not twice, so that the last bits differ between processors with and without.

use crate::lanes::Lanes;
use crate::real::Real;
use pulp::{Simd, WithSimd};
use std::array::from_fn;
use std::ops::Range;

/// Columns of a panel: an AVX-512 register of f32, two of AVX2.
pub(crate) const NR: usize = 16;

/// Panels that a strip of A goes across: at an inner dimension of 256, a quarter of the second-level
/// cache.
const GROUP: usize = 16;

/// One row of a panel. Vectors of it never cross a cache line, which alone is worth a fifth.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line<T>([T; NR]);

/// B `(k, n)` in ⌈n/NR⌉ panels of k rows of NR columns, padded with zeros.
pub(crate) struct Panels<T> {
    lines: Vec<Line<T>>, // never shrinks
    k: usize,
    n: usize,
}

impl<T> Default for Panels<T> {
    fn default() -> Self {
        Self { lines: Vec::new(), k: 0, n: 0 }
    }
}

impl<T: Real> Panels<T> {
    /// The lines of another B, to be written.
    #[inline(always)]
    fn reset(&mut self, k: usize, n: usize) -> &mut [Line<T>] {
        (self.k, self.n) = (k, n);
        let lines = k * n.div_ceil(NR);
        if self.lines.len() < lines {
            self.lines.resize(lines, Line([T::ZERO; NR]));
        }
        &mut self.lines[..lines]
    }

    /// From the rows of B: row i is `b[i * stride..][..n]`.
    #[inline(always)]
    pub(crate) fn set_rows(&mut self, b: &[T], stride: usize, k: usize, n: usize) {
        /// Panels written at once: the rows of a wide B lie a page apart, and four of its lines
        /// next to each other are fetched faster than one.
        const TOGETHER: usize = 4;
        let lines = self.reset(k, n);
        if k == 0 {
            return;
        }
        let whole = n / NR / TOGETHER * TOGETHER;
        let (together, single) = lines.split_at_mut(whole * k);
        for (panels, first) in together.chunks_exact_mut(TOGETHER * k).zip((0..).step_by(TOGETHER * NR)) {
            for (i, row) in b[first..].chunks(stride).take(k).enumerate() {
                for (q, row) in row.as_chunks().0.iter().take(TOGETHER).enumerate() {
                    panels[q * k + i].0 = *row;
                }
            }
        }
        for (panel, first) in single.chunks_exact_mut(k).zip((whole * NR..).step_by(NR)) {
            for (line, row) in panel.iter_mut().zip(b[first..].chunks(stride)) {
                let row = &row[..NR.min(n - first)];
                line.0 = from_fn(|j| row.get(j).copied().unwrap_or(T::ZERO));
            }
        }
    }

    /// Another B, to be written in parts from its columns.
    pub(crate) fn by_columns(&mut self, k: usize, n: usize) -> impl Iterator<Item = ColumnsTo<'_, T>> {
        /// Panels of a part.
        const TOGETHER: usize = 4;
        let parts = self.reset(k, n).chunks_mut((k * TOGETHER).max(1)).enumerate();
        parts.map(move |(at, lines)| ColumnsTo { lines, k, n, first: at * TOGETHER * NR })
    }

    #[inline(always)]
    fn panel(&self, p: usize, inner: &Range<usize>) -> &[Line<T>] {
        &self.lines[p * self.k..][inner.start..inner.end]
    }
}

/// Some panels of B, to be written.
pub(crate) struct ColumnsTo<'a, T> {
    lines: &'a mut [Line<T>],
    k: usize,
    n: usize,
    /// The first column.
    first: usize,
}

impl<T: Real> ColumnsTo<'_, T> {
    /// From the columns of B: column j is `b[j * stride..][..k]`.
    #[inline(always)]
    pub(crate) fn set<S: Simd>(self, simd: S, b: &[T], stride: usize) {
        let Self { lines, k, n, first } = self;
        for (panel, first) in lines.chunks_exact_mut(k).zip((first..).step_by(NR)) {
            let width = NR.min(n - first);
            let column = |j: usize| &b[(first + j) * stride..][..k];
            let mut done = 0;
            if width == NR {
                let columns: [&[[T; 4]]; NR] = from_fn(|j| &column(j).as_chunks().0[..k / 4]);
                for (i, lines) in panel.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    for half in [0, NR / 2] {
                        let rows = T::transpose(simd, from_fn(|j| columns[half + j][i]));
                        for (line, row) in lines.iter_mut().zip(&rows) {
                            line.0[half..half + NR / 2].copy_from_slice(row);
                        }
                    }
                }
                done = k / 4 * 4;
            }
            for (i, line) in panel.iter_mut().enumerate().skip(done) {
                line.0 = from_fn(|j| if j < width { column(j)[i] } else { T::ZERO });
            }
        }
    }
}

/// A matrix where it lies: row i is `data[i * stride..]`.
#[derive(Clone, Copy)]
pub(crate) struct ByRows<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
}

/// `C (+)= A B`, or `C (+)= Aᵀ B` if `TRANSPOSED`.
pub(crate) struct Product<'a, T, const TRANSPOSED: bool> {
    /// Rows of C.
    pub(crate) m: usize,
    /// `(m, k)`, or `(k, m)`; begins at the first of the selected rows of B.
    pub(crate) a: ByRows<'a, T>,
    pub(crate) b: &'a Panels<T>,
    /// The rows of B that take part.
    pub(crate) inner: Range<usize>,
    /// Row i of C is `c[i * c_stride..][..n]`.
    pub(crate) c: &'a mut [T],
    pub(crate) c_stride: usize,
    /// Whether to add to C; otherwise what it holds is never read.
    pub(crate) accumulate: bool,
}

/// R rows of C in P panels, W vectors to a line.
type Block<T, S, const R: usize, const P: usize, const W: usize> = [[[<T as Lanes>::Vector<S>; W]; P]; R];

impl<T: Real, const TRANSPOSED: bool> WithSimd for Product<'_, T, TRANSPOSED> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Vectors to a line, and the largest height of a block: of the heights that leave enough
        // registers, the smallest that keeps the multipliers busy.
        match size_of::<Line<T>>() / size_of::<T::Vector<S>>() {
            1 => self.blocks::<S, 1, 8>(simd), // AVX-512: 8 × 32, 16 of 32 registers
            2 => self.blocks::<S, 2, 6>(simd), // AVX2: 6 × 16, 12 of 16 registers
            4 => self.blocks::<S, 4, 4>(simd), // NEON: 4 × 16, 16 of 32 registers
            8 => self.blocks::<S, 8, 2>(simd),
            _ => self.blocks::<S, 16, 2>(simd), // no vectors
        }
    }
}

impl<T: Real, const TRANSPOSED: bool> Product<'_, T, TRANSPOSED> {
    #[inline(always)]
    fn blocks<S: Simd, const W: usize, const TALL: usize>(mut self, simd: S) {
        let panels = self.b.n.div_ceil(NR);
        for first in (0..panels).step_by(GROUP) {
            let panels = first..panels.min(first + GROUP);
            let mut i = 0;
            while i < self.m {
                let left = self.m - i;
                // The last two blocks share their rows: a low block is bound by latency.
                let height = if left > TALL && left < 2 * TALL { left.div_ceil(2) } else { left.min(TALL) };
                match height {
                    1 => self.across::<S, 1, W>(simd, i, panels.clone()),
                    2 => self.across::<S, 2, W>(simd, i, panels.clone()),
                    3 if TALL > 2 => self.across::<S, 3, W>(simd, i, panels.clone()),
                    4 if TALL > 2 => self.across::<S, 4, W>(simd, i, panels.clone()),
                    5 if TALL > 4 => self.across::<S, 5, W>(simd, i, panels.clone()),
                    6 if TALL > 4 => self.across::<S, 6, W>(simd, i, panels.clone()),
                    7 if TALL > 6 => self.across::<S, 7, W>(simd, i, panels.clone()),
                    8 if TALL > 6 => self.across::<S, 8, W>(simd, i, panels.clone()),
                    _ => unreachable!("no block is higher than {TALL}"),
                }
                i += height;
            }
        }
    }

    /// R rows of C from row i on, in all of `panels`.
    #[inline(always)]
    fn across<S: Simd, const R: usize, const W: usize>(&mut self, simd: S, i: usize, panels: Range<usize>) {
        let mut p = panels.start;
        while W == 1 && p + 2 <= panels.end {
            self.block::<S, R, 2, W>(simd, i, p);
            p += 2;
        }
        while p < panels.end {
            self.block::<S, R, 1, W>(simd, i, p);
            p += 1;
        }
    }

    /// R rows of C from row i on, in P panels from panel p on.
    #[inline(always)]
    fn block<S: Simd, const R: usize, const P: usize, const W: usize>(
        &mut self,
        simd: S,
        i: usize,
        p: usize,
    ) {
        let depth = self.inner.len();
        let ByRows { data, stride } = self.a;
        let b = from_fn(|q| self.b.panel(p + q, &self.inner));
        let block = if TRANSPOSED {
            let data = if depth == 0 { data } else { &data[i..][..(depth - 1) * stride + R] };
            let column = |k: usize| {
                let x = &data[k * stride..][..R];
                from_fn(|r| x[r])
            };
            sums::<T, S, R, P, W>(simd, depth, column, b)
        } else {
            let rows: [&[T]; R] = from_fn(|r| &data[(i + r) * stride..][..depth]);
            sums::<T, S, R, P, W>(simd, depth, |k| from_fn(|r| rows[r][k]), b)
        };
        self.store(simd, &block, i, p);
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const P: usize, const W: usize>(
        &mut self,
        simd: S,
        block: &Block<T, S, R, P, W>,
        i: usize,
        p: usize,
    ) {
        let first = p * NR;
        let width = (P * NR).min(self.b.n - first);
        for (r, sums) in block.iter().enumerate() {
            let c = &mut self.c[(i + r) * self.c_stride + first..][..width];
            if width == P * NR {
                for (c, sums) in c.as_chunks_mut::<NR>().0.iter_mut().zip(sums) {
                    for (c, &sum) in T::vectors_mut::<S>(c).iter_mut().zip(sums) {
                        *c = if self.accumulate { T::sum(simd, *c, sum) } else { sum };
                    }
                }
            } else {
                let mut lines = [[T::ZERO; NR]; P];
                for (line, sums) in lines.iter_mut().zip(sums) {
                    T::vectors_mut::<S>(line).copy_from_slice(sums);
                }
                for (c, &sum) in c.iter_mut().zip(lines.as_flattened()) {
                    *c = if self.accumulate { *c + sum } else { sum };
                }
            }
        }
    }
}

/// `Σ_k a(k) b(k)` for columns a of A and rows b of B.
///
/// The sums are returned and not written here: an array that is also indexed by a variable would
/// be kept in memory instead of registers.
#[expect(
    clippy::needless_range_loop,
    reason = "one index into operands of one length: the bounds are checked once, outside"
)]
#[inline(always)]
fn sums<T: Real, S: Simd, const R: usize, const P: usize, const W: usize>(
    simd: S,
    depth: usize,
    a: impl Fn(usize) -> [T; R],
    b: [&[Line<T>]; P],
) -> Block<T, S, R, P, W> {
    let b = b.map(|panel| &panel[..depth]);
    let mut sums = [[[T::splat(simd, T::ZERO); W]; P]; R];
    for k in 0..depth {
        let x = a(k);
        let lines: [&[T::Vector<S>]; P] = from_fn(|q| T::vectors::<S>(&b[q][k].0));
        for r in 0..R {
            let x = T::splat(simd, x[r]);
            for q in 0..P {
                for w in 0..W {
                    sums[r][q][w] = T::fused(simd, x, lines[q][w], sums[r][q][w]);
                }
            }
        }
    }
    sums
}
