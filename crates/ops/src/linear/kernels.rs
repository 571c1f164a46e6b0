//! The three products of the linear map `y = x Wᵀ + b`, and its column sums.
//!
//! ```text
//! y = x Wᵀ      ∂x (+)= ∂y W      ∂W (+)= ∂yᵀ x      ∂b (+)= Σ_rows ∂y
//! ```
//! with x `(N, In)`, W `(Out, In)`, y `(N, Out)`, all row-major. `(+)=` adds if `accumulate`;
//! otherwise what the target held is never read.
//!
//! Sums run over the inner dimension in ascending order, in blocks of [`DEPTH`]: the bits of a
//! result depend on nothing but the operands, and AVX2 and AVX-512 give the same.

use crate::matmul::{ByRows, ColumnsTo, NR, Panels, Product};
use crate::real::Real;
use crate::scratch;
use crate::threads::Team;
use pulp::{Arch, Simd, WithSimd};
use std::iter::repeat;
use std::ops::Range;

/// Inner dimension of one pass.
const DEPTH: usize = 256;
/// Columns of C in one pass of a gradient: the panels of a pass take a quarter of the second-level
/// cache.
const COLUMNS: usize = 256;
/// Rows of y that are finished together, and are then still in the cache for the epilogue.
const ROWS: usize = 96;
/// Bytes of W that are laid out before they are multiplied: what a cache shared by the cores holds.
const PACKED: usize = 16 << 20;
/// Columns of ∂y that are copied next to each other when they lie far apart.
const STRIP: usize = 64;
/// Columns of ∂y up to which they are read where they lie. The rows of wider ones are so far apart
/// that a column falls into few sets of the first-level cache, and each row on its own page.
const NARROW: usize = 512;

/// x is `(rows, inner)`, W `(out, inner)`, y `(rows, out)`.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) rows: usize,
    pub(super) inner: usize,
    pub(super) out: usize,
}

/// W as the forward product reads it: built once a step, shared by all its micro-batches.
pub(crate) struct PackedWeight<T> {
    panels: Panels<T>, // Wᵀ (In, Out)
    out: usize,
    inner: usize,
}

impl<T: Real> PackedWeight<T> {
    /// From W `(out, inner)`.
    pub(crate) fn new(weight: &[T], out: usize, inner: usize) -> Self {
        let mut packed = Self { panels: Panels::default(), out, inner };
        packed.repack(weight);
        packed
    }

    /// From another W of the same shape, into the same memory.
    pub(crate) fn repack(&mut self, weight: &[T]) {
        let Self { panels, out, inner } = self;
        pack(weight, *out, *inner, panels, &Team::ONE);
    }
}

/// W as it lies, or packed before.
#[derive(Clone, Copy)]
pub(super) enum Weight<'a, T> {
    Plain(&'a [T]),
    Packed(&'a PackedWeight<T>),
}

/// What is done to rows of y once they are finished, while they are in the cache.
///
/// Implementations are `#[inline(always)]`: they are compiled into the vectorised product.
pub(super) trait Epilogue<T>: Sync {
    /// `block` holds whole rows of y, and `slopes` their place among the slopes, if those are kept.
    fn rows(&self, block: &mut [T], slopes: Option<&mut [T]>);
}

/// `y = x Wᵀ`.
pub(super) struct NoEpilogue;

impl<T> Epilogue<T> for NoEpilogue {
    #[inline(always)]
    fn rows(&self, _: &mut [T], _: Option<&mut [T]>) {}
}

/// `y = x Wᵀ + b`.
pub(super) struct AddBias<'a, T>(pub(super) &'a [T]);

impl<T: Real> Epilogue<T> for AddBias<'_, T> {
    #[inline(always)]
    fn rows(&self, block: &mut [T], _: Option<&mut [T]>) {
        for y in block.chunks_exact_mut(self.0.len()) {
            for (y, &b) in y.iter_mut().zip(self.0) {
                *y += b;
            }
        }
    }
}

