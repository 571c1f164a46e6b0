//! Whether two sets of runs differ by more than their seeds explain.
//!
//! The interval of a difference is a bootstrap over seeds. With a handful of seeds it is too narrow, so that it decides
//! nothing by itself: whether two columns are told apart is decided by an exact permutation test (Fisher 1935, Pitman
//! 1937), which has no such failing, and by Holm's correction over all pairs that are looked at.

use rand::seq::index::sample;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::statistics::{BOOTSTRAP_SEED, Interval, LEVEL, RESAMPLES, bootstrap_mean, mean, percentiles};

/// Two columns are told apart where the corrected p is below this.
pub const ALPHA: f64 = 0.05;
/// More assignments than this are sampled and not counted through.
const MOST_ASSIGNMENTS: usize = 50_000;
/// Assignments drawn where there are more.
const DRAWN: usize = 20_000;

/// How far one set of runs is above another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Mean of the first less mean of the second.
    pub mean: f64,
    /// Bootstrap interval over seeds; `None` where a side has a single run.
    pub interval: Option<Interval>,
    /// Two-sided p of the permutation test; `None` where a side has a single run.
    pub p: Option<f64>,
    /// The least p that so many runs can give.
    pub least_p: Option<f64>,
    /// Whether the interval pairs runs of one seed.
    pub paired: bool,
}

impl Difference {
    /// Compares `a` with `b`. `paired` says that they are of the same seeds in the same order; then the interval resamples
    /// seeds and not runs. `None` where a side has no run.
    pub fn of(a: &[f64], b: &[f64], paired: bool) -> Option<Difference> {
        let paired = paired && a.len() == b.len();
        let several = a.len() > 1 && b.len() > 1;
        Some(Difference {
            mean: mean(a)? - mean(b)?,
            interval: bootstrap_difference(a, b, paired),
            p: if several { permutation_p(a, b) } else { None },
            least_p: if several { least_p(a.len(), b.len()) } else { None },
            paired,
        })
    }
}

/// Percentile bootstrap of mean(a) − mean(b) with the report's level, resamples and seed. Paired, the differences within
/// the pairs are resampled (runs of one seed share their training strings); else each side by itself.
pub fn bootstrap_difference(a: &[f64], b: &[f64], paired: bool) -> Option<Interval> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    if paired && a.len() == b.len() {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        return bootstrap_mean(&differences, LEVEL, RESAMPLES, BOOTSTRAP_SEED);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
    let mut resampled = |of: &[f64]| -> f64 {
        let drawn = (0..of.len()).filter_map(|_| of.get(rng.random_range(0..of.len())));
        drawn.sum::<f64>() / of.len() as f64
    };
    percentiles((0..RESAMPLES).map(|_| resampled(a) - resampled(b)).collect(), LEVEL)
}

/// Two-sided permutation test of equal distributions: the share of all assignments of the runs to two sets of these sizes
/// whose means differ by at least as much. Exact up to 50,000 assignments, else from 20,000 drawn ones with the observed
/// one counted in (Phipson & Smyth 2010). `None` where a side is empty.
///
/// Runs are exchanged between the sets whatever their seeds: where runs of one seed do well together, that makes p larger,
/// never smaller. Exchanging only within seeds would leave 2ⁿ assignments of n pairs and could never reach 0.05 with five.
pub fn permutation_p(a: &[f64], b: &[f64]) -> Option<f64> {
    let observed = (mean(a)? - mean(b)?).abs();
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let total: f64 = all.iter().sum();
    let (n, m) = (a.len() as f64, b.len() as f64);
    // Equal differences must count as such whatever the order of summation.
    let reached = observed - 1e-9 * (1.0 + observed);
    let extreme = |sum: f64| (sum / n - (total - sum) / m).abs() >= reached;
    match assignments(all.len(), a.len()) {
        Some(count) if count <= MOST_ASSIGNMENTS => {
            let mut extremes = 0;
            each_sum(&all, a.len(), 0.0, &mut |sum| extremes += usize::from(extreme(sum)));
            Some(extremes as f64 / count as f64)
        }
        _ => {
            let mut rng = ChaCha8Rng::seed_from_u64(BOOTSTRAP_SEED);
            let drawn = (0..DRAWN).filter(|_| {
                let chosen = sample(&mut rng, all.len(), a.len());
                extreme(chosen.iter().filter_map(|i| all.get(i)).sum())
            });
            Some((1 + drawn.count()) as f64 / (1 + DRAWN) as f64)
        }
    }
}

/// Calls `see` with the sum of every choice of `chosen` of the values.
fn each_sum(values: &[f64], chosen: usize, sum: f64, see: &mut impl FnMut(f64)) {
    if chosen == 0 {
        return see(sum);
    }
    for (i, value) in values.iter().enumerate().take(values.len().saturating_sub(chosen - 1)) {
        each_sum(values.get(i + 1..).unwrap_or_default(), chosen - 1, sum + value, see);
    }
}

/// The number of ways to choose `k` of `n`; `None` beyond a hundred million.
fn assignments(n: usize, k: usize) -> Option<usize> {
    let k = k.min(n.checked_sub(k)?);
    let mut ways = 1usize;
    for i in 0..k {
        ways = ways * (n - i) / (i + 1);
        if ways > 100_000_000 {
            return None;
        }
    }
    Some(ways)
}

/// The least two-sided p that the permutation test can give with so many runs: that of two sets of which every run of one is
/// above every run of the other. Sets of equal size have their mirror image as a second such assignment.
pub fn least_p(n: usize, m: usize) -> Option<f64> {
    let extremes = if n == m { 2.0 } else { 1.0 };
    match assignments(n + m, n) {
        _ if n == 0 || m == 0 => None,
        Some(count) if count <= MOST_ASSIGNMENTS => Some((extremes / count as f64).min(1.0)),
        _ => Some(1.0 / (1 + DRAWN) as f64),
    }
}

