//! Underload: nothing is relevant, and a head's weight has to go somewhere.

use std::collections::BTreeMap;

use attnlab_hooks::{Change, HookSpec, Point, Site};
use attnlab_model::NullOption;

use super::case::{Case, Head};
use super::finding::{HeadEvidence, Measured, Role, Unit, Verdict};
use super::interval::Interval;
use super::rows::{Row, Rows};
use super::sink::{LEAST_TOKENS, RATE};
use super::{Examined, Failure, Result, change_outputs, of_heads, sort};

/// A sink whose value is written at less than this part of the mean length is drained.
pub(super) const DRAINED: f64 = 0.5;
/// A row with more than this on drained sinks may be dormant.
const ON_SINKS: f64 = 0.8;
/// A dormant row writes less than this part of the median of the head's other rows.
const QUIET: f64 = 0.3;
/// With an option to attend to nothing, a row that leaves less than this to keys is underloaded.
const LITTLE_MASS: f64 = 0.5;
/// A head is concerned if more than this share of its rows is.
const SHARE: f64 = 0.5;

pub(super) const FAILURE: Failure = Failure {
    name: "dormant",
    title: "underload: dormant heads",
    about: "the share of dormant rows: more than 0.8 on drained sinks (α > 0.3, value below half the mean length) and an \
            output below 0.3 of the median of the other rows; with weights that need not sum to one, rows with mass below \
            0.5. A head is concerned where the interval lies above half of the rows; present only if zeroing heads on \
            their dormant rows leaves the loss as it is. Null mass is not to be had from the scores of a plain softmax, \
            which a shift leaves alone",
    severity: "the share of all heads' rows that are dormant",
    source: "arXiv 2601.00919, in words; Guo et al. 2024 (arXiv 2410.13835); thresholds are this project's",
    higher_is_worse: true,
    examine,
};

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; sinks, which dormant rows rest on, need {LEAST_TOKENS}"
        )));
    }
    let mut dormant: Vec<BTreeMap<Head, Vec<usize>>> = Vec::new();
    for (text, rows) in case.rows()?.iter().enumerate() {
        let layers = medians(rows);
        let of = |(at, rows): (&Head, &Rows)| {
            let sinks = case.drained(text, *at);
            (
                *at,
                dormant_rows(case, &rows.rows, !sinks.is_empty(), layers.get(&at.0).copied().unwrap_or(0.0)),
            )
        };
        dormant.push(rows.iter().map(of).collect());
    }
    let length = |text: usize| case.texts[text].len().max(1) as f64;
    let count = |text: usize, at: &Head| dormant[text].get(at).map_or(0, Vec::len) as f64;
    let texts = 0..case.texts.len();
    let mut heads = Vec::new();
    for at in case.heads() {
        let shares: Vec<f64> = texts.clone().map(|text| count(text, &at) / length(text)).collect();
        let Some(estimate) = Interval::of(&shares) else { continue };
        if estimate.is_above(&[SHARE]) {
            let (layer, head) = at;
            let metric = "share of dormant rows";
            let note = String::new();
            heads.push(HeadEvidence {
                layer,
                head,
                metric,
                estimate,
                uniform: Some(0.0),
                random: Some(0.0),
                note,
            });
        }
    }
    sort(&mut heads);
    let all = case.heads();
    let share =
        |text: usize| all.iter().map(|at| count(text, at)).sum::<f64>() / length(text) / all.len() as f64;
    let shares: Vec<f64> = texts.map(share).collect();
    let measure = Interval::of(&shares).map(|estimate| Measured {
        what: "share of dormant rows, mean over heads and texts".into(),
        estimate,
        uniform: Some(0.0),
        random: Some(0.0),
        threshold: SHARE,
    });
    let concerned = heads.len();
    let mut found = Examined::by_heads(heads);
    found.severity = measure.as_ref().map_or(0.0, |measure| measure.estimate.mean);
    found.measure = measure;
    if concerned == 0 {
        return Ok(found);
    }
    let did = format!("zeroed {concerned} heads on their dormant rows");
    let asleep = case.intervene(did, |text, input| {
        let spec = |head: &HeadEvidence| {
            let rows = dormant[text].get(&(head.layer, head.head)).cloned().unwrap_or_default();
            let rows: Vec<usize> = rows.into_iter().filter(|row| *row < input.len()).collect();
            let name = Point::block(Site::Z, head.layer).to_string();
            (!rows.is_empty()).then(|| HookSpec::edit(name, Change::Zero).heads([head.head]).rows(rows))
        };
        Ok(found.heads.iter().filter_map(spec).collect())
    })?;
    let awake = case.intervene(format!("zeroed the same {concerned} heads on all rows"), |_, _| {
        Ok(change_outputs(&found.heads, &Change::Zero))
    })?;
    found.says.push(format!(
        "{} rest in more than half of their rows: the weight lies on keys whose values are hardly written.",
        of_heads(concerned, case)
    ));
    if let Some(asleep) = &asleep {
        let by =
            format!("{:+.3} ({:+.3} to {:+.3})", asleep.effect.mean, asleep.effect.low, asleep.effect.high);
        match (asleep.role, asleep.unit) {
            (Role::Idle, _) => found.says.push(format!(
                "There they do nothing: zeroed on those rows they move the loss by {by} nats."
            )),
            (Role::Used | Role::Harmful, _) => {
                found.verdict = Verdict::Absent;
                found.says.push(format!(
                    "But they are not idle there: zeroed on those rows they move the loss by {by} nats."
                ));
            }
            (Role::Open, Unit::Loss) => {
                let why = format!(
                    "whether the heads do anything on their dormant rows stays open: {by} nats; give more texts"
                );
                found.verdict = Verdict::CannotTell { why };
            }
            (Role::Open, Unit::HiddenChange) => {
                let why = format!(
                    "there is no loss to prove it by; zeroed on dormant rows the heads move the final states by {by} of their length"
                );
                found.verdict = Verdict::CannotTell { why };
            }
        }
    }
    if let Some(awake) = &awake {
        found.benign = awake.role == Role::Used;
        found.says.push(match awake.role {
            Role::Used => "In their other rows they work: without them altogether the loss rises. Heads that wait are no defect.".into(),
            Role::Idle => "Without them altogether the loss stays as it is, too: they are dead weight on these texts.".into(),
            Role::Harmful => "Without them altogether the loss falls.".into(),
            Role::Open => "Whether they are of use in other rows stays open.".to_owned(),
        });
    }
    found.causal = asleep.into_iter().chain(awake).collect();
    Ok(found)
}