/// `y = x Wᵀ`, each block of rows finished by the epilogue, which gets the rows of `slopes` too.
pub(super) fn forward<T: Real, E: Epilogue<T>>(
    x: &[T],
    weight: Weight<'_, T>,
    y: &mut [T],
    sizes: Sizes,
    epilogue: &E,
    slopes: Option<&mut [T]>,
    team: &Team,
) {
    let Sizes { rows, inner, out } = sizes;
    assert_eq!(x.len(), rows * inner);
    assert_eq!(y.len(), rows * out);
    if y.is_empty() {
        return;
    }
    match weight {
        Weight::Packed(weight) => {
            assert_eq!((weight.out, weight.inner), (out, inner));
            columns(x, &weight.panels, 0..out, y, sizes, Some(epilogue), slopes, team);
        }
        Weight::Plain(weight) => with_scratch(|Scratch { panels, .. }| {
            assert_eq!(weight.len(), out * inner);
            let width = (PACKED / size_of::<T>() / inner.max(1)).next_multiple_of(NR);
            let mut slopes = slopes;
            for part in blocks(out, width) {
                pack(&weight[part.start * inner..part.end * inner], part.len(), inner, panels, team);
                let last = part.end == out;
                let slopes = slopes.as_deref_mut().filter(|_| last);
                columns(x, panels, part, y, sizes, last.then_some(epilogue), slopes, team);
            }
        }),
    }
}

/// Some columns of y, and the epilogue if they are the last.
#[expect(clippy::too_many_arguments, reason = "the operands of `forward` and what is left to do")]
fn columns<T: Real, E: Epilogue<T>>(
    x: &[T],
    panels: &Panels<T>,
    part: Range<usize>,
    y: &mut [T],
    sizes: Sizes,
    epilogue: Option<&E>,
    slopes: Option<&mut [T]>,
    team: &Team,
) {
    let Sizes { rows, inner, out } = sizes;
    let rows = team.rows_at_once(rows, ROWS);
    let mut slopes = slopes.map(|slopes| slopes.chunks_mut(rows * out));
    let pieces = y.chunks_mut(rows * out).zip(x.chunks((rows * inner).max(1)).map(Some).chain(repeat(None)));
    let pieces = pieces.map(|(y, x)| (y, x.unwrap_or(&[]), slopes.as_mut().and_then(Iterator::next)));
    team.each(pieces, |(y, x, slopes)| {
        let sizes = Sizes { rows: y.len() / out, inner, out };
        Arch::new().dispatch(Forward { x, panels, part: part.clone(), y, sizes, epilogue, slopes });
    });
}

/// `∂x (+)= ∂y W`.
pub(super) fn input_gradient<T: Real>(
    grad: &[T],
    weight: &[T],
    dx: &mut [T],
    sizes: Sizes,
    accumulate: bool,
) {
    let Sizes { rows, inner, out } = sizes;
    assert_eq!(grad.len(), rows * out);
    assert_eq!(weight.len(), out * inner);
    assert_eq!(dx.len(), rows * inner);
    if !is_trivial(dx, out, accumulate) {
        with_scratch(|scratch| {
            Arch::new().dispatch(InputGradient { grad, weight, dx, sizes, accumulate, scratch });
        });
    }
}

/// `∂W (+)= ∂yᵀ x`.
pub(super) fn weight_gradient<T: Real>(grad: &[T], x: &[T], dw: &mut [T], sizes: Sizes, accumulate: bool) {
    let Sizes { rows, inner, out } = sizes;
    assert_eq!(grad.len(), rows * out);
    assert_eq!(x.len(), rows * inner);
    assert_eq!(dw.len(), out * inner);
    if !is_trivial(dw, rows, accumulate) {
        with_scratch(|scratch| {
            Arch::new().dispatch(WeightGradient { grad, x, dw, sizes, accumulate, scratch });
        });
    }
}

/// `∂b (+)= Σ_rows ∂y`.
pub(crate) fn column_sums<T: Real>(grad: &[T], db: &mut [T], accumulate: bool) {
    if !is_trivial(db, grad.len(), accumulate) {
        Arch::new().dispatch(ColumnSums { grad, db, accumulate });
    }
}

