//! The sums of a row of f32 weights, a vector at a time.
//!
//! Mass and entropy are summed in f64, the rest in f32 over short blocks and those in f64: relative errors stay below
//! 1e-6. The logarithm is that of Cephes, which keeps its precision next to 1, where attention that is nearly certain
//! lives.

use std::array::from_fn;

use pulp::{Arch, Simd, WithSimd};

use crate::digest::{SHARES, SLACK, SMALL, Sums};

/// Weights that are computed together.
const LANES: usize = 16;
/// Weights whose sums stay in f32.
const BLOCK: usize = 512;

impl Sums {
    /// Of the weights of a row, `before` being i less its first key.
    ///
    /// The number of keys a share needs is exact but for sums within 1e-6 of the share.
    pub(crate) fn of(weights: &[f32], before: f32) -> Self {
        Arch::new().dispatch(Digest { weights, before })
    }
}

struct Digest<'a> {
    weights: &'a [f32],
    before: f32,
}

impl WithSimd for Digest<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let Self { weights, before } = self;
        let top = top(weights);
        let mut sums = Sums { top: f64::from(top), ..Sums::default() };
        add_up(weights, before, top, &mut sums);
        if sums.mass > 0.0 && sums.mass.is_finite() {
            sums.needed = needed(simd, weights, &sums);
        }
        sums
    }
}

/// The largest weight.
#[inline(always)]
fn top(weights: &[f32]) -> f32 {
    let (chunks, rest) = weights.as_chunks::<LANES>();
    let mut lanes = [0f32; LANES];
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
        }
    }
    rest.iter().chain(&lanes).copied().fold(0.0, f32::max)
}

#[inline(always)]
fn add_up(weights: &[f32], before: f32, top: f32, sums: &mut Sums) {
    let cut = SMALL as f32 * top;
    let (mut mass, mut logs) = ([0f64; LANES], [0f64; LANES]);
    for (at, block) in weights.chunks(BLOCK).enumerate() {
        let (mut squares, mut distance, mut small) = ([0f32; LANES], [0f32; LANES], [0u32; LANES]);
        let mut from = before - (at * BLOCK) as f32;
        let mut chunk = |chunk: &[f32; LANES]| {
            for l in 0..LANES {
                let a = chunk[l];
                let log = a * ln(a);
                mass[l] += f64::from(a);
                logs[l] += f64::from(log);
                squares[l] += a * a;
                distance[l] += a * (from - l as f32).abs();
                small[l] += u32::from(a < cut);
            }
            from -= LANES as f32;
        };
        let (chunks, rest) = block.as_chunks::<LANES>();
        for weights in chunks {
            chunk(weights);
        }
        if !rest.is_empty() {
            let mut padded = [0f32; LANES];
            padded[..rest.len()].copy_from_slice(rest);
            chunk(&padded);
            if cut > 0.0 {
                sums.small -= (LANES - rest.len()) as f64;
            }
        }
        sums.squares += squares.iter().map(|&x| f64::from(x)).sum::<f64>();
        sums.distance += distance.iter().map(|&x| f64::from(x)).sum::<f64>();
        sums.small += f64::from(small.iter().sum::<u32>());
    }
    sums.mass = mass.iter().sum();
    sums.logs = logs.iter().sum();
}

/// ln x for x ≥ 0 without branches, −88 or so for zero and what is below the normal numbers.
#[inline(always)]
fn ln(x: f32) -> f32 {
    let x = if x < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { x };
    let bits = x.to_bits();
    // x = 2^e m with m in [1/2, 1)
    let e = (bits >> 23) as i32 - 126;
    let m = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let e = if low { e - 1 } else { e } as f32;
    let m = (if low { m + m } else { m }) - 1.0;
    let z = m * m;
    let p = 7.037_683_6e-2;
    let p = p * m - 1.151_461e-1;
    let p = p * m + 1.167_699_9e-1;
    let p = p * m - 1.242_014_1e-1;
    let p = p * m + 1.424_932_3e-1;
    let p = p * m - 1.666_805_7e-1;
    let p = p * m + 2.000_071_5e-1;
    let p = p * m - 2.499_999_4e-1;
    let p = p * m + 3.333_333e-1;
    let y = p * m * z + -2.121_944_4e-4 * e - 0.5 * z;
    m + y + 0.693_359_4 * e
}

