//! exp, erf and tanh in f32 without branches, and reductions in a fixed order.
//!
//! The functions consist of arithmetic and selections only, so that a loop over a slice becomes
//! vector code. Comparisons are written so that a NaN falls through to the arithmetic and comes out
//! as a NaN.
//!
//! Nothing in this file but [`exp2`] uses a fused multiply-add, so the other functions of f32 give the same bits on
//! every processor. What is computed from them need not: products of matrices do use it where the
//! machine has it (`matmul`), and logarithms and all of f64 come from the platform's library.

use crate::real::Real;

/// Runs a kernel compiled for the processor's widest vector instructions.
///
/// The body becomes the inlined method of a structure of its arguments: a closure would be
/// inlined only if the compiler finds it small, and would else lose the instruction set.
/// `S` names the instruction set inside the body.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident<$life:lifetime $(, $more:lifetime)*, $t:ident, $s:ident $(, $w:ident: $bound:ident)?>(
        $($arg:ident: $ty:ty),* $(,)?
    ) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name<$life $(, $more)*, $t: $crate::real::Real $(, $w: $bound)?>($($arg: $ty),*) $(-> $ret)? {
            struct Call<$life $(, $more)*, $t: $crate::real::Real $(, $w: $bound)?> {
                $($arg: $ty,)*
                borrows: std::marker::PhantomData<&$life $t>,
            }
            impl<$life $(, $more)*, $t: $crate::real::Real $(, $w: $bound)?> pulp::WithSimd
                for Call<$life $(, $more)*, $t $(, $w)?>
            {
                type Output = $crate::vector::vectorised!(@output $($ret)?);
                #[inline(always)]
                fn with_simd<$s: pulp::Simd>(self, _: $s) -> Self::Output {
                    let Self { $($arg,)* borrows: _ } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Call { $($arg,)* borrows: std::marker::PhantomData })
        }
    };
    (@output $ret:ty) => { $ret };
    (@output) => { () };
}
pub(crate) use vectorised;

vectorised! {
    /// `x += y`, element by element.
    pub(crate) fn add_to<'a, T, S>(x: &'a mut [T], y: &'a [T]) {
        for (x, &y) in x.iter_mut().zip(y) {
            *x += y;
        }
    }
}

vectorised! {
    /// `x *= y`, element by element.
    pub(crate) fn mul_to<'a, T, S>(x: &'a mut [T], y: &'a [T]) {
        for (x, &y) in x.iter_mut().zip(y) {
            *x *= y;
        }
    }
}

vectorised! {
    /// `x = a y`, or `x += a y`.
    pub(crate) fn scaled_to<'a, T, S>(x: &'a mut [T], y: &'a [T], a: T, accumulate: bool) {
        if accumulate {
            for (x, &y) in x.iter_mut().zip(y) {
                *x += a * y;
            }
        } else {
            for (x, &y) in x.iter_mut().zip(y) {
                *x = a * y;
            }
        }
    }
}

/// eˣ within 2 units in the last place, subnormal results within one of their steps.
///
/// `x = n ln 2 + r`, `|r| ≤ ln 2 / 2`; eʳ by the polynomial of Cephes (Moshier), 2ⁿ by its bits,
/// in two factors so that the largest and the subnormal results come out right.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these bounds the result is ∞ or 0 anyway.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.0 { -104.0 } else { x };
    // Adding 1.5 · 2²³ leaves the nearest integer in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = (p * (r * r) + r) + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    p * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// 2ˣ for x ≤ 0 within 1.25 units in the last place, 0 below −126.5: the exponential of attention, where `fused` is a
