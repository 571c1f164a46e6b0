//! The three products of the linear map `y = x Wᵀ + b`, and its column sums.
//!
//! ```text
//! y = x Wᵀ      ∂x (+)= ∂y W      ∂W (+)= ∂yᵀ x      ∂b (+)= Σ_rows ∂y
//! ```
//! with x `(N, In)`, W `(Out, In)`, y `(N, Out)`, all row-major. `(+)=` adds if `accumulate`;
//! otherwise what the target held is never read.

use crate::matmul::{ByRows, DEPTH, NR, Panels, TALL, multiply, multiply_transposed};
use crate::real::Real;
use pulp::{Arch, Simd, WithSimd};
use std::any::Any;
use std::cell::Cell;

/// Rows that go through all panels together, so that they stay in the cache.
const ROWS: usize = 96;

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
        pack(weight, Sizes { rows: 0, inner: self.inner, out: self.out }, &mut self.panels);
    }
}

/// W as it lies, or packed before.
pub(super) enum Weight<'a, T> {
    Plain(&'a [T]),
    Packed(&'a PackedWeight<T>),
}

/// What is done to rows of y once they are finished, while they are in the cache.
///
/// Implementations are `#[inline(always)]`: they are compiled into the vectorised product.
pub(super) trait Epilogue<T> {
    /// `block` holds whole rows of y, from row `first` on: `(n, out)`.
    fn rows(&mut self, first: usize, block: &mut [T]);
}

/// `y = x Wᵀ`.
pub(super) struct NoEpilogue;

impl<T> Epilogue<T> for NoEpilogue {
    #[inline(always)]
    fn rows(&mut self, _: usize, _: &mut [T]) {}
}

/// `y = x Wᵀ + b`.
pub(super) struct AddBias<'a, T>(pub(super) &'a [T]);

impl<T: Real> Epilogue<T> for AddBias<'_, T> {
    #[inline(always)]
    fn rows(&mut self, _: usize, block: &mut [T]) {
        for y in block.chunks_exact_mut(self.0.len()) {
            for (y, &b) in y.iter_mut().zip(self.0) {
                *y += b;
            }
        }
    }
}

/// `y = x Wᵀ`, each block of rows finished by the epilogue.
pub(super) fn forward<T: Real, E: Epilogue<T>>(
    x: &[T],
    weight: Weight<'_, T>,
    y: &mut [T],
    sizes: Sizes,
    epilogue: E,
) {
    assert_eq!(x.len(), sizes.rows * sizes.inner);
    assert_eq!(y.len(), sizes.rows * sizes.out);
    if y.is_empty() {
        return;
    }
    match weight {
        Weight::Packed(weight) => {
            assert_eq!((weight.out, weight.inner), (sizes.out, sizes.inner));
            Arch::new().dispatch(Forward { x, panels: &weight.panels, y, sizes, epilogue });
        }
        Weight::Plain(weight) => with_scratch(|panels| {
            pack(weight, sizes, panels);
            Arch::new().dispatch(Forward { x, panels, y, sizes, epilogue });
        }),
    }
}

/// `∂x (+)= ∂y W`.
pub(super) fn input_gradient<T: Real>(
    grad: &[T],
    weight: &[T],
    dx: &mut [T],
    sizes: Sizes,
    accumulate: bool,
) {
    assert_eq!(grad.len(), sizes.rows * sizes.out);
    assert_eq!(weight.len(), sizes.out * sizes.inner);
    assert_eq!(dx.len(), sizes.rows * sizes.inner);
    if dx.is_empty() {
        return;
    }
    with_scratch(|panels| {
        Arch::new().dispatch(InputGradient { grad, weight, dx, sizes, accumulate, panels });
    });
}

/// `∂W (+)= ∂yᵀ x`.
pub(super) fn weight_gradient<T: Real>(
    grad: &[T],
    x: &[T],
    dw: &mut [T],
    sizes: Sizes,
    accumulate: bool,
) {
    assert_eq!(grad.len(), sizes.rows * sizes.out);
    assert_eq!(x.len(), sizes.rows * sizes.inner);
    assert_eq!(dw.len(), sizes.out * sizes.inner);
    if dw.is_empty() || sizes.rows == 0 {
        if !accumulate {
            dw.fill(T::ZERO);
        }
        return;
    }
    with_scratch(|panels| {
        Arch::new().dispatch(WeightGradient { grad, x, dw, sizes, accumulate, panels });
    });
}

/// `∂b (+)= Σ_rows ∂y`.
pub(super) fn column_sums<T: Real>(grad: &[T], db: &mut [T], accumulate: bool) {
    Arch::new().dispatch(ColumnSums { grad, db, accumulate });
}

struct Forward<'a, T, E> {
    x: &'a [T],
    panels: &'a Panels<T>,
    y: &'a mut [T],
    sizes: Sizes,
    epilogue: E,
}

