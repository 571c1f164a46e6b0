//! How much a median of repeats can be trusted.
//!
//! A round times every point once, in random order. Rounds are what is drawn again, the same ones for every point: a
//! machine that was busy during a round was so for all of them.

use attnlab_ops::Streams;
use attnlab_report::cost::Estimated;
use attnlab_report::statistics::{LEVEL, median};
use rand::Rng as _;

/// Resamples of every interval.
const RESAMPLES: usize = 1_000;

/// Rounds drawn with replacement, as often as intervals need.
pub(super) struct Draws(Vec<Vec<usize>>);

impl Draws {
    /// Of so many rounds.
    pub(super) fn new(rounds: usize, seed: u64) -> Self {
        let mut rng = Streams::new(seed).rng("cost/bootstrap", 0);
        let mut draw = || (0..rounds).map(|_| rng.random_range(0..rounds)).collect();
        Self((0..RESAMPLES).map(|_| draw()).collect())
    }

    /// The median of each point's rounds.
    pub(super) fn medians(&self, samples: &[&[f64]]) -> Vec<f64> {
        samples.iter().map(|samples| median(samples).unwrap_or(f64::NAN)).collect()
    }

    /// The medians of each resample.
    pub(super) fn resampled<'a>(&'a self, samples: &'a [&[f64]]) -> impl Iterator<Item = Vec<f64>> + 'a {
        self.0.iter().map(move |draw| {
            let one = |samples: &&[f64]| {
                let drawn: Vec<f64> = draw.iter().filter_map(|&round| samples.get(round).copied()).collect();
                median(&drawn).unwrap_or(f64::NAN)
            };
            samples.iter().map(one).collect()
        })
    }

    /// A value with the percentile interval of its resamples.
    pub(super) fn estimated(value: f64, resampled: Vec<f64>) -> Estimated {
        let (low, high) = ends(resampled).unwrap_or((value, value));
        Estimated { value, low, high }
    }
}

/// The ends of the percentile interval; order statistics, since some resamples may be infinite.
pub(super) fn ends(mut resampled: Vec<f64>) -> Option<(f64, f64)> {
    resampled.sort_by(f64::total_cmp);
    let last = resampled.len().checked_sub(1)?;
    let tail = (1.0 - LEVEL) / 2.0 * last as f64;
    Some((resampled[tail.floor() as usize], resampled[last - tail.floor() as usize]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn points_of_one_round_are_drawn_together() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [10.0, 20.0, 30.0, 40.0, 50.0]);
        let draws = Draws::new(5, 3);
        for medians in draws.resampled(&[&a, &b]) {
            assert_eq!(medians[1], 10.0 * medians[0]);
        }
        assert_eq!(draws.medians(&[&a, &b]), [3.0, 30.0]);
    }

    #[test]
    fn an_interval_holds_the_middle_95_percent_and_may_be_infinite() {
        let (low, high) = ends((0..=1000).map(f64::from).collect()).unwrap();
        assert_eq!((low, high), (25.0, 975.0));
        assert_eq!(ends(vec![f64::NEG_INFINITY; 100]).unwrap().0, f64::NEG_INFINITY);
        assert!(ends(Vec::new()).is_none());
    }
}