/// fused multiply-add if the processor has one.
///
/// `x = n + r`, `|r| ≤ 1/2`; 2ʳ by a polynomial of least relative error whose value at 0 is 1.
#[inline(always)]
pub(crate) fn exp2(x: f32, fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let x = if x < -127.0 { -127.0 } else { x };
    // The low bits of the sum are the nearest integer, plus 127.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    let shifted = x + ROUND;
    let r = x - (shifted - ROUND);
    let p = 1.535_336_2e-4;
    let p = fused(p, r, 1.339_887_5e-3);
    let p = fused(p, r, 9.618_437e-3);
    let p = fused(p, r, 5.550_332_5e-2);
    let p = fused(p, r, 0.240_226_48);
    let p = fused(p, r, std::f32::consts::LN_2);
    let p = fused(p, r, 1.0);
    p * f32::from_bits(shifted.to_bits() << 23)
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// σ(x) = 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// erf x within 3 units in the last place: a polynomial near zero, `1 − exp(polynomial)` beyond
/// (the minimax fits published by N. Juffa).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    // Past 4 the result rounds to 1, and the powers of an infinity must not become NaN.
    let a = if a > 4.0 { 4.0 } else { a };
    let s = a * a;
    let r = -1.728_534_7e-5 * a + 3.831_971_3e-4;
    let u = -3.883_964_4e-3 * a + 2.425_462_2e-2;
    let r = r * s + u;
    let r = r * a - 1.067_778_8e-1;
    let r = r * a - 6.348_467e-1;
    let r = r * a - 1.287_175_1e-1;
    let r = r * a - a;
    let far = (1.0 - exp(r)).copysign(x);
    let p = -5.967_617e-4;
    let p = p * s + 4.991_194e-3;
    let p = p * s - 2.676_813_5e-2;
    let p = p * s + 1.128_199_25e-1;
    let p = p * s - 3.761_253_4e-1;
    let p = p * s + 1.283_791_7e-1;
    let near = p * x + x;
    if a < 0.921_875 { near } else { far }
}

/// tanh x within 3 units in the last place: the polynomial of Cephes (Moshier) near zero, `1 − 2 / (e²ˣ + 1)` beyond.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let a = x.abs();
    // Past 10 the result rounds to 1, and the powers of an infinity must not become NaN.
    let a = if a > 10.0 { 10.0 } else { a };
    let s = a * a;
    let p = -5.704_988_6e-3;
    let p = p * s + 2.063_909e-2;
    let p = p * s - 5.373_971_5e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328e-1;
    let near = p * s * x + x;
    let far = (1.0 - 2.0 / (exp(a + a) + 1.0)).copysign(x);
    if a < 0.625 { near } else { far }
}

/// Lanes of a reduction: two AVX2 registers of f32, one of AVX-512.
const LANES: usize = 16;

/// Folds the lanes pairwise, always in the same order.
#[inline(always)]
fn tree<T: Real>(mut lanes: [T; LANES], combine: impl Fn(T, T) -> T) -> T {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = combine(lanes[i], lanes[i + width]);
        }
        width /= 2;
    }
    lanes[0]
}

