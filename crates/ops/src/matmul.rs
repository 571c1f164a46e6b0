//! Small dense products in registers: the core of the linear map and of attention.
//!
//! `C = A B` is computed in blocks of `MR × NR` (MR is 4 or 6) that stay in vector registers for the whole inner
//! dimension. B is first laid out in panels of NR columns; A is read where it lies, by rows or by
//! columns. Each element of C is summed over the inner dimension in ascending order (within
//! blocks of [`DEPTH`] in the linear map), so on one machine the result depends on nothing but the
//! operands. Where the processor has a fused multiply-add it is used, which rounds once and not
//! twice: the last bits may differ between processors.

use crate::real::Real;
use pulp::Simd;

/// Rows of a register block over long inner dimensions: with NR columns of f32 it fills 12 of the
/// 16 AVX2 registers.
pub(crate) const TALL: usize = 6;
/// Rows of a register block over the short inner dimensions of attention, whose tiles it divides;
/// measured there a fifth faster than [`TALL`].
pub(crate) const SHORT: usize = 4;
/// Columns of a register block: two AVX2 registers of f32.
pub(crate) const NR: usize = 16;
/// Inner dimension of one pass in the linear map: a panel of B stays in the first-level cache.
pub(crate) const DEPTH: usize = 256;

/// B `(k, n)` in ⌈n/NR⌉ panels of k rows of NR columns, padded with zeros.
#[derive(Default)]
pub(crate) struct Panels<T> {
    data: Vec<[T; NR]>,
    k: usize,
    n: usize,
}

impl<T: Real> Panels<T> {
    #[inline(always)]
    fn reset(&mut self, k: usize, n: usize) {
        self.k = k;
        self.n = n;
        self.data.clear();
        self.data.resize(k * n.div_ceil(NR), [T::ZERO; NR]);
    }

    /// From the rows of B: row i is `b[i * stride..][..n]`.
    #[inline(always)]
    pub(crate) fn set_rows(&mut self, b: &[T], stride: usize, k: usize, n: usize) {
        self.reset(k, n);
        if k == 0 {
            return;
        }
        for (p, panel) in self.data.chunks_exact_mut(k).enumerate() {
            let begin = p * NR;
            let width = NR.min(n - begin);
            for (i, row) in panel.iter_mut().enumerate() {
                let from = i * stride + begin;
                if width == NR {
                    row.copy_from_slice(&b[from..from + NR]);
                } else {
                    row[..width].copy_from_slice(&b[from..from + width]);
                }
            }
        }
    }

    /// From the columns of B: column j is `b[j * stride..][..k]`.
    #[inline(always)]
    pub(crate) fn set_columns(&mut self, b: &[T], stride: usize, k: usize, n: usize) {
        self.reset(k, n);
        if k == 0 {
            return;
        }
        for (p, panel) in self.data.chunks_exact_mut(k).enumerate() {
            for j in 0..NR.min(n - p * NR) {
                let from = (p * NR + j) * stride;
                for (row, &value) in panel.iter_mut().zip(&b[from..from + k]) {
                    row[j] = value;
                }
            }
        }
    }
}

/// A by rows: row i is `data[i * stride..]`.
#[derive(Clone, Copy)]
pub(crate) struct ByRows<'a, T> {
    pub(crate) data: &'a [T],
    pub(crate) stride: usize,
}

/// `C[.., columns] (+)= A[.., inner] B[inner, columns]`, C row-major with rows of `c_stride`.
///
/// `inner` selects rows of B; A's first inner element is the first of its rows. `panels` selects
/// panels of B, whose columns go to the same columns of C.
#[inline(always)]
#[expect(clippy::too_many_arguments)]
pub(crate) fn multiply<T: Real, S: Simd, const MR: usize>(
    m: usize,
    a: ByRows<'_, T>,
    b: &Panels<T>,
    inner: std::ops::Range<usize>,
    panels: std::ops::Range<usize>,
    c: &mut [T],
    c_stride: usize,
    accumulate: bool,
) {
    let depth = inner.len();
    for p in panels {
        let panel = &b.data[p * b.k + inner.start..p * b.k + inner.end];
        let width = NR.min(b.n - p * NR);
        let mut i = 0;
        while i < m {
            let row = |r: usize| {
                let from = (i + r) * a.stride;
                &a.data[from..from + depth]
            };
            let c = &mut c[i * c_stride + p * NR..];
            let target = (c, c_stride, width);
            match MR.min(m - i) {
                1 => rows::<T, S, 1>([0].map(row), panel, target, accumulate),
                2 => rows::<T, S, 2>([0, 1].map(row), panel, target, accumulate),
                3 => rows::<T, S, 3>([0, 1, 2].map(row), panel, target, accumulate),
                4 => rows::<T, S, 4>([0, 1, 2, 3].map(row), panel, target, accumulate),
                5 => rows::<T, S, 5>([0, 1, 2, 3, 4].map(row), panel, target, accumulate),
                _ => rows::<T, S, TALL>([0, 1, 2, 3, 4, 5].map(row), panel, target, accumulate),
            }
            i += MR;
        }
    }
}