/// Whether there is no element or nothing to sum; then the elements are zeros.
fn is_trivial<T: Real>(c: &mut [T], depth: usize, accumulate: bool) -> bool {
    if depth == 0 && !accumulate {
        c.fill(T::ZERO);
    }
    depth == 0 || c.is_empty()
}

/// A piece of the forward product: all of its rows, some of its columns.
struct Forward<'a, T, E> {
    x: &'a [T],
    panels: &'a Panels<T>,
    part: Range<usize>,
    y: &'a mut [T],
    sizes: Sizes,
    epilogue: Option<&'a E>,
    slopes: Option<&'a mut [T]>,
}

impl<T: Real, E: Epilogue<T>> WithSimd for Forward<'_, T, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, panels, part, y, sizes: Sizes { inner, out, .. }, epilogue, mut slopes } = self;
        let mut slopes = slopes.as_mut().map(|slopes| slopes.chunks_mut(ROWS * out));
        for (block, y) in y.chunks_mut(ROWS * out).enumerate() {
            let first = block * ROWS;
            // One empty block if there is nothing to sum, so that y is written.
            for depth in blocks(inner.max(1), DEPTH) {
                simd.vectorize(Product::<T, false> {
                    m: y.len() / out,
                    a: ByRows { data: &x[first * inner + depth.start..], stride: inner },
                    b: panels,
                    inner: depth.start..depth.end.min(inner),
                    c: &mut y[part.start..],
                    c_stride: out,
                    accumulate: depth.start > 0,
                });
            }
            let slopes = slopes.as_mut().and_then(Iterator::next);
            if let Some(epilogue) = epilogue {
                epilogue.rows(y, slopes);
            }
        }
    }
}

struct InputGradient<'a, T> {
    grad: &'a [T],
    weight: &'a [T],
    dx: &'a mut [T],
    sizes: Sizes,
    accumulate: bool,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> WithSimd for InputGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grad, weight, dx, sizes: Sizes { rows, inner, out }, .. } = self;
        let panels = &mut self.scratch.panels;
        for depth in blocks(out, DEPTH) {
            for columns in blocks(inner, COLUMNS) {
                let weight = &weight[depth.start * inner + columns.start..];
                panels.set_rows(weight, inner, depth.len(), columns.len());
                simd.vectorize(Product::<T, false> {
                    m: rows,
                    a: ByRows { data: &grad[depth.start..], stride: out },
                    b: panels,
                    inner: 0..depth.len(),
                    c: &mut dx[columns.start..],
                    c_stride: inner,
                    accumulate: self.accumulate || depth.start > 0,
                });
            }
        }
    }
}

struct WeightGradient<'a, T> {
    grad: &'a [T],
    x: &'a [T],
    dw: &'a mut [T],
    sizes: Sizes,
    accumulate: bool,
    scratch: &'a mut Scratch<T>,
}

impl<T: Real> WithSimd for WeightGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { grad, x, dw, sizes: Sizes { rows, inner, out }, .. } = self;
        let Scratch { panels, strip } = self.scratch;
        for depth in blocks(rows, DEPTH) {
            let grad = &grad[depth.start * out..depth.end * out];
            for columns in blocks(inner, COLUMNS) {
                panels.set_rows(&x[depth.start * inner + columns.start..], inner, depth.len(), columns.len());
                for part in blocks(out, if out > NARROW { STRIP } else { out }) {
                    let a = if part.len() < out {
                        strip.clear();
                        for row in grad.chunks_exact(out) {
                            strip.extend_from_slice(&row[part.clone()]);
                        }
                        ByRows { data: &*strip, stride: part.len() }
                    } else {
                        ByRows { data: grad, stride: out }
                    };
                    simd.vectorize(Product::<T, true> {
                        m: part.len(),
                        a,
                        b: panels,
                        inner: 0..depth.len(),
                        c: &mut dw[part.start * inner + columns.start..],
                        c_stride: inner,
                        accumulate: self.accumulate || depth.start > 0,
                    });
                }
            }
        }
    }
}

