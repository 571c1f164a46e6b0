//! Overload: a head looks at so much at once that what it brings cancels.

use attnlab_hooks::Change;

use super::case::Case;
use super::finding::{HeadEvidence, Measured, Role, Unit, Verdict};
use super::interval::Interval;
use super::rows::{Row, Rows};
use super::sink::LEAST_TOKENS;
use super::{Examined, Failure, Result, change_outputs, of_heads, sort};

/// A row is broad if it looks at more than this share of what it sees: n_eff = e^H above half of n.
const BROAD: f64 = 0.5;
/// Values cancel if their weighted sum is shorter than this part of their weighted lengths.
const CANCELLED: f64 = 0.3;
/// A head is concerned if more than this share of its rows is overloaded.
const SHARE: f64 = 0.5;

pub(super) const FAILURE: Failure = Failure {
    name: "overload",
    title: "overload: blurred heads",
    about: "the share of rows that look at more than half of their keys (e^H > n/2) and whose values cancel \
            (‖ΣAv‖ < 0.3 ΣA‖v‖). A head is concerned where the interval lies above half of the rows. To average broadly \
            may be the task: present only if zeroing these heads does not raise the loss",
    severity: "the share of heads concerned",
    source: "arXiv 2601.00919, in words; the operational form and its thresholds are this project's",
    higher_is_worse: true,
    examine,
};

fn overloaded(row: &Row) -> bool {
    row.support > BROAD && row.cancellation < CANCELLED
}

/// The first rows see too few keys to be broad or narrow.
fn share(rows: &Rows) -> Option<f64> {
    let rows = rows.rows.get(LEAST_TOKENS..).filter(|rows| !rows.is_empty())?;
    Some(rows.iter().filter(|row| overloaded(row)).count() as f64 / rows.len() as f64)
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < 2 * LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; whether a row is broad shows from {} on",
            2 * LEAST_TOKENS
        )));
    }
    let blurs = case.of_rows(|rows| rows.blur)?;
    let mut heads = Vec::new();
    for (at, estimate) in case.of_rows(share)? {
        if estimate.is_above(&[SHARE]) {
            let blur = blurs.get(&at).map_or(f64::NAN, |blur| blur.mean);
            heads.push(HeadEvidence {
                layer: at.0,
                head: at.1,
                metric: "share of overloaded rows",
                estimate,
                uniform: None,
                random: None,
                note: format!("mean cosine of two rows' outputs {blur:.2}"),
            });
        }
    }
    sort(&mut heads);
    let all = case.heads().len().max(1) as f64;
    let of_text = |text: &std::collections::BTreeMap<_, Rows>| {
        let shares: Vec<f64> = text.values().filter_map(share).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    };
    let measure = Interval::of_some(case.rows()?.iter().map(of_text)).map(|estimate| Measured {
        what: "share of overloaded rows, mean over heads and texts".into(),
        estimate,
        uniform: None,
        random: None,
        threshold: SHARE,
    });
    let mut found = Examined::by_heads(heads);
    found.measure = measure;
    let concerned = found.heads.len();
    if concerned == 0 {
        return Ok(found);
    }
    found.severity = concerned as f64 / all;
    found.says.push(format!(
        "{} look at more than half of what they see in most rows, and what they gather cancels to less than {CANCELLED} of \
         its length.",
        of_heads(concerned, case)
    ));
    let zeroed = case.intervene(format!("zeroed {concerned} broad heads"), |_, _| {
        Ok(change_outputs(&found.heads, &Change::Zero))
    })?;
    if let Some(zeroed) = zeroed {
        let by =
            format!("{:+.3} ({:+.3} to {:+.3})", zeroed.effect.mean, zeroed.effect.low, zeroed.effect.high);
        match (zeroed.role, zeroed.unit) {
            (Role::Used, _) => {
                found.verdict = Verdict::Absent;
                found.says.push(format!(
                    "But the model needs them: zeroed they move the loss by {by} nats. This is averaging, not overload."
                ));
            }
            (Role::Idle, Unit::Loss) => {
                found
                    .says
                    .push(format!("Zeroed they move the loss by {by} nats: nothing of use comes through."));
            }
            (Role::Harmful, _) => {
                found.says.push(format!("Zeroed they move the loss by {by} nats: they add noise."))
            }
            (_, Unit::Loss) => {
                let why =
                    format!("whether the broad heads are of use stays open: {by} nats; give more texts");
                found.verdict = Verdict::CannotTell { why };
            }
            (_, Unit::HiddenChange) => {
                let why = format!(
                    "there is no loss to tell averaging from overload; the final states move by {by}"
                );
                found.verdict = Verdict::CannotTell { why };
            }
        }
        found.causal.push(zeroed);
    }
    Ok(found)
}
