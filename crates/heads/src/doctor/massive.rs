//! Massive activations: a few numbers of the residual stream that dwarf all others.

use attnlab_hooks::{Capture, Change, HookSpec, Point, Scope, Site};
use attnlab_model::Pass;
use attnlab_ops as ops;
use candle_core::Tensor;

use super::case::Case;
use super::finding::{Measured, Role, Unit, Verdict};
use super::interval::Interval;
use super::sink::most_frequent;
use super::states::States;
use super::{Examined, Failure, Result};
use crate::analysis::Input;

/// Both conditions of Sun et al. 2024.
const SIZE: f64 = 100.0;
const OVER_MEDIAN: f64 = 1000.0;

pub(super) const FAILURE: Failure = Failure {
    name: "massive",
    title: "massive activations",
    about: "the largest |h| of a state against the median |h| of the same place of the stream; present where it is above 100 \
            in most texts and its ratio to the median lies above 1000 by the interval",
    severity: "log₁₀ of the ratio over 5",
    source: "Sun et al. 2024 (arXiv 2402.17762): |h| > 100 and about 1000 times the median",
    higher_is_worse: true,
    examine,
};

fn ratio(states: &States) -> f64 {
    if states.median > 0.0 { states.largest.0 / states.median } else { 0.0 }
}

/// The place of the stream with the largest ratio: 0 is what enters the first block, l + 1 what leaves block l.
fn place(states: &[States]) -> Option<usize> {
    (0..states.len()).max_by(|&a, &b| ratio(&states[a]).total_cmp(&ratio(&states[b])))
}

/// ‖h_0‖ over the mean of the others.
pub(super) fn peak(states: &States) -> Option<f64> {
    let (first, rest) = states.norms.split_first()?;
    let mean = rest.iter().sum::<f64>() / rest.len() as f64;
    Some(first / mean).filter(|peak| peak.is_finite())
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let readings = case.readings();
    let places: Vec<usize> = readings.iter().filter_map(|text| place(&text.states)).collect();
    let at = |text: usize| &readings[text].states[places[text]];
    let texts = 0..places.len();
    let Some(estimate) = Interval::of(&texts.clone().map(|text| ratio(at(text))).collect::<Vec<_>>()) else {
        return Ok(Examined::cannot_tell("the model has no blocks"));
    };
    let large = texts.clone().filter(|&text| at(text).largest.0 > SIZE).count();
    let present = estimate.is_above(&[OVER_MEDIAN]) && 2 * large > places.len();
    let mut found = Examined::new(if present { Verdict::Present } else { Verdict::Absent });
    found.measure = Some(Measured {
        what: "largest |h| over the median |h| of the same states, the largest of all places".into(),
        estimate,
        uniform: None,
        random: None,
        threshold: OVER_MEDIAN,
    });
    let peaks = |text: usize| {
        readings[text]
            .states
            .iter()
            .filter_map(peak)
            .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))))
    };
    if let Some(peak) = Interval::of_some(texts.clone().map(peaks)) {
        found.says.push(format!(
            "The first position's state is at most {:.1} ({:.1} to {:.1}) times as long as the others' at some layer.",
            peak.mean, peak.low, peak.high
        ));
    }
    if !present {
        return Ok(found);
    }
    found.severity = estimate.mean.log10() / 5.0;
    let common = |values: Vec<usize>| most_frequent(&values).map_or(0, |(value, _)| value);
    found.says.insert(0, format!(
        "The largest number of the stream is {:.0} times the median, in most texts channel {} at position {}, \
         largest after block {}.",
        estimate.mean,
        common(texts.clone().map(|text| at(text).largest.2).collect()),
        common(texts.clone().map(|text| at(text).largest.1).collect()),
        common(places.iter().map(|place| place.saturating_sub(1)).collect()),
    ));
    // At the first block after which they are there.
    let first = |text: usize| {
        let massive = |states: &States| states.largest.0 > SIZE && ratio(states) > OVER_MEDIAN;
        readings[text].states.iter().skip(1).position(massive)
    };
    let zeroed =
        case.intervene("set the massive activation to zero where it first appears", |text, input| {
            let Some(layer) = first(text) else { return Ok(Vec::new()) };
            let (_, position, channel) = readings[text].states[layer + 1].largest;
            if position >= input.len() {
                Ok(Vec::new())
            } else {
                without(case, input, layer, position, channel)
            }
        })?;
    // They may be how sinks are made and serve as biases; they trouble low precision in any case.
    found.benign = zeroed.as_ref().is_some_and(|zeroed| zeroed.role != Role::Harmful);
    if let Some(zeroed) = zeroed {
        let by =
            format!("{:+.3} ({:+.3} to {:+.3})", zeroed.effect.mean, zeroed.effect.low, zeroed.effect.high);
        found.says.push(match (zeroed.role, zeroed.unit) {
            (Role::Used, _) => format!(
                "The model relies on it: set to zero, the loss moves by {by} nats. It acts as a bias, and makes activations \
                 hard to quantise."
            ),
            (_, Unit::Loss) => format!("Set to zero, the loss moves by {by} nats."),
            _ => format!("Set to zero, the final states move by {by} of their length."),
        });
        found.causal.push(zeroed);
    }
    Ok(found)
}

/// The spec that sets one channel of one position's state after a block to zero.
fn without(
    case: &Case<'_>,
    input: &Input,
    layer: usize,
    position: usize,
    channel: usize,
) -> Result<Vec<HookSpec>> {
    let point = Point::block(Site::ResidPost, layer);
    let mut seen = Capture::new();
    seen.add(point, Scope { rows: [position].into(), ..Scope::default() })?;
    let tokens = Tensor::from_slice(&input.tokens, (1, input.len()), case.model.device())?;
    ops::without_gradients(|| case.model.run(Pass::new(&tokens), &mut seen))?;
    let state = seen.get(point)?; // (1, 1, D)
    let keep: Vec<f32> = (0..state.dim(2)?).map(|at| f32::from(u8::from(at != channel))).collect();
    let keep = Tensor::from_vec(keep, (1, 1, state.dim(2)?), state.device())?.to_dtype(state.dtype())?;
    Ok(vec![HookSpec::edit(point.to_string(), Change::Replace((state * keep)?)).rows([position])])
}
