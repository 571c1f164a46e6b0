//! Entropy collapse: attention becomes one-hot everywhere, and training unstable.

use attnlab_hooks::Change;

use super::case::Case;
use super::finding::{Measured, Role, Unit, Verdict};
use super::{Examined, Failure, Result, change_outputs, of_heads};
use crate::result::HeadResult;

/// Heads below so many nats are one-hot or nearly so. Zhai et al. name no number; this one is in use in practice.
const LOW: f64 = 0.5;
/// More than this share of the heads must be so low.
const SHARE: f64 = 0.5;
/// In shorter texts a row has too few keys for its entropy to be low by choice.
const LEAST_TOKENS: usize = 16;

pub(super) const FAILURE: Failure = Failure {
    name: "entropy_collapse",
    title: "entropy collapse",
    about: "the mean entropy of a head's rows; a head is concerned where the interval lies below 0.5 nats and below random \
            attention, and the failure is present where more than half of the heads are",
    severity: "the share of heads concerned",
    source: "Zhai et al. 2023 (arXiv 2303.06296); the 0.5 nats are practice, the half is this project's",
    higher_is_worse: false,
    examine,
};

fn entropy(head: &HeadResult) -> Option<f64> {
    head.mean("entropy")
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; entropy says little below {LEAST_TOKENS}"
        )));
    }
    let (mut heads, mut random) = (Vec::new(), None);
    for at in case.heads() {
        let Some(found) = case.evidence(at, "entropy (nats)", entropy)? else { continue };
        random = found.random;
        if found.estimate.is_below(&[LOW, found.random.unwrap_or(f64::INFINITY)]) {
            heads.push(found);
        }
    }
    // The lowest first.
    heads.sort_by(|a, b| a.estimate.mean.total_cmp(&b.estimate.mean));
    let share = heads.len() as f64 / case.heads().len().max(1) as f64;
    let present = share > SHARE;
    let mut found = Examined::new(if present { Verdict::Present } else { Verdict::Absent });
    found.measure = case.over_heads(entropy).map(|estimate| Measured {
        what: format!(
            "entropy of a row in nats, mean over heads; {} below {LOW}",
            of_heads(heads.len(), case)
        ),
        estimate,
        uniform: case.uniform(0, entropy),
        random,
        threshold: LOW,
    });
    if !present {
        return Ok(found);
    }
    found.severity = share;
    found.heads = heads;
    found.says.push(format!(
        "{} put nearly all weight on one key: entropy below {LOW} nats, where random attention has {:.2}.",
        of_heads(found.heads.len(), case),
        random.unwrap_or(f64::NAN)
    ));
    let did = format!("gave {} one-hot heads their mean output", found.heads.len());
    let evened = case.intervene(did, |_, _| Ok(change_outputs(&found.heads, &Change::Mean)))?;
    if let Some(evened) = evened {
        let by =
            format!("{:+.3} ({:+.3} to {:+.3})", evened.effect.mean, evened.effect.low, evened.effect.high);
        found.benign = evened.role == Role::Used;
        found.says.push(match (evened.role, evened.unit) {
            (Role::Used, _) => format!(
                "They choose with purpose: with their mean output instead the loss moves by {by} nats. One-hot heads that \
                 work are no collapse."
            ),
            (_, Unit::Loss) => {
                format!("What they choose is of no use: with their mean output instead the loss moves by {by} nats.")
            }
            _ => format!("There is no loss to judge by; the final states move by {by} of their length."),
        });
        found.causal.push(evened);
    }
    Ok(found)
}
