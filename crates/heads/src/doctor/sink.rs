//! Attention sinks: keys that many queries look at, whatever they ask.

use super::case::{Case, Head};
use super::finding::{Measured, Role, Unit};
use super::interval::Interval;
use super::{Examined, Failure, Result, of_heads, sort};
use crate::analysis::hide_key;
use crate::result::HeadResult;

/// ε of Gu et al. 2024: a key with α_k above it is a sink.
pub(super) const RATE: f64 = 0.3;
/// With fewer tokens uniform attention itself comes near ε: α_1 is 0.21 at 16 tokens and 0.31 at 9.
pub(super) const LEAST_TOKENS: usize = 16;

pub(super) const FAILURE: Failure = Failure {
    name: "sink",
    title: "attention sink",
    about: "the largest α_k of a head, the mean weight of key k in the rows that see it, over keys that at least 16 queries \
            see; a head is concerned where the interval lies above 0.3 and above uniform and random attention",
    severity: "the share of heads concerned",
    source: "Gu et al. 2024 (arXiv 2410.10781): ε = 0.3; Xiao et al. 2023 (arXiv 2309.17453)",
    higher_is_worse: true,
    examine,
};

pub(super) fn rate(head: &HeadResult) -> Option<f64> {
    head.sinks.first().map(|sink| f64::from(sink.rate))
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; below {LEAST_TOKENS} uniform attention looks like a sink"
        )));
    }
    let mut heads = Vec::new();
    let (mut uniform, mut random) = (None, None);
    for at in case.heads() {
        let Some(found) = case.evidence(at, "largest α_k", rate)? else { continue };
        (uniform, random) = (found.uniform, found.random);
        let bounds = [RATE, found.uniform.unwrap_or(0.0), found.random.unwrap_or(0.0)];
        if found.estimate.is_above(&bounds) {
            heads.push(found);
        }
    }
    sort(&mut heads);
    let (mut keys, mut drains) = (Vec::new(), Vec::new());
    for head in &mut heads {
        let at = (head.layer, head.head);
        let tops: Vec<usize> =
            (0..case.texts.len()).filter_map(|text| case.sinks(text, at, RATE).first().copied()).collect();
        let drained = Interval::of_some((0..case.texts.len()).map(|text| drain(case, text, at)));
        let key = most_frequent(&tops);
        if let Some((key, times)) = key {
            keys.push(key);
            head.note = format!("key {key} in {times} of {} texts", case.texts.len());
        }
        if let Some(drained) = drained {
            drains.push(drained.mean);
            head.note.push_str(&format!("; its value is written at {:.2} of the mean length", drained.mean));
        }
    }
    let share = |text: usize| {
        let all = case.heads();
        let sinks = all.iter().filter(|at| !case.sinks(text, **at, RATE).is_empty()).count();
        sinks as f64 / all.len().max(1) as f64
    };
    let shares: Vec<f64> = (0..case.texts.len()).map(share).collect();
    let concerned = heads.len();
    let mut found = Examined::by_heads(heads);
    found.measure = Interval::of(&shares).map(|estimate| Measured {
        what: "sink rate: share of heads with some α_k > 0.3, mean over texts".into(),
        estimate,
        uniform: uniform.map(|rate| f64::from(u8::from(rate > RATE))),
        random: random.map(|rate| f64::from(u8::from(rate > RATE))),
        threshold: 0.0,
    });
    found.severity = concerned as f64 / case.heads().len().max(1) as f64;
    if concerned == 0 {
        return Ok(found);
    }
    let first = keys.iter().filter(|key| **key == 0).count();
    found.says.push(format!(
        "{} give one key more than {RATE} of their weight; for {first} of them it is the first token. Uniform attention \
         in these rows gives a key at most {:.2}, random attention {:.2}.",
        of_heads(concerned, case),
        uniform.unwrap_or(0.0),
        random.unwrap_or(0.0)
    ));
    drains.sort_by(f64::total_cmp);
    if let Some(drain) = drains.get(drains.len() / 2) {
        let what = if *drain < super::dormant::DRAINED {
            "little is moved: the heads rest there"
        } else {
            "the key is not drained: what it holds is used, or moved along"
        };
        found.says.push(format!(
            "Values at the sinks are written at {drain:.2} of the mean length (median of heads): {what}."
        ));
    }
    let all = found.heads.iter().map(|head| (head.layer, head.head)).collect::<Vec<Head>>();
    let hidden = case
        .intervene(format!("hid the sink keys from {concerned} sink heads"), |text, input| {
            Ok(hide(case, text, input.len(), &all))
        })?;
    for at in all.iter().take(case.effort.single_heads).filter(|_| concerned > 1) {
        let did = format!("hid the sink keys from L{}H{}", at.0, at.1);
        found.causal.extend(case.intervene(did, |text, input| Ok(hide(case, text, input.len(), &[*at])))?);
    }
    found.benign = true;
    if let Some(hidden) = hidden {
        let effect = &hidden.effect;
        let moved = format!("{:+.3} nats a token ({:+.3} to {:+.3})", effect.mean, effect.low, effect.high);
        found.says.push(match (hidden.role, hidden.unit) {
            (Role::Used, _) => format!(
                "The sinks are in use: with these keys hidden the loss moves by {moved}. A sink by itself is no defect; it \
                 keeps a head from mixing in what it does not need (Barbero et al. 2025, arXiv 2504.02732)."
            ),
            (Role::Idle, Unit::Loss) => {
                format!("Hiding these keys does next to nothing to the loss: {moved}. The sinks do no harm here.")
            }
            (Role::Harmful, _) => format!("The model is better without: with these keys hidden the loss moves by {moved}."),
            (_, Unit::Loss) => format!("What the sinks do for the loss stays open: {moved}; give more texts."),
            (_, Unit::HiddenChange) => format!(
                "There is no loss to judge by; with these keys hidden the final states move by {:.3} of their length.",
                effect.mean
            ),
        });
        found.benign = hidden.role != Role::Harmful;
        found.causal.insert(0, hidden);
    }
    Ok(found)
}

/// Specs that hide each head's sinks of a text from the rows behind them.
fn hide(case: &Case<'_>, text: usize, len: usize, heads: &[Head]) -> Vec<attnlab_hooks::HookSpec> {
    let mut specs = Vec::new();
    for &(layer, head) in heads {
        let first = if case.model.config().mask == attnlab_model::Mask::Causal { 1 } else { 0 };
        for key in case.sinks(text, (layer, head), RATE).into_iter().filter(|key| key + 1 < len) {
            let from = if first == 1 { key + 1 } else { 0 };
            specs.push(hide_key(layer, [head].into(), (from..len).collect::<Vec<_>>().into(), key));
        }
    }
    specs
}

/// The drain of a head's largest sink in a text.
fn drain(case: &Case<'_>, text: usize, at: Head) -> Option<f64> {
    case.drain(text, at, *case.sinks(text, at, RATE).first()?)
}

/// The value that is there most often, the smallest of equals, and how often.
pub(super) fn most_frequent(values: &[usize]) -> Option<(usize, usize)> {
    let times = |value: usize| values.iter().filter(|other| **other == value).count();
    values
        .iter()
        .map(|&value| (value, times(value)))
        .max_by_key(|&(value, times)| (times, std::cmp::Reverse(value)))
}