/// `C (+)= Aᵀ B` for A `(k, m)`: row i of A is `a[i * stride..][..m]`.
#[inline(always)]
pub(crate) fn multiply_transposed<T: Real, S: Simd, const MR: usize>(
    m: usize,
    a: ByRows<'_, T>,
    b: &Panels<T>,
    c: &mut [T],
    c_stride: usize,
    accumulate: bool,
) {
    for p in 0..b.n.div_ceil(NR) {
        let panel = &b.data[p * b.k..(p + 1) * b.k];
        let width = NR.min(b.n - p * NR);
        let mut i = 0;
        while i < m {
            let c = &mut c[i * c_stride + p * NR..];
            let a = ByRows { data: a.data.get(i..).unwrap_or(&[]), stride: a.stride };
            let target = (c, c_stride, width);
            match MR.min(m - i) {
                1 => columns::<T, S, 1>(a, panel, target, accumulate),
                2 => columns::<T, S, 2>(a, panel, target, accumulate),
                3 => columns::<T, S, 3>(a, panel, target, accumulate),
                4 => columns::<T, S, 4>(a, panel, target, accumulate),
                5 => columns::<T, S, 5>(a, panel, target, accumulate),
                _ => columns::<T, S, TALL>(a, panel, target, accumulate),
            }
            i += MR;
        }
    }
}

/// C from the first element of a block on, its row stride and the width of the block.
type Target<'a, T> = (&'a mut [T], usize, usize);

#[inline(always)]
fn fused<T: Real, S: Simd>(a: T, b: T, c: T) -> T {
    // Without the instruction a fused multiply-add is a library call.
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

#[inline(always)]
fn rows<T: Real, S: Simd, const R: usize>(
    a: [&[T]; R],
    panel: &[[T; NR]],
    target: Target<'_, T>,
    accumulate: bool,
) {
    let depth = panel.len();
    let a = a.map(|row| &row[..depth]);
    let mut acc = [[T::ZERO; NR]; R];
    for p in 0..depth {
        let b = panel[p];
        for r in 0..R {
            let x = a[r][p];
            for j in 0..NR {
                acc[r][j] = fused::<T, S>(x, b[j], acc[r][j]);
            }
        }
    }
    store(&acc, target, accumulate);
}

#[expect(
    clippy::needless_range_loop,
    reason = "one index into operands of one length: the bounds are checked once, outside"
)]
#[inline(always)]
fn columns<T: Real, S: Simd, const R: usize>(
    a: ByRows<'_, T>,
    panel: &[[T; NR]],
    target: Target<'_, T>,
    accumulate: bool,
) {
    let mut acc = [[T::ZERO; NR]; R];
    let depth = panel.len();
    let last = (depth.max(1) - 1) * a.stride + R;
    let a_data = &a.data[..last];
    for p in 0..depth {
        let b = panel[p];
        let from = p * a.stride;
        let Some(x) = a_data[from..].first_chunk::<R>() else {
            break; // excluded by the slice above
        };
        for r in 0..R {
            let x = x[r];
            for j in 0..NR {
                acc[r][j] = fused::<T, S>(x, b[j], acc[r][j]);
            }
        }
    }
    store(&acc, target, accumulate);
}

#[inline(always)]
fn store<T: Real, const R: usize>(acc: &[[T; NR]; R], (c, c_stride, width): Target<'_, T>, accumulate: bool) {
    for (r, acc) in acc.iter().enumerate() {
        let c = &mut c[r * c_stride..r * c_stride + width];
        match (accumulate, c.as_chunks_mut::<NR>().0) {
            (true, [c]) => {
                for j in 0..NR {
                    c[j] += acc[j];
                }
            }
            (false, [c]) => *c = *acc,
            (true, _) => {
                for (c, &x) in c.iter_mut().zip(acc) {
                    *c += x;
                }
            }
            (false, _) => c.copy_from_slice(&acc[..width]),
        }
    }
}
