//! Periodicity: heads whose attention comes back at equal distances. Information, no illness.

use super::case::Case;
use super::finding::{HeadEvidence, Measured, Verdict};
use super::interval::Interval;
use super::{Examined, Failure, Result, of_heads, sort};

/// The largest peak of a periodogram as a share of all its power, beyond which a head counts as periodic.
const PEAK: f64 = 0.3;
/// Distances that are looked at: a transform of more takes time and says no more.
const MOST: usize = 256;
/// Fewer have no periods to tell apart.
const LEAST_TOKENS: usize = 64;

pub(super) const FAILURE: Failure = Failure {
    name: "periodicity",
    title: "periodic heads",
    about: "the largest peak over all power in the periodogram of a(δ), the mean weight at distance δ without the sinks, in \
            its first half, less a running mean; a head is concerned where the interval lies above 0.3 and above what noise \
            gives: ln(m)/m of m frequencies, doubled",
    severity: "the share of heads concerned",
    source: "this project's; Fisher 1929 for the test of the largest peak",
    higher_is_worse: true,
    examine,
};

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; periods show from {LEAST_TOKENS} on"
        )));
    }
    // Of the largest of m exponential shares the mean is about ln(m)/m.
    let m = (shortest / 2).min(MOST) as f64 / 2.0;
    let noise = 2.0 * m.ln() / m;
    let periods = case.of_rows(|rows| Some(periodogram(&rows.profile)?.1))?;
    let mut heads = Vec::new();
    for (at, estimate) in case.of_rows(|rows| Some(periodogram(&rows.profile)?.0))? {
        if estimate.is_above(&[PEAK, noise]) {
            let period = periods.get(&at).map_or(f64::NAN, |period| period.mean);
            heads.push(HeadEvidence {
                layer: at.0,
                head: at.1,
                metric: "largest peak over all power",
                estimate,
                uniform: Some(0.0),
                random: Some(noise),
                note: format!("period {period:.1} tokens"),
            });
        }
    }
    sort(&mut heads);
    let concerned = heads.len();
    let mut found = Examined::by_heads(heads);
    found.benign = true;
    found.severity = concerned as f64 / case.heads().len().max(1) as f64;
    found.measure = Interval::of_some(case.rows()?.iter().map(|text| {
        let peaks = text.values().filter_map(|rows| Some(periodogram(&rows.profile)?.0));
        peaks.reduce(f64::max)
    }))
    .map(|estimate| Measured {
        what: "largest peak over all power, the largest of all heads".into(),
        estimate,
        uniform: Some(0.0),
        random: Some(noise),
        threshold: PEAK,
    });
    if found.verdict == Verdict::Present {
        found.says.push(format!("{} come back at equal distances.", of_heads(concerned, case)));
    }
    Ok(found)
}

/// The largest peak's share of the power, and its period, of a profile's first half less its running mean over five: in
/// longer distances few rows take part.
fn periodogram(profile: &[f64]) -> Option<(f64, f64)> {
    let n = (profile.len() / 2).min(MOST);
    let profile = profile.get(1..=n)?;
    let smooth = |at: usize| {
        let part = &profile[at.saturating_sub(8)..(at + 9).min(n)];
        part.iter().sum::<f64>() / part.len() as f64
    };
    // Divided by what is usual there, as weights fall with distance.
    let x: Vec<f64> =
        (0..n).map(|at| if smooth(at) > 0.0 { profile[at] / smooth(at) - 1.0 } else { 0.0 }).collect();
    let power = |k: usize| {
        let angle = |at: usize| std::f64::consts::TAU * (k * at % n) as f64 / n as f64;
        let (mut re, mut im) = (0.0, 0.0);
        for (at, x) in x.iter().enumerate() {
            re += x * angle(at).cos();
            im += x * angle(at).sin();
        }
        re * re + im * im
    };
    let powers: Vec<f64> = (1..=n / 2).map(power).collect();
    let all: f64 = powers.iter().sum();
    let best = (0..powers.len()).max_by(|&a, &b| powers[a].total_cmp(&powers[b]))?;
    (all > 0.0).then(|| (powers[best] / all, n as f64 / (best + 1) as f64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_period_is_found_on_a_falling_profile_and_none_in_a_falling_one() {
        let falling = |d: usize| 1.0 / (d as f64 + 4.0);
        let profile: Vec<f64> = (0..256)
            .map(|d| falling(d) * (1.0 + 0.5 * (std::f64::consts::TAU * d as f64 / 8.0).cos()))
            .collect();
        let (peak, period) = periodogram(&profile).unwrap();
        assert!(peak > 0.9 && (period - 8.0).abs() < 1e-9, "{peak} {period}");
        let jitter = |d: usize| 1.0 + 0.5 * ((d * d * 7 + d * 13) as f64).sin();
        let plain: Vec<f64> = (0..256).map(|d| falling(d) * jitter(d)).collect();
        assert!(periodogram(&plain).unwrap().0 < PEAK);
    }
}
