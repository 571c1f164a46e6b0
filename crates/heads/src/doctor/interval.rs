//! Means over texts with bootstrap intervals.

use attnlab_ops::Streams;
use rand::Rng as _;
use serde::{Deserialize, Serialize};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 2000;
/// The part of the resampled means on either side of a 95 % interval.
const TAIL: f64 = 0.025;

/// A mean over texts and its 95 % percentile bootstrap interval (Efron 1979), texts drawn with replacement.
///
/// Of a single text the interval is the mean; [`super::LEAST_TEXTS`] says how many a verdict asks for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean over texts.
    pub mean: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
    /// Texts with a value.
    pub texts: usize,
}

impl Interval {
    /// Of one value a text, which are finite; none of no values. The draws are the same for the same number of values.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len();
        let mean = |sum: f64| sum / n as f64;
        let mut rng = Streams::new(0).rng("bootstrap", n as u64);
        let mut means: Vec<f64> =
            (0..RESAMPLES).map(|_| mean((0..n).map(|_| values[rng.random_range(0..n)]).sum())).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means[(share * (RESAMPLES - 1) as f64).round() as usize];
        Some(Self { mean: mean(values.iter().sum()), low: at(TAIL), high: at(1.0 - TAIL), texts: n })
    }

    /// Of the values that there are.
    pub fn of_some(values: impl IntoIterator<Item = Option<f64>>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().flatten().filter(|value| value.is_finite()).collect();
        Self::of(&values)
    }

    /// Whether all of it lies above every one of these.
    pub fn is_above(&self, bounds: &[f64]) -> bool {
        bounds.iter().all(|bound| self.low > *bound)
    }

    /// Whether all of it lies below every one of these.
    pub fn is_below(&self, bounds: &[f64]) -> bool {
        bounds.iter().all(|bound| self.high < *bound)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_interval_is_about_two_standard_errors_wide_and_the_same_every_time() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(i % 8)).collect();
        let found = Interval::of(&values).unwrap();
        // Mean 3.5, variance 5.25 of the population that is resampled.
        let error = (5.25f64 / 40.0).sqrt();
        assert_eq!((found.mean, found.texts), (3.5, 40));
        // The ends themselves are quantiles of 2,000 draws, which vary by about 0.06 standard errors.
        assert!((found.mean - found.low - 1.96 * error).abs() < 0.25 * error, "{found:?}");
        assert!((found.high - found.mean - 1.96 * error).abs() < 0.25 * error, "{found:?}");
        assert_eq!(Interval::of(&values), Some(found));
    }

    #[test]
    fn nothing_has_no_interval_and_one_value_no_width() {
        assert_eq!(Interval::of(&[]), None);
        assert_eq!(Interval::of_some([None, Some(f64::NAN)]), None);
        assert_eq!(Interval::of(&[2.0]), Some(Interval { mean: 2.0, low: 2.0, high: 2.0, texts: 1 }));
        let found = Interval { mean: 2.0, low: 1.0, high: 3.0, texts: 9 };
        assert!(found.is_above(&[0.5, 0.9]) && !found.is_above(&[0.5, 1.0]) && found.is_below(&[3.5]));
    }
}
