//! Order: whether what the model says depends on the order of what it read.

use attnlab_model::Pass;
use attnlab_ops::{self as ops, Streams};
use candle_core::{D, DType, Tensor};
use rand::Rng as _;

use super::case::Case;
use super::finding::{Measured, Verdict};
use super::interval::Interval;
use super::{Examined, Failure, Result};
use crate::analysis::Input;

/// Permutations of each text.
const PERMUTATIONS: u64 = 4;
/// Blind to order: permuting the prefix moves the output by less than this part of what other tokens do.
const BLIND: f64 = 0.01;
/// Other tokens must move the output by so many nats, or nothing can be told.
const MOVES: f64 = 1e-3;
/// Fewer tokens have too few orders.
const LEAST_TOKENS: usize = 6;

pub(super) const FAILURE: Failure = Failure {
    name: "order",
    title: "no notion of order",
    about: "KL(f(x) ‖ f(πx)) at the last token, with the tokens between the first and the last permuted, against the same \
            with those tokens exchanged for another text's; present where the interval of the first lies below a hundredth of \
            the second",
    severity: "1 − the ratio of the two",
    source: "Vaswani et al. 2017; one causal layer without positions is blind by construction; the thresholds are this \
             project's",
    higher_is_worse: false,
    examine,
};

fn examine(case: &Case<'_>) -> Result<Examined> {
    if case.model.config().n_outputs == 0 {
        return Ok(Examined::cannot_tell(
            "the model has no head: there is no output whose change could be measured",
        ));
    }
    let shortest = case.shortest();
    if shortest < LEAST_TOKENS || case.texts.len() < 2 {
        return Ok(Examined::cannot_tell(format!(
            "order needs two texts of at least {LEAST_TOKENS} tokens; the shortest of {} has {shortest}",
            case.texts.len()
        )));
    }
    let (mut by_order, mut by_content) = (Vec::new(), Vec::new());
    for at in 0..case.texts.len() {
        let text = case.part(at);
        let before = log_probabilities(case, &text)?;
        let mut sum = 0.0;
        for index in 0..PERMUTATIONS {
            sum += divergence(
                &before,
                &log_probabilities(case, &permuted(&text, at as u64 * PERMUTATIONS + index))?,
            );
        }
        by_order.push(sum / PERMUTATIONS as f64);
        let mut other = text.clone();
        let source = &case.texts[(at + 1) % case.texts.len()].tokens;
        let last = text.len() - 1;
        for (place, token) in other.tokens[1..last].iter_mut().enumerate() {
            *token = source[(place + 1) % source.len()];
        }
        by_content.push(divergence(&before, &log_probabilities(case, &other)?));
    }
    let (Some(order), Some(content)) = (Interval::of(&by_order), Interval::of(&by_content)) else {
        return Ok(Examined::cannot_tell("the outputs are not finite"));
    };
    if content.mean < MOVES {
        return Ok(Examined::cannot_tell(format!(
            "what the model says at the last token does not depend on the tokens before: other tokens move it by {:.1e} nats",
            content.mean
        )));
    }
    let present = order.is_below(&[BLIND * content.mean]);
    let mut found = Examined::new(if present { Verdict::Present } else { Verdict::Absent });
    found.severity = 1.0 - order.mean / content.mean;
    found.measure = Some(Measured {
        what: format!("KL in nats after permuting what came before; other tokens: {:.3}", content.mean),
        estimate: order,
        uniform: None,
        random: None,
        threshold: BLIND * content.mean,
    });
    if present {
        found.says.push(
            "What the model says does not depend on the order of what it read. For a task about a set of tokens that is \
             right; for any other, it cannot learn it."
                .to_owned(),
        );
    }
    Ok(found)
}

/// ln p of the last token's output.
fn log_probabilities(case: &Case<'_>, text: &Input) -> Result<Vec<f64>> {
    let tokens = Tensor::from_slice(&text.tokens, (1, text.len()), case.model.device())?;
    let logits = ops::without_gradients(|| {
        let hidden = case.model.run(Pass::new(&tokens), &mut attnlab_hooks::NoHooks)?;
        case.model.logits(&hidden.narrow(D::Minus2, text.len() - 1, 1)?)
    })?;
    let logits = logits.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum = top + logits.iter().map(|logit| (logit - top).exp()).sum::<f64>().ln();
    Ok(logits.into_iter().map(|logit| logit - sum).collect())
}

/// KL(p ‖ q), not below 0.
fn divergence(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>().max(0.0)
}

/// The tokens between the first and the last in another order (Fisher and Yates).
fn permuted(text: &Input, draw: u64) -> Input {
    let mut text = text.clone();
    let mut rng = Streams::new(0).rng("order", draw);
    for at in (2..text.len() - 1).rev() {
        text.tokens.swap(at, rng.random_range(1..=at));
    }
    text
}