/// The median output of each layer's active rows, for heads that have none.
fn medians(rows: &BTreeMap<Head, Rows>) -> BTreeMap<usize, f64> {
    let mut layers = BTreeMap::<usize, Vec<f64>>::new();
    for ((layer, _), rows) in rows {
        let active = rows.rows.iter().filter(|row| row.on_sinks <= ON_SINKS);
        layers.entry(*layer).or_default().extend(active.map(|row| row.written));
    }
    layers.into_iter().map(|(layer, written)| (layer, median(written))).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Which rows of a head are dormant.
fn dormant_rows(case: &Case<'_>, rows: &[Row], has_sinks: bool, of_layer: f64) -> Vec<usize> {
    let null = case.model.config().architecture.null_option != NullOption::None;
    let active: Vec<f64> =
        rows.iter().filter(|row| row.on_sinks <= ON_SINKS).map(|row| row.written).collect();
    let reference = if active.is_empty() { of_layer } else { median(active) };
    let is_dormant = |row: &Row| {
        let rests = has_sinks && row.on_sinks > ON_SINKS && row.written < QUIET * reference;
        rests || (null && row.mass < LITTLE_MASS)
    };
    (0..rows.len()).filter(|&at| is_dormant(&rows[at])).collect()
}

impl Case<'_> {
    /// The sinks of a head in a text whose values are drained.
    pub(super) fn drained(&self, text: usize, at: Head) -> Vec<usize> {
        let sinks = self.sinks(text, at, RATE).into_iter();
        sinks.filter(|&key| self.drain(text, at, key).is_some_and(|drain| drain < DRAINED)).collect()
    }
}
