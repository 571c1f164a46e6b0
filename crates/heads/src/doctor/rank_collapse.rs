//! Rank collapse: all positions come to hold the same.

use attnlab_hooks::{Change, HookSpec, Point, Site};

use super::case::Case;
use super::finding::Verdict;
use super::finding::{Measured, Role, Unit};
use super::interval::Interval;
use super::{Examined, Failure, Result};

/// States whose distance from their common direction is below this are as good as one: a mean cosine of 0.99.
const RESIDUAL: f64 = 0.1;
/// Fewer states than this have no rank to lose.
const LEAST_TOKENS: usize = 8;

pub(super) const FAILURE: Failure = Failure {
    name: "rank_collapse",
    title: "rank collapse of representations",
    about: "‖X − 1x̄ᵀ‖/‖X‖ of the states that leave the last block, each scaled to length one and without the first \
            position; present where the interval lies below 0.1 and below the residual of what enters the first block",
    severity: "1 − the residual over that of what enters the first block",
    source: "Dong et al. 2021 (arXiv 2103.03404), eq. 1; the scaling and the threshold are this project's",
    higher_is_worse: false,
    examine,
};

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; a rank needs at least {LEAST_TOKENS}"
        )));
    }
    let at_end = Interval::of_some(case.readings().iter().map(|text| text.states.last()?.residual));
    let at_start = Interval::of_some(case.readings().iter().map(|text| text.states.first()?.residual));
    let cosine = Interval::of_some(case.readings().iter().map(|text| text.states.last()?.cosine));
    let (Some(end), Some(start)) = (at_end, at_start) else {
        return Ok(Examined::cannot_tell("the states have no length: every one is zero"));
    };
    let present = end.is_below(&[RESIDUAL, start.low]);
    let mut found = Examined::new(if present { Verdict::Present } else { Verdict::Absent });
    found.measure = Some(Measured {
        what: format!(
            "distance of the last block's states from their mean; {:.3} enters the first block",
            start.mean
        ),
        estimate: end,
        uniform: None,
        random: None,
        threshold: RESIDUAL,
    });
    if !present {
        return Ok(found);
    }
    found.severity = 1.0 - end.mean / start.mean;
    found.says.push(format!(
        "States at different positions leave the last block with a mean cosine of {:.4}; what tells them apart is {:.3} of \
         their length, against {:.3} where they enter.",
        cosine.map_or(f64::NAN, |cosine| cosine.mean),
        end.mean,
        start.mean
    ));
    let last = case.model.config().architecture.n_layers.saturating_sub(1);
    let point = Point::block(Site::ResidPost, last).to_string();
    let evened = case.intervene("gave every position the mean state after the last block", |_, _| {
        Ok(vec![HookSpec::edit(point.as_str(), Change::Mean)])
    })?;
    if let Some(evened) = evened {
        let by =
            format!("{:+.3} ({:+.3} to {:+.3})", evened.effect.mean, evened.effect.low, evened.effect.high);
        found.benign = evened.role == Role::Used;
        found.says.push(match (evened.role, evened.unit) {
            (Role::Used, _) => format!(
                "What is left still carries what the model says: with the mean state everywhere the loss moves by {by} nats. \
                 States that share a large common part are usual in language models (Ethayarajh 2019, arXiv 1909.00512)."
            ),
            (_, Unit::Loss) => {
                format!("With the mean state everywhere the loss moves by {by} nats: positions say the same.")
            }
            _ => format!("With the mean state everywhere the final states move by {by} of their length."),
        });
        found.causal.push(evened);
    }
    Ok(found)
}