/// The least number of keys that hold each share of the mass.
///
/// The weight at which a share is reached is searched by halving its bits, for all shares at once: two bounds close in
/// on each other until the mass between them is that of one key, or of keys of one weight.
#[inline(always)]
fn needed<S: Simd>(simd: S, weights: &[f32], sums: &Sums) -> [f64; SHARES.len()] {
    const N: usize = SHARES.len();
    /// A weight by its bits, and the mass of the keys at and above it.
    #[derive(Clone, Copy)]
    struct Bound {
        bits: u32,
        mass: f64,
    }
    let (mass, n) = (sums.mass, weights.len() as f64);
    let targets = SHARES.map(|share| (share - SLACK) * mass);
    // All keys below (1 − share) · mass / n together do not make up what may be left out.
    let mut low =
        SHARES.map(|share| Bound { bits: ((0.999 * (1.0 - share) * mass / n) as f32).to_bits(), mass });
    let mut high = [Bound { bits: (sums.top as f32).to_bits() + 1, mass: 0.0 }; N];
    let weight = |bound: &Bound| f64::from(f32::from_bits(bound.bits));
    let open = |low: &Bound, high: &Bound| {
        high.bits.saturating_sub(low.bits) > 1 && low.mass - high.mass > 1.5 * weight(low)
    };
    while (0..N).any(|q| open(&low[q], &high[q])) {
        let middle: [u32; N] = from_fn(|q| low[q].bits + high[q].bits.saturating_sub(low[q].bits) / 2);
        let above = masses(simd, weights, middle.map(f32::from_bits));
        for q in 0..N {
            if open(&low[q], &high[q]) {
                let bound = Bound { bits: middle[q], mass: above[q] };
                if bound.mass >= targets[q] { low[q] = bound } else { high[q] = bound }
            }
        }
    }
    let above: [f64; N] = counts(simd, weights, high.map(|bound| f32::from_bits(bound.bits)));
    from_fn(|q| {
        // One key, or several of one weight.
        let between = (low[q].mass - high[q].mass) / weight(&low[q]);
        let missing = (targets[q] - high[q].mass) / weight(&low[q]);
        let more = if between > 1.5 { missing.ceil().max(1.0) } else { 1.0 };
        (above[q] + more).min(n)
    })
}

/// The mass of the weights at and above each bound.
#[inline(always)]
fn masses<S: Simd, const N: usize>(simd: S, weights: &[f32], bounds: [f32; N]) -> [f64; N] {
    let splat = bounds.map(|bound| simd.splat_f32s(bound));
    let mut total = [0.0; N];
    for block in weights.chunks(4 * BLOCK) {
        let mut mass = [simd.splat_f32s(0.0); N];
        let (vectors, rest) = S::as_simd_f32s(block);
        for &a in vectors {
            for q in 0..N {
                let above = simd.greater_than_or_equal_f32s(a, splat[q]);
                mass[q] = simd.select_f32s(above, simd.add_f32s(mass[q], a), mass[q]);
            }
        }
        for q in 0..N {
            total[q] += f64::from(simd.reduce_sum_f32s(mass[q]));
            total[q] += rest.iter().filter(|&&a| a >= bounds[q]).map(|&a| f64::from(a)).sum::<f64>();
        }
    }
    total
}

/// The number of the weights at and above each bound.
#[inline(always)]
fn counts<S: Simd, const N: usize>(simd: S, weights: &[f32], bounds: [f32; N]) -> [f64; N] {
    let splat = bounds.map(|bound| simd.splat_f32s(bound));
    let one = simd.splat_f32s(1.0);
    let mut total = [0.0; N];
    for block in weights.chunks(4 * BLOCK) {
        let mut count = [simd.splat_f32s(0.0); N];
        let (vectors, rest) = S::as_simd_f32s(block);
        for &a in vectors {
            for q in 0..N {
                let above = simd.greater_than_or_equal_f32s(a, splat[q]);
                count[q] = simd.select_f32s(above, simd.add_f32s(count[q], one), count[q]);
            }
        }
        for q in 0..N {
            total[q] += f64::from(simd.reduce_sum_f32s(count[q]));
            total[q] += rest.iter().filter(|&&a| a >= bounds[q]).count() as f64;
        }
    }
    total
}