impl<T: Real, E: Epilogue<T>> WithSimd for Forward<'_, T, E> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { x, panels, y, sizes: Sizes { inner, out, .. }, mut epilogue } = self;
        product::<T, S>(x, inner, panels, y, out, false, |first, block| epilogue.rows(first, block));
    }
}

struct InputGradient<'a, T> {
    grad: &'a [T],
    weight: &'a [T],
    dx: &'a mut [T],
    sizes: Sizes,
    accumulate: bool,
    panels: &'a mut Panels<T>,
}

impl<T: Real> WithSimd for InputGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, weight, dx, sizes: Sizes { inner, out, .. }, accumulate, panels } = self;
        panels.set_rows(weight, inner, out, inner);
        product::<T, S>(grad, out, panels, dx, inner, accumulate, |_, _| ());
    }
}

struct WeightGradient<'a, T> {
    grad: &'a [T],
    x: &'a [T],
    dw: &'a mut [T],
    sizes: Sizes,
    accumulate: bool,
    panels: &'a mut Panels<T>,
}

impl<T: Real> WithSimd for WeightGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { grad, x, dw, sizes: Sizes { rows, inner, out }, accumulate, panels } = self;
        for depth in depths(rows) {
            panels.set_rows(&x[depth.start * inner..], inner, depth.len(), inner);
            let grad = ByRows { data: &grad[depth.start * out..], stride: out };
            let add = accumulate || depth.start > 0;
            multiply_transposed::<T, S, TALL>(out, grad, panels, dw, inner, add);
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
        if !accumulate {
            db.fill(T::ZERO);
        }
        if db.is_empty() {
            return;
        }
        for row in grad.chunks_exact(db.len()) {
            for (sum, &g) in db.iter_mut().zip(row) {
                *sum += g;
            }
        }
    }
}

/// `C (+)= A B` with A `(m, k)`; `finish` sees each block of finished rows of C.
#[inline(always)]
fn product<T: Real, S: Simd>(
    a: &[T],
    k: usize,
    b: &Panels<T>,
    c: &mut [T],
    columns: usize,
    accumulate: bool,
    mut finish: impl FnMut(usize, &mut [T]),
) {
    for (block, c) in c.chunks_mut(ROWS * columns).enumerate() {
        let first = block * ROWS;
        let rows = c.len() / columns;
        for depth in depths(k) {
            let a = ByRows { data: &a[first * k + depth.start..], stride: k };
            let add = accumulate || depth.start > 0;
            multiply::<T, S, TALL>(rows, a, b, depth, 0..columns.div_ceil(NR), c, columns, add);
        }
        finish(first, c);
    }
}

/// The inner dimension in blocks; one empty block if it is 0, so that C is written.
#[inline(always)]
fn depths(k: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..k.max(1)).step_by(DEPTH).map(move |begin| begin..k.min(begin + DEPTH))
}

/// Wᵀ in panels.
fn pack<T: Real>(weight: &[T], sizes: Sizes, panels: &mut Panels<T>) {
    struct Pack<'a, T>(&'a [T], Sizes, &'a mut Panels<T>);
    impl<T: Real> WithSimd for Pack<'_, T> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            let Self(weight, Sizes { inner, out, .. }, panels) = self;
            panels.set_columns(weight, inner, inner, out);
        }
    }
    assert_eq!(weight.len(), sizes.out * sizes.inner);
    Arch::new().dispatch(Pack(weight, sizes, panels));
}

/// Lends the panels of the last call on this thread, so that a warm call allocates nothing.
fn with_scratch<T: Real, R>(run: impl FnOnce(&mut Panels<T>) -> R) -> R {
    thread_local! {
        static SCRATCH: Cell<Option<Box<dyn Any>>> = const { Cell::new(None) };
    }
    // The element type changes only between a training and a gradient check.
    let kept = SCRATCH.take().and_then(|kept| kept.downcast::<Panels<T>>().ok());
    let mut panels = kept.unwrap_or_default();
    let result = run(&mut panels);
    SCRATCH.set(Some(panels));
    result
}

#[cfg(test)]
mod tests {
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
            assert!((got.to_f64() - exact).abs() <= tolerance, "{what}[{i}]: {got:?}, not {exact}");
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
        forward(&xt, Weight::Plain(&wt), &mut got, sizes, NoEpilogue);
        assert_close(&got, &y, tolerance, &what("y"));
        let y: Vec<_> = y.iter().enumerate().map(|(i, y)| y + b[i % out]).collect();
        let packed = PackedWeight::new(&wt, out, inner);
        let mut got = unspecified(rows * out);
        forward(&xt, Weight::Packed(&packed), &mut got, sizes, AddBias(&bt));
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
        for (rows, inner, out) in [(97, 300, 5), (300, 3, 257), (513, 17, 64), (1, 700, 33), (64, 64, 515)] {
            check::<f32>(Sizes { rows, inner, out }, 1e-3);
            check::<f64>(Sizes { rows, inner, out }, 1e-11);
        }
    }
}