struct ColumnSums<'a, T> {
    grad: &'a [T],
    db: &'a mut [T],
    accumulate: bool,
}

impl<T: Real> WithSimd for ColumnSums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, db, accumulate } = self;
        let out = db.len();
        let (chunks, rest) = if out > NARROW { (&mut [][..], db) } else { db.as_chunks_mut::<STRIP>() };
        let whole = chunks.len() * STRIP;
        for (i, db) in chunks.iter_mut().enumerate() {
            // In registers, down all rows.
            let mut sums = if accumulate { *db } else { [T::ZERO; STRIP] };
            for row in grad[i * STRIP..].chunks(out) {
                if let Some(row) = row.first_chunk::<STRIP>() {
                    for j in 0..STRIP {
                        sums[j] += row[j];
                    }
                }
            }
            *db = sums;
        }
        if !accumulate {
            rest.fill(T::ZERO);
        }
        for row in grad.chunks_exact(out) {
            for (sum, &g) in rest.iter_mut().zip(&row[whole..]) {
                *sum += g;
            }
        }
    }
}

/// `0..n` in blocks.
#[inline(always)]
fn blocks(n: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(size).map(move |begin| begin..n.min(begin + size))
}

/// Wᵀ in panels.
fn pack<T: Real>(weight: &[T], out: usize, inner: usize, panels: &mut Panels<T>, team: &Team) {
    struct Pack<'a, T>(ColumnsTo<'a, T>, &'a [T], usize);
    impl<T: Real> WithSimd for Pack<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Self(columns, weight, inner) = self;
            columns.set(simd, weight, inner);
        }
    }
    assert_eq!(weight.len(), out * inner);
    team.each(panels.by_columns(inner, out), |columns| {
        Arch::new().dispatch(Pack(columns, weight, inner));
    });
}

#[derive(Default)]
struct Scratch<T> {
    panels: Panels<T>,
    strip: Vec<T>, // of ∂y: (DEPTH, STRIP)
}

thread_local! {
    static SCRATCH: scratch::Slot = const { scratch::Slot::new(None) };
}

