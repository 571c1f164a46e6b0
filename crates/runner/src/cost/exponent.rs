//! Local exponents, and where one form overtakes another.
//!
//! ```text
//! p(N₁, N₂) = log(y(N₂)/y(N₁)) / log(N₂/N₁)        y ~ Nᵖ between N₁ and N₂
//! ```
//! One slope over all lengths would mix the constant, the linear and the quadratic part; the local ones show how the
//! last takes over.

use attnlab_report::cost::{Crossover, Estimated};

use super::bootstrap::{Draws, ends};

/// The exponent between two points.
pub(super) fn exponent(lengths: [f64; 2], values: [f64; 2]) -> f64 {
    (values[1] / values[0]).ln() / (lengths[1] / lengths[0]).ln()
}

/// That of medians of repeats, with its interval.
pub(super) fn of_medians(lengths: [f64; 2], samples: [&[f64]; 2], draws: &Draws) -> Estimated {
    let medians = draws.medians(&samples);
    let resampled = draws.resampled(&samples).map(|m| exponent(lengths, [m[0], m[1]])).collect();
    Draws::estimated(exponent(lengths, [medians[0], medians[1]]), resampled)
}

/// From which length on `form` is faster than `full`, over the ascending lengths that both have; none without any.
pub(super) fn crossover(
    lengths: &[usize],
    form: &[&[f64]],
    full: &[&[f64]],
    draws: &Draws,
) -> Option<Crossover> {
    let (&shortest, &longest) = (lengths.first()?, lengths.last()?);
    let at = |form: &[f64], full: &[f64]| crossing(lengths, form, full);
    let length = at(&draws.medians(form), &draws.medians(full));
    Some(if length == f64::NEG_INFINITY {
        Crossover::Below { length: shortest }
    } else if length == f64::INFINITY {
        Crossover::NotWithin { length: longest }
    } else {
        let resampled = draws.resampled(form).zip(draws.resampled(full)).map(|(form, full)| at(&form, &full));
        let (low, high) = ends(resampled.collect()).unwrap_or((length, length));
        let finite = |end: f64| end.is_finite().then_some(end);
        Crossover::At { length, low: finite(low), high: finite(high) }
    })
}

/// Beyond the last length at which the form is not faster: −∞ if there is none, ∞ if that is the longest.
fn crossing(lengths: &[usize], form: &[f64], full: &[f64]) -> f64 {
    let above: Vec<f64> = form.iter().zip(full).map(|(form, full)| (form / full).ln()).collect();
    let Some(last) = above.iter().rposition(|d| *d >= 0.0) else { return f64::NEG_INFINITY };
    let (Some(&next), Some(&to)) = (above.get(last + 1), lengths.get(last + 1)) else { return f64::INFINITY };
    let from = (lengths[last] as f64).ln();
    let share = above[last] / (above[last] - next);
    (from + share * ((to as f64).ln() - from)).exp()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LENGTHS: [usize; 5] = [64, 128, 256, 512, 1024];

    fn timed(f: impl Fn(f64) -> f64) -> Vec<Vec<f64>> {
        LENGTHS.iter().map(|&n| vec![f(n as f64); 5]).collect()
    }

    fn views(samples: &[Vec<f64>]) -> Vec<&[f64]> {
        samples.iter().map(Vec::as_slice).collect()
    }

    #[test]
    fn a_power_has_its_exponent_between_all_lengths() {
        for p in [0.0, 1.0, 2.0] {
            let samples = timed(|n| 3e-4 * n.powf(p));
            let samples = views(&samples);
            for at in 0..4 {
                let lengths = [LENGTHS[at] as f64, LENGTHS[at + 1] as f64];
                let found = of_medians(lengths, [samples[at], samples[at + 1]], &Draws::new(5, 0));
                assert!((found.value - p).abs() < 1e-12 && found.high - found.low < 1e-12, "{found:?}");
            }
        }
        // Of a quadratic with a linear part it is between, and rises.
        let t = |n: f64| n * n + 500.0 * n;
        let local = |n: f64| exponent([n, 2.0 * n], [t(n), t(2.0 * n)]);
        assert!(1.0 < local(64.0) && local(64.0) < local(1024.0) && local(1024.0) < 2.0);
    }

    #[test]
    fn the_interval_of_an_exponent_spans_its_scatter() {
        let draws = Draws::new(15, 0);
        let noisy: Vec<f64> = (0..15).map(|i| 4.0 * (1.0 + 0.01 * f64::from(i % 5 - 2))).collect();
        let found = of_medians([64.0, 128.0], [&[1.0; 15], &noisy], &draws);
        assert!(found.low < 2.0 && 2.0 < found.high && found.high - found.low < 0.1, "{found:?}");
        assert_eq!(found.value, 2.0);
    }

    #[test]
    fn lines_cross_where_they_are_equal() {
        let draws = Draws::new(5, 0);
        let (full, linear) = (timed(|n| n * n / 300.0), timed(|n| n));
        let (full, linear) = (views(&full), views(&linear));
        let Some(Crossover::At { length, low, high }) = crossover(&LENGTHS, &linear, &full, &draws) else {
            panic!("they cross at 300");
        };
        assert!((length - 300.0).abs() < 1e-9, "{length}");
        assert_eq!((low, high), (Some(length), Some(length)));
        let (slow, fast) = (timed(|n| n * n), timed(|n| n * n / 400.0));
        let never = crossover(&LENGTHS, &views(&slow), &full, &draws);
        assert_eq!(never, Some(Crossover::NotWithin { length: 1024 }));
        let always = crossover(&LENGTHS, &views(&fast), &full, &draws);
        assert_eq!(always, Some(Crossover::Below { length: 64 }));
        assert_eq!(crossover(&[], &[], &[], &draws), None);
    }

    #[test]
    fn a_form_that_falls_behind_again_has_crossed_at_the_end_only() {
        // Faster at 64, slower at 128 and 256, faster from 512 on.
        let full = [1.0; 5];
        let form = [0.5, 2.0, 2.0, 0.5, 0.25];
        let at = crossing(&LENGTHS, &form, &full);
        assert!((at - (256.0f64 * 512.0).sqrt()).abs() < 1e-9, "{at}");
    }
}