/// `Σ f(x_i, y_i)` in 16 lanes and a tree, whatever the processor.
#[inline(always)]
pub(crate) fn sum2<T: Real>(x: &[T], y: &[T], f: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (xs, x_rest) = x.as_chunks::<LANES>();
    let (ys, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in xs.iter().zip(ys) {
        for i in 0..LANES {
            lanes[i] += f(x[i], y[i]);
        }
    }
    for (lane, (&x, &y)) in lanes.iter_mut().zip(x_rest.iter().zip(y_rest)) {
        *lane += f(x, y);
    }
    tree(lanes, |a, b| a + b)
}

/// `Σ f(x_i)`.
#[inline(always)]
pub(crate) fn sum<T: Real>(x: &[T], f: impl Fn(T) -> T) -> T {
    sum2(x, x, |x, _| f(x))
}

/// The largest element, −∞ for none. NaNs are passed over: they come out in what follows.
#[inline(always)]
pub(crate) fn max<T: Real>(x: &[T]) -> T {
    let larger = |a: T, b: T| if b > a { b } else { a };
    let mut lanes = [T::LOWEST; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for x in chunks {
        for i in 0..LANES {
            lanes[i] = larger(lanes[i], x[i]);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    tree(lanes, larger)
}

/// Replaces each element by `exp(x − shift)` and returns the sum.
#[inline(always)]
pub(crate) fn exp_and_sum<T: Real>(x: &mut [T], shift: T) -> T {
    let mut lanes = [T::ZERO; LANES];
    let (chunks, rest) = x.as_chunks_mut::<LANES>();
    for x in chunks {
        for i in 0..LANES {
            let e = (x[i] - shift).exp();
            x[i] = e;
            lanes[i] += e;
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *x = (*x - shift).exp();
        *lane += *x;
    }
    tree(lanes, |a, b| a + b)
}

/// Softmax of one row in place; returns `log Σ exp`. Nothing but −∞ becomes zeros, and then ∞ is
/// returned, so that `exp(x − ∞)` gives those zeros again.
#[inline(always)]
pub(crate) fn softmax_row<T: Real>(row: &mut [T]) -> T {
    let top = max(row);
    let shift = if top == T::LOWEST { T::ZERO } else { top };
    let total = exp_and_sum(row, shift);
    if total == T::ZERO {
        return -T::LOWEST;
    }
    let scale = T::ONE / total;
    for x in row {
        *x *= scale;
    }
    shift + total.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units of the last place of the exact result.
    fn ulps(got: f32, exact: f64) -> f64 {
        let rounded = exact as f32;
        let step = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - exact).abs() / step
    }

    fn worst(low: f32, high: f32, f: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        let steps = 400_000;
        (0..=steps)
            .map(|i| low + (high - low) * i as f32 / steps as f32)
            .map(|x| ulps(f(x), exact(f64::from(x))))
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_units_in_the_last_place() {
        let error = worst(-87.0, 88.7, exp, f64::exp).max(worst(-1.0, 1.0, exp, f64::exp));
        assert!(error <= 2.0, "{error}");
        // Subnormal results too.
        let error = worst(-103.0, -87.0, exp, f64::exp);
        assert!(error <= 2.0, "{error}");
    }

    #[test]
    fn exp2_is_within_one_and_a_quarter_units_in_the_last_place_and_flushes_to_zero() {
        for fused in [|a: f32, b: f32, c: f32| a * b + c, |a: f32, b: f32, c: f32| a.mul_add(b, c)] {
            let steps = 4_000_000;
            let error = (0..=steps)
                .map(|i| -126.0 * i as f32 / steps as f32)
                .map(|x| ulps(exp2(x, fused), f64::from(x).exp2()))
                .fold(0.0, f64::max);
            assert!(error <= 1.25, "{error}");
            assert_eq!(exp2(0.0, fused), 1.0);
            assert_eq!(exp2(-127.0, fused), 0.0);
            assert_eq!(exp2(f32::NEG_INFINITY, fused), 0.0);
            assert!(exp2(f32::NAN, fused).is_nan());
        }
    }

    #[test]
    fn erf_is_within_three_units_in_the_last_place() {
        let exact = candle_core::cpu::erf::erf_f64;
        let error = worst(-5.0, 5.0, erf, exact).max(worst(-1e-3, 1e-3, erf, exact));
        assert!(error <= 3.0, "{error}");
    }

    #[test]
    fn tanh_is_within_three_units_in_the_last_place() {
        let error = worst(-11.0, 11.0, tanh, f64::tanh).max(worst(-1e-3, 1e-3, tanh, f64::tanh));
        assert!(error <= 3.0, "{error}");
        assert!(tanh(f32::NAN).is_nan());
        assert_eq!((tanh(f32::INFINITY), tanh(-1e30), tanh(0.0)), (1.0, -1.0, 0.0));
    }

    #[test]
    fn special_values_pass_properly() {
        assert!(exp(f32::NAN).is_nan() && erf(f32::NAN).is_nan());
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(1e30), f32::INFINITY);
        assert_eq!(exp(-1e30), 0.0);
        assert!(exp(88.72).is_finite() && exp(88.73).is_infinite());
        assert_eq!(erf(f32::INFINITY), 1.0);
        assert_eq!(erf(f32::NEG_INFINITY), -1.0);
        assert_eq!(erf(0.0), 0.0);
    }

    #[test]
    fn reductions_see_every_element_at_every_length() {
        for n in 0..70usize {
            let x: Vec<f32> = (0..n).map(|i| (i * 7 % 31) as f32).collect();
            assert_eq!(sum(&x, |x| x), x.iter().sum::<f32>());
            let top = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            assert_eq!(max(&x), top);
        }
    }
}
