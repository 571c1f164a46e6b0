//! Redundancy: nearly all weight lies on few keys, and every one is computed.

use super::case::Case;
use super::finding::{Measured, Verdict};
use super::{Examined, Failure, Result, of_heads};
use crate::result::HeadResult;

/// A head is sparse if so small a share of its keys holds 95 % of a row's weight.
const SPARSE: f64 = 0.1;
/// Shorter rows cannot be sparse.
const LEAST_TOKENS: usize = 64;

pub(super) const FAILURE: Failure = Failure {
    name: "redundancy",
    title: "redundancy: most of the map is not needed",
    about: "n₉₅/n, the share of the visible keys that holds 95 % of a row; present where the mean over heads lies below 0.1 \
            and below random attention. It costs time, not quality",
    severity: "1 − the mean share",
    source: "Zhang et al. 2023 (H2O, arXiv 2306.14048): over 95 % sparse; per-head budgets of 6 to 10 % in practice",
    higher_is_worse: false,
    examine,
};

fn share(head: &HeadResult) -> Option<f64> {
    head.mean("n_95_share")
}

fn examine(case: &Case<'_>) -> Result<Examined> {
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS {
        return Ok(Examined::cannot_tell(format!(
            "the shortest text has {shortest} tokens; sparsity says little below {LEAST_TOKENS}"
        )));
    }
    let Some(estimate) = case.over_heads(share) else {
        return Ok(Examined::cannot_tell("no row has any weight"));
    };
    let random = case.random(share)?;
    let present = estimate.is_below(&[SPARSE, random.unwrap_or(f64::INFINITY)]);
    let mut found = Examined::new(if present { Verdict::Present } else { Verdict::Absent });
    found.measure = Some(Measured {
        what: "n₉₅/n: share of the visible keys that holds 95 % of a row, mean over heads".into(),
        estimate,
        uniform: case.uniform(0, share),
        random,
        threshold: SPARSE,
    });
    for at in case.heads() {
        let Some(head) = case.evidence(at, "n₉₅/n", share)? else { continue };
        if head.estimate.is_below(&[SPARSE, head.random.unwrap_or(f64::INFINITY)]) {
            found.heads.push(head);
        }
    }
    found.heads.sort_by(|a, b| a.estimate.mean.total_cmp(&b.estimate.mean));
    if present {
        found.severity = 1.0 - estimate.mean;
        // Nothing is lost by looking at more keys than needed but time.
        found.benign = true;
        found.says.push(format!(
            "{:.1} % of the keys hold 95 % of the weight, mean over heads; in {} fewer than {:.0} %. The rest of the map is \
             computed for the last twentieth. That is a cost and no error; whether a window or the top keys would do at equal \
             loss has to be tried.",
            100.0 * estimate.mean,
            of_heads(found.heads.len(), case),
            100.0 * SPARSE
        ));
    }
    Ok(found)
}