/// The fewest runs a column with which one of so many pairs can be told apart from chance at [`ALPHA`].
pub fn runs_needed(pairs: usize) -> usize {
    let can = |n: &usize| least_p(*n, *n).is_some_and(|p| p * pairs as f64 <= ALPHA);
    (2..=30).find(can).unwrap_or(30)
}

/// Holm's step-down correction (Holm 1979): p values such that rejecting those below α errs at all with at most α. In the
/// order given.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    let at = |i: usize| p.get(i).copied().unwrap_or(1.0);
    order.sort_by(|&i, &j| at(i).total_cmp(&at(j)));
    let mut corrected = vec![1.0; p.len()];
    let mut least: f64 = 0.0;
    for (step, &i) in order.iter().enumerate() {
        least = least.max((at(i) * (p.len() - step) as f64).min(1.0));
        if let Some(slot) = corrected.get_mut(i) {
            *slot = least;
        }
    }
    corrected
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_permutation_test_agrees_with_counting_by_hand() {
        // Of the 6 ways to choose two of 1 2 3 4, {1, 2} and {3, 4} have means two apart; {1, 3} and {2, 4} one apart.
        assert_eq!(permutation_p(&[3.0, 4.0], &[1.0, 2.0]), Some(2.0 / 6.0));
        assert_eq!(permutation_p(&[2.0, 4.0], &[1.0, 3.0]), Some(4.0 / 6.0));
        assert_eq!(permutation_p(&[0.5; 5], &[0.5; 5]), Some(1.0));
        // One run apart from three: the mirror image is no assignment of these sizes.
        assert_eq!(permutation_p(&[9.0], &[1.0, 2.0, 3.0]), Some(0.25));
        assert_eq!(permutation_p(&[], &[1.0]), None);
    }

    #[test]
    fn separated_sets_reach_the_least_p_and_no_sets_go_below_it() {
        for (n, expected) in [(2, 2.0 / 6.0), (3, 0.1), (4, 2.0 / 70.0), (5, 2.0 / 252.0)] {
            let low: Vec<f64> = (0..n).map(|i| i as f64 / 100.0).collect();
            let high: Vec<f64> = low.iter().map(|x| x + 0.5).collect();
            assert_eq!(least_p(n, n), Some(expected));
            assert!((permutation_p(&high, &low).unwrap() - expected).abs() < 1e-12);
        }
        assert_eq!(least_p(2, 3), Some(0.1));
        assert_eq!(least_p(0, 3), None);
    }

    #[test]
    fn many_runs_are_sampled_and_agree_with_the_normal_approximation() {
        // 40 against 40, means 0.5 standard deviations apart: z = 0.5 / √(2/40) = 2.236, two-sided p = 0.0253.
        let ramp: Vec<f64> = (0..40).map(|i| (f64::from(i) - 19.5) / 11.543).collect();
        let up: Vec<f64> = ramp.iter().map(|x| x + 0.5).collect();
        let p = permutation_p(&up, &ramp).unwrap();
        assert!((0.018..0.036).contains(&p), "{p}");
        assert_eq!(permutation_p(&up, &ramp), Some(p));
    }

    #[test]
    fn the_test_rejects_equal_columns_no_more_often_than_it_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut draw = || -> Vec<f64> { (0..5).map(|_| rng.random::<f64>().powi(4)).collect() };
        let rejected = (0..2_000).filter(|_| permutation_p(&draw(), &draw()).unwrap() <= 0.05).count();
        // 2,000 · 0.05 = 100, standard deviation below 10.
        assert!((50..130).contains(&rejected), "{rejected}");
    }

    #[test]
    fn pairs_take_out_what_seeds_share() {
        let seeds = [0.1, 0.9, 0.4, 0.6, 0.2];
        let above: Vec<f64> = seeds.iter().map(|x| x + 0.05).collect();
        let paired = Difference::of(&above, &seeds, true).unwrap();
        let apart = Difference::of(&above, &seeds, false).unwrap();
        let (paired, apart) = (paired.interval.unwrap(), apart.interval.unwrap());
        assert!((paired.low - 0.05).abs() < 1e-9 && (paired.high - 0.05).abs() < 1e-9, "{paired:?}");
        assert!(apart.low < 0.0 && apart.high > 0.2, "{apart:?}");
    }

    #[test]
    fn one_run_has_neither_an_interval_nor_a_p() {
        let one = Difference::of(&[0.9], &[0.1], true).unwrap();
        assert_eq!((one.interval, one.p, one.least_p), (None, None, None));
        assert!((one.mean - 0.8).abs() < 1e-12);
        assert_eq!(Difference::of(&[], &[0.1], false), None);
    }

    #[test]
    fn holm_agrees_with_a_worked_example() {
        // 0.01·4, 0.013·3 raised to 0.04, 0.03·2 and 0.04 raised to 0.06.
        let corrected = holm(&[0.04, 0.01, 0.03, 0.013]);
        let expected = [0.06, 0.04, 0.06, 0.04];
        assert!(corrected.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{corrected:?}");
        assert_eq!(holm(&[0.6, 0.9]), [1.0, 1.0]);
        assert_eq!(holm(&[]), [0.0; 0]);
    }

    #[test]
    fn the_runs_that_are_needed_grow_with_the_pairs() {
        assert_eq!([1, 3, 6, 10, 21].map(runs_needed), [4, 5, 5, 6, 6]);
    }
}
