//! Findings as words: what the terminal and the page show.

use attnlab_heads::doctor::{
    Causal, Finding, HeadEvidence, Interval, Pictures, Remedy, Role, StreamPoint, Unit, Verdict,
};
use attnlab_report::doctor::{Curve, Entry, Mark, Pictures as Drawn};

/// Heads that a table names; the page lists all.
const NAMED: usize = 4;

/// A number as short as it can be read.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    }
}

/// `0.41 [0.38, 0.44]`.
pub(super) fn interval(found: &Interval) -> String {
    format!("{} [{}, {}]", number(found.mean), number(found.low), number(found.high))
}

fn baseline(uniform: Option<f64>, random: Option<f64>, threshold: Option<f64>) -> String {
    let parts = [("uniform", uniform), ("random", random), ("threshold", threshold)];
    let shown = parts.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", number(value?))));
    shown.collect::<Vec<_>>().join(", ")
}

fn head(found: &HeadEvidence) -> String {
    format!("L{}H{}", found.layer, found.head)
}

fn heads(found: &[HeadEvidence]) -> String {
    let named: Vec<String> = found.iter().take(NAMED).map(head).collect();
    match found.len().saturating_sub(NAMED) {
        0 => named.join(" "),
        more => format!("{} +{more}", named.join(" ")),
    }
}

fn effect(causal: &Causal) -> String {
    let sign = |value: f64| format!("{}{}", if value > 0.0 { "+" } else { "" }, number(value));
    let Interval { mean, low, high, .. } = causal.effect;
    match causal.unit {
        Unit::Loss => format!("Δloss {} [{}, {}]", sign(mean), sign(low), sign(high)),
        Unit::HiddenChange => format!("states move {} [{}, {}]", number(mean), number(low), number(high)),
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Used => "used",
        Role::Idle => "idle",
        Role::Harmful => "harmful",
        Role::Open => "open",
    }
}

fn remedy(remedy: &Remedy) -> [String; 4] {
    [remedy.name.into(), remedy.overrides.join(" "), remedy.expectation.into(), remedy.source.into()]
}

/// One finding.
pub(super) fn entry(finding: &Finding) -> Entry {
    let (mark, verdict) = match &finding.verdict {
        Verdict::Absent => (Mark::Good, "absent"),
        Verdict::Present if finding.benign => (Mark::Good, "present, harmless"),
        Verdict::Present => (Mark::Bad, "present"),
        Verdict::CannotTell { .. } => (Mark::Open, "cannot tell"),
    };
    let mut says = finding.says.clone();
    if let Verdict::CannotTell { why } = &finding.verdict {
        says.insert(0, format!("It cannot be told: {why}."));
    }
    let grade = finding.grade().map(|grade| grade.name()).unwrap_or_default();
    let definition = attnlab_heads::doctor::failures().iter().find(|failure| failure.name == finding.name);
    let measure = finding.measure.as_ref();
    let evidence = |found: &HeadEvidence| {
        let against = baseline(found.uniform, found.random, None);
        [head(found), found.metric.into(), interval(&found.estimate), against, found.note.clone()]
    };
    let intervention = |causal: &Causal| [causal.did.clone(), effect(causal), role(causal.role).into()];
    Entry {
        name: finding.name.into(),
        title: finding.title.into(),
        mark,
        verdict: verdict.into(),
        severity: finding.severity.map_or(String::new(), |severity| format!("{grade} {severity:.2}")),
        heads: heads(&finding.heads),
        number: measure.map_or(String::new(), |measure| interval(&measure.estimate)),
        baseline: measure.map_or(String::new(), |m| {
            baseline(m.uniform, m.random, (m.threshold != 0.0).then_some(m.threshold))
        }),
        causal: finding.causal.first().map_or(String::new(), effect),
        says,
        about: definition
            .map_or(String::new(), |failure| format!("{}. Severity: {}", failure.about, failure.severity)),
        source: definition.map_or(String::new(), |failure| failure.source.to_owned()),
        evidence: finding.heads.iter().map(evidence).collect(),
        interventions: finding.causal.iter().map(intervention).collect(),
        remedies: finding.remedies.iter().map(|found| remedy(found)).collect(),
    }
}

/// The numbers as curves and maps.
pub(super) fn pictures(found: &Pictures) -> Drawn {
    let curve = |name: &str, points: Vec<(f64, f64)>| Curve { name: name.to_owned(), points };
    let of_mass = |number: &dyn Fn(&attnlab_heads::doctor::MassPoint) -> Option<f64>| {
        found.mass.iter().filter_map(|point| Some((point.share, number(point)?))).collect()
    };
    let of_stream = |number: &dyn Fn(&StreamPoint) -> Option<f64>| -> Vec<(f64, f64)> {
        let places = found.stream.iter().enumerate();
        places.filter_map(|(place, point)| Some((place as f64, number(point)?))).collect()
    };
    let mass = vec![
        curve("this model", of_mass(&|point| Some(point.keys))),
        curve("uniform attention", of_mass(&|point| Some(point.uniform))),
        curve("random attention", of_mass(&|point| point.random)),
    ];
    let curves =
        |all: Vec<Curve>| all.into_iter().filter(|curve| !curve.points.is_empty()).collect::<Vec<_>>();
    Drawn {
        sinks: found.sinks.clone(),
        entropy: found.entropy.clone(),
        mass: curves(mass),
        residual: curves(vec![
            curve("distance from the mean", of_stream(&|point| point.residual)),
            curve("mean cosine", of_stream(&|point| point.cosine)),
        ]),
        peak: curves(vec![curve("first over others", of_stream(&|point| point.peak))]),
        training: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_short_as_they_can_be_read() {
        let shown: Vec<String> = [0.0, 0.0004, 0.1234, -12.34, 4567.8].into_iter().map(number).collect();
        assert_eq!(shown, ["0", "4.0e-4", "0.123", "-12.3", "4568"]);
    }
}