/// `to += weights`, key by key.
pub(crate) fn add_to(to: &mut [f32], weights: &[f32]) {
    struct Add<'a>(&'a mut [f32], &'a [f32]);
    impl WithSimd for Add<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) {
            for (to, &a) in self.0.iter_mut().zip(self.1) {
                *to += a;
            }
        }
    }
    Arch::new().dispatch(Add(to, weights));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights that sum to one, from even to certain, in no order.
    fn row(n: usize, sharpness: f64) -> Vec<f32> {
        let score = |j: usize| sharpness * ((j * 7919 % 1009) as f64 / 1009.0 + (j as f64 * 0.37).sin());
        let weights: Vec<f64> = (0..n).map(|j| score(j).exp()).collect();
        let total: f64 = weights.iter().sum();
        weights.iter().map(|a| (a / total) as f32).collect()
    }

    #[test]
    fn sums_are_those_of_f64_at_any_length() {
        for n in [1, 2, 15, 16, 17, 31, 500, 511, 512, 513, 1030, 2047, 2050, 5000, 33_000] {
            for sharpness in [0.0, 0.1, 1.0, 5.0, 30.0, 300.0] {
                let weights = row(n, sharpness);
                for before in [n - 1, n / 2] {
                    let found = Sums::of(&weights, before as f32);
                    let exact: Vec<f64> = weights.iter().map(|&a| f64::from(a)).collect();
                    let exact = Sums::exact(&exact, before as f64);
                    let what = format!("{n} weights, sharpness {sharpness}");
                    for (found, exact) in [
                        (found.mass, exact.mass),
                        (found.logs, exact.logs),
                        (found.squares, exact.squares),
                        (found.distance, exact.distance),
                        (found.top, exact.top),
                    ] {
                        let error = (found - exact).abs();
                        assert!(error <= 2e-6 * exact.abs().max(1e-30), "{what}: {found}, not {exact}");
                    }
                    // A weight that the cut or the share falls on may count or not.
                    assert!(
                        (found.small - exact.small).abs() <= 1e-4 * n as f64,
                        "{what}: {found:?}, not {exact:?}"
                    );
                    for (found, exact) in found.needed.iter().zip(exact.needed) {
                        assert!((found - exact).abs() <= 1.0 + 1e-5 * exact, "{what}: {found}, not {exact}");
                    }
                }
            }
        }
    }

    #[test]
    fn shares_of_few_weights_are_counted_exactly() {
        let needed = |weights: &[f32]| Sums::of(weights, 0.0).needed;
        assert_eq!(needed(&[0.25; 4]), [4.0; 3]);
        assert_eq!(needed(&[0.1; 10]), [9.0, 10.0, 10.0]);
        assert_eq!(needed(&[0.0, 1.0, 0.0]), [1.0; 3]);
        assert_eq!(needed(&[0.5, 0.0, 0.25, 0.25]), [3.0; 3]);
        assert_eq!(needed(&[0.92, 0.04, 0.02, 0.02]), [1.0, 2.0, 4.0]);
        assert_eq!(needed(&[]), [0.0; 3]);
    }

    #[test]
    fn the_logarithm_is_precise_next_to_one_and_finite_at_zero() {
        for x in [1e-30f32, 1e-7, 0.3, 0.707, 0.708, 0.99, 0.999_999_9, 1.0] {
            let exact = f64::from(x).ln();
            assert!((f64::from(ln(x)) - exact).abs() <= 3e-7 * exact.abs(), "ln {x}: {}, not {exact}", ln(x));
        }
        assert!(ln(0.0).is_finite());
    }
}
