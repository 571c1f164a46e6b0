//! What a handful of seeds allows to say.
//!
//! Seeds are the unit of resampling: sequences of one run share its weights, and counting them as independent would make
//! every interval far too narrow. Differences between two sets of runs are in [`crate::significance`].

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Confidence level of every interval in a report.
pub const LEVEL: f64 = 0.95;
/// Bootstrap resamples of every interval in a report.
pub const RESAMPLES: usize = 4_000;
/// Seed of the resampling: the same results give the same interval, digit for digit.
pub const BOOTSTRAP_SEED: u64 = 0x0a77_1ab5;

/// A closed interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether both ends read the same in percent with one decimal: such an interval tells nothing and is not printed.
    pub fn is_invisible(&self) -> bool {
        format!("{:.1}", self.low * 100.0) == format!("{:.1}", self.high * 100.0)
    }
}

/// Arithmetic mean; `None` of nothing.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Median, the mean of the middle two for an even count; `None` of nothing.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    sorted.get(sorted.len() / 2 - 1).map(|lower| (lower + upper) / 2.0)
}

/// Percentile bootstrap of the mean (Efron 1979): the `(1 ± level)/2` quantiles of the means of `resamples` draws with
/// replacement. `None` below two values, where resampling has nothing to vary. With three to five seeds it covers less
/// than `level` promises and can never leave the range of the values: read it as the spread over seeds.
pub fn bootstrap_mean(values: &[f64], level: f64, resamples: usize, seed: u64) -> Option<Interval> {
    if values.len() < 2 || resamples == 0 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let means = (0..resamples)
        .map(|_| {
            let sum: f64 =
                (0..values.len()).filter_map(|_| values.get(rng.random_range(0..values.len()))).sum();
            sum / values.len() as f64
        })
        .collect();
    percentiles(means, level)
}

/// The `(1 ± level)/2` quantiles of resampled statistics; `None` of none.
pub(crate) fn percentiles(mut resampled: Vec<f64>, level: f64) -> Option<Interval> {
    resampled.sort_by(f64::total_cmp);
    let tail = (1.0 - level.clamp(0.0, 1.0)) / 2.0;
    Some(Interval { low: quantile(&resampled, tail)?, high: quantile(&resampled, 1.0 - tail)? })
}

/// [`bootstrap_mean`] with the report's level, resamples and seed.
pub fn interval_over_seeds(values: &[f64]) -> Option<Interval> {
    bootstrap_mean(values, LEVEL, RESAMPLES, BOOTSTRAP_SEED)
}

/// Linear interpolation between order statistics (type 7 of Hyndman & Fan 1996); `sorted` ascending.
fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let place = p.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let below = *sorted.get(place.floor() as usize)?;
    let above = *sorted.get(place.ceil() as usize)?;
    Some(below + (above - below) * place.fract())
}

/// Wilson score interval at 95 % for a share of `successes` in `trials` (Wilson 1927): unlike the normal approximation
/// it stays in 0..=1 and is not empty at 0 or all. `None` of no trials.
pub fn wilson(successes: usize, trials: usize) -> Option<Interval> {
    const Z: f64 = 1.959_963_984_540_054;
    wilson_share(successes.min(trials) as f64 / trials as f64, trials, Z)
}

/// [`wilson`] for a share that is already divided, with `z` standard deviations to each side.
pub fn wilson_share(p: f64, trials: usize, z: f64) -> Option<Interval> {
    if trials == 0 || !p.is_finite() {
        return None;
    }
    let n = trials as f64;
    let centre = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).max(0.0).sqrt();
    let scale = 1.0 + z * z / n;
    Some(Interval { low: ((centre - half) / scale).max(0.0), high: ((centre + half) / scale).min(1.0) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn wilson_agrees_with_published_values() {
        // Newcombe 1998, table I: 81 of 263 gives .2553 to .3662; 0 of 20 gives 0 to .1611.
        let a = wilson(81, 263).unwrap();
        assert!((a.low - 0.2553).abs() < 1e-4 && (a.high - 0.3662).abs() < 1e-4);
        let b = wilson(0, 20).unwrap();
        assert!(b.low.abs() < 1e-12 && (b.high - 0.1611).abs() < 1e-4);
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn bootstrap_of_two_values_has_the_exact_quantiles_of_its_three_possible_means() {
        // The mean is 0, .5 or 1 with probability 1/4, 1/2, 1/4: both tails hold more than 2.5 %.
        let i = bootstrap_mean(&[0.0, 1.0], 0.95, 4_000, 7).unwrap();
        assert_eq!((i.low, i.high), (0.0, 1.0));
        // The middle 20 % lies inside the probability 1/2 of .5.
        let narrow = bootstrap_mean(&[0.0, 1.0], 0.2, 4_000, 7).unwrap();
        assert_eq!((narrow.low, narrow.high), (0.5, 0.5));
    }

    #[test]
    fn bootstrap_approaches_the_normal_interval_for_many_values() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let i = bootstrap_mean(&values, 0.95, 4_000, 1).unwrap();
        let half = 1.96 * 33.25_f64.sqrt() / 20.0; // variance of 0..20 is (20² − 1)/12
        assert!((i.low - (9.5 - half)).abs() < 0.06, "{i:?}");
        assert!((i.high - (9.5 + half)).abs() < 0.06, "{i:?}");
    }

    #[test]
    fn one_seed_has_no_interval_and_equal_seeds_have_one_without_width() {
        assert_eq!(interval_over_seeds(&[0.4]), None);
        let i = interval_over_seeds(&[0.25; 5]).unwrap();
        assert_eq!((i.low, i.high), (0.25, 0.25));
    }

    #[test]
    fn bootstrap_repeats_for_one_seed_and_differs_for_another() {
        let values = [0.1, 0.7, 0.3, 0.95, 0.2, 0.41, 0.66];
        let a = bootstrap_mean(&values, 0.95, 2_000, 1);
        assert_eq!(a, bootstrap_mean(&values, 0.95, 2_000, 1));
        assert_ne!(a, bootstrap_mean(&values, 0.95, 2_000, 2));
    }

    #[test]
    fn median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
        assert_eq!(median(&[]), None);
    }
}