fn with_scratch<T: Real, R>(run: impl FnOnce(&mut Scratch<T>) -> R) -> R {
    scratch::lend(&SCRATCH, run)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Values of both signs that a product does not round to zero.
    fn values(n: usize, seed: u64) -> Vec<f64> {
        (0..n as u64).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    fn cast<T: Real>(x: &[f64]) -> Vec<T> {
        x.iter().map(|&x| T::real(x)).collect()
    }

    fn assert_close<T: Real>(got: &[T], exact: &[f64], tolerance: f64, what: &str) {
        assert_eq!(got.len(), exact.len());
        for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
            assert!((got.to_f64() - exact).abs() <= tolerance, "{what}[{i}]: {got}, not {exact}");
        }
    }

    /// `Σ_p a(i, p) b(p, j)`.
    fn naive(
        (m, k, n): (usize, usize, usize),
        a: impl Fn(usize, usize) -> f64,
        b: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        let element = |i, j| (0..k).map(|p| a(i, p) * b(p, j)).sum();
        (0..m * n).map(|ij| element(ij / n.max(1), ij % n.max(1))).collect()
    }

    fn check<T: Real>(sizes: Sizes, tolerance: f64) {
        let Sizes { rows, inner, out } = sizes;
        let (x, w) = (values(rows * inner, 1), values(out * inner, 2));
        let (g, b) = (values(rows * out, 3), values(out, 4));
        let (xt, wt, gt, bt) = (cast::<T>(&x), cast::<T>(&w), cast::<T>(&g), cast::<T>(&b));
        let what = |name: &str| format!("{name} at N {rows}, In {inner}, Out {out}");
        let unspecified = |n: usize| vec![T::LOWEST; n];

        let y = naive((rows, inner, out), |i, p| x[i * inner + p], |p, j| w[j * inner + p]);
        let mut got = unspecified(rows * out);
        forward(&xt, Weight::Plain(&wt), &mut got, sizes, &NoEpilogue, None, &Team::ONE);
        assert_close(&got, &y, tolerance, &what("y"));
        let y: Vec<_> = y.iter().enumerate().map(|(i, y)| y + b[i % out]).collect();
        let packed = PackedWeight::new(&wt, out, inner);
        let mut got = unspecified(rows * out);
        forward(&xt, Weight::Packed(&packed), &mut got, sizes, &AddBias(&bt), None, &Team::ONE);
        assert_close(&got, &y, tolerance, &what("y with a bias"));

        let dx = naive((rows, out, inner), |i, p| g[i * out + p], |p, j| w[p * inner + j]);
        let mut got = unspecified(rows * inner);
        input_gradient(&gt, &wt, &mut got, sizes, false);
        assert_close(&got, &dx, tolerance, &what("dx"));
        input_gradient(&gt, &wt, &mut got, sizes, true);
        let twice: Vec<_> = dx.iter().map(|x| 2.0 * x).collect();
        assert_close(&got, &twice, 2.0 * tolerance, &what("2 dx"));

        let dw = naive((out, rows, inner), |i, p| g[p * out + i], |p, j| x[p * inner + j]);
        let mut got = unspecified(out * inner);
        weight_gradient(&gt, &xt, &mut got, sizes, false);
        assert_close(&got, &dw, tolerance, &what("dW"));
        weight_gradient(&gt, &xt, &mut got, sizes, true);
        let twice: Vec<_> = dw.iter().map(|x| 2.0 * x).collect();
        assert_close(&got, &twice, 2.0 * tolerance, &what("2 dW"));

        let db = naive((1, rows, out), |_, _| 1.0, |p, j| g[p * out + j]);
        let mut got = unspecified(out);
        column_sums(&gt, &mut got, false);
        assert_close(&got, &db, tolerance, &what("db"));
    }

    #[test]
    fn products_equal_the_naive_sums() {
        let small = [0, 1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 33];
        for rows in small {
            for inner in small {
                for out in small {
                    check::<f32>(Sizes { rows, inner, out }, 1e-4);
                    check::<f64>(Sizes { rows, inner, out }, 1e-12);
                }
            }
        }
        // Several blocks of rows, of depth and of columns, and copied strips of ∂y.
        for (rows, inner, out) in [
            (97, 300, 5),
            (300, 3, 257),
            (513, 17, 64),
            (1, 700, 33),
            (64, 64, 515),
            (3, 5, 1030),
            (260, 530, 1),
        ] {
            check::<f32>(Sizes { rows, inner, out }, 1e-3);
            check::<f64>(Sizes { rows, inner, out }, 1e-11);
        }
    }

    #[test]
    fn a_weight_can_be_packed_again() {
        let (a, b) = (cast::<f32>(&values(21 * 10, 1)), cast::<f32>(&values(21 * 10, 2)));
        let x = cast::<f32>(&values(30, 3));
        let sizes = Sizes { rows: 3, inner: 10, out: 21 };
        let mut packed = PackedWeight::new(&a, 21, 10);
        packed.repack(&b);
        let (mut got, mut expected) = (vec![0.0; 63], vec![0.0; 63]);
        forward(&x, Weight::Packed(&packed), &mut got, sizes, &NoEpilogue, None, &Team::ONE);
        forward(&x, Weight::Plain(&b), &mut expected, sizes, &NoEpilogue, None, &Team::ONE);
        assert_eq!(got, expected);
    }

    /// What the epilogue is given: every row once, finished, with its slopes.
    #[test]
    fn the_epilogue_sees_every_row_once() {
        struct Check;
        impl Epilogue<f64> for Check {
            fn rows(&self, block: &mut [f64], slopes: Option<&mut [f64]>) {
                assert_eq!(block.len() % 3, 0);
                for (slope, y) in slopes.unwrap().iter_mut().zip(block) {
                    *slope += *y;
                }
            }
        }
        let sizes = Sizes { rows: 2 * ROWS + 5, inner: DEPTH + 1, out: 3 };
        let (x, w) = (values(sizes.rows * sizes.inner, 1), values(3 * sizes.inner, 2));
        let (mut y, mut seen) = (vec![f64::NAN; sizes.rows * 3], vec![0.0; sizes.rows * 3]);
        forward(&x, Weight::Plain(&w), &mut y, sizes, &Check, Some(&mut seen), &Team::ONE);
        assert_eq!(y, seen);
    }

    /// All products of one size, on one instruction set.
    fn bits<T: Real, S: Simd>(simd: S, sizes: Sizes) -> Vec<T> {
        let Sizes { rows, inner, out } = sizes;
        let (x, weight) = (cast::<T>(&values(rows * inner, 1)), cast::<T>(&values(out * inner, 2)));
        let grad = cast::<T>(&values(rows * out, 3));
        let [mut y, mut dx, mut dw, mut db] =
            [rows * out, rows * inner, out * inner, out].map(|n| vec![T::ONE; n]);
        let scratch = &mut Scratch { panels: Panels::default(), strip: Vec::new() };
        let panels = &PackedWeight::new(&weight, out, inner).panels;
        let (x, weight, grad) = (&x[..], &weight[..], &grad[..]);
        for accumulate in [false, true] {
            let bias = AddBias(&grad[..out]);
            let (part, y) = (0..out, &mut y[..]);
            simd.vectorize(Forward { x, panels, part, y, sizes, epilogue: Some(&bias), slopes: None });
            simd.vectorize(InputGradient { grad, weight, dx: &mut dx, sizes, accumulate, scratch });
            simd.vectorize(WeightGradient { grad, x, dw: &mut dw, sizes, accumulate, scratch });
            simd.vectorize(ColumnSums { grad, db: &mut db, accumulate });
        }
        [y, dx, dw, db].concat()
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn avx2_and_avx512_give_the_same_bits() {
        use pulp::x86::{V3, V4};
        let (Some(v3), Some(v4)) = (V3::try_new(), V4::try_new()) else {
            return; // nothing to compare on this processor
        };
        for (rows, inner, out) in [(1, 3, 5), (7, 17, 33), (31, 300, 70), (270, 65, 530), (128, 64, 192)] {
            let sizes = Sizes { rows, inner, out };
            assert_eq!(bits::<f32, _>(v3, sizes), bits::<f32, _>(v4, sizes));
            assert_eq!(bits::<f64, _>(v3, sizes), bits::<f64, _>(v4, sizes));
        }
    }

    #[test]
    fn what_is_not_finite_stays_in_its_row() {
        for (rows, inner, out) in [(1, 1, 1), (5, 3, 17), (19, 20, 33), (100, 300, 40)] {
            let sizes = Sizes { rows, inner, out };
            let mut x = cast::<f32>(&values(rows * inner, 1));
            let w = vec![0.5; out * inner];
            for (i, bad) in [(0, f32::NAN), (rows / 2, f32::INFINITY), (rows - 1, f32::NEG_INFINITY)] {
                x[i * inner + inner / 2] = bad;
            }
            let mut y = vec![0.0; rows * out];
            forward(&x, Weight::Plain(&w), &mut y, sizes, &NoEpilogue, None, &Team::ONE);
            for (x, y) in x.chunks(inner).zip(y.chunks(out)) {
                let finite = x.iter().all(|x| x.is_finite());
                assert!(y.iter().all(|y| y.is_finite() == finite), "{x:?} became {y:?}");
            }
            // The same for ∂x, whose rows are those of ∂y.
            let mut dx = vec![0.0; rows * inner];
            input_gradient(&y, &w, &mut dx, sizes, false);
            for (y, dx) in y.chunks(out).zip(dx.chunks(inner)) {
                let finite = y.iter().all(|y| y.is_finite());
                assert!(dx.iter().all(|dx| dx.is_finite() == finite), "{y:?} became {dx:?}");
            }
        }
    }
}
