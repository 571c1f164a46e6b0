//! The logit lens: what the model would predict if no block came after this one (nostalgebraist 2020).

use attnlab_hooks::{Capture, Point, Scope, Site};
use attnlab_model::Transformer;
use attnlab_ops as ops;
use serde::Serialize;

use super::error::Result;
use super::input::{Input, check_vocabulary, positions_or_all};
use super::numbers::exact;

/// Logits that are held at a time.
const PIECE: usize = 1 << 22;

/// What the stream says at one depth, position by position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LensLayer {
    /// The block that the stream enters; the number of blocks for what the last one leaves.
    pub layer: usize,
    /// In the order of the positions asked for.
    pub positions: Vec<LensPosition>,
}

/// What the stream says at one position.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LensPosition {
    /// The position.
    pub position: usize,
    /// The likeliest tokens, likeliest first; of equals the lower id first.
    pub top: Vec<LensToken>,
    /// The token to be predicted, where there is one.
    pub target: Option<LensTarget>,
}

/// A token and its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LensToken {
    /// The token.
    pub token: u32,
    /// Its probability.
    pub probability: f64,
}

/// How far a token is from being predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LensTarget {
    /// The token.
    pub token: u32,
    /// How many tokens have a larger logit: 0 if it is the prediction.
    pub rank: usize,
    /// ln of its probability.
    pub log_prob: f64,
}

/// Reads the stream that enters every block, and what the last one leaves, through the final norm and the head, with
/// the `k` likeliest tokens at all positions or those given.
///
/// The last entry is the model's own prediction. In a model without final norm (post-norm) the head alone reads.
/// Targets are the input's: the next token of a causal model, those named of a masked one.
///
/// Errors: the head does not predict tokens; a position does not exist.
pub fn logit_lens(
    model: &Transformer,
    input: &Input,
    k: usize,
    positions: Option<&[usize]>,
) -> Result<Vec<LensLayer>> {
    let config = model.config();
    check_vocabulary("the logit lens", config)?;
    let positions = positions_or_all(positions, input.len())?;
    let targets = input.targets_of(config)?;
    let loaded = input.load(model)?;
    let n_layers = config.architecture.n_layers;
    // A scope is in ascending order and without repeats; what was asked for is found in it.
    let mut rows = positions.clone();
    rows.sort_unstable();
    rows.dedup();
    let scope = Scope { rows: rows.iter().copied().into(), ..Scope::default() };
    let mut points: Vec<Point> = (0..n_layers).map(|layer| Point::block(Site::ResidPre, layer)).collect();
    points.extend(n_layers.checked_sub(1).map(|last| Point::block(Site::ResidPost, last)));
    ops::without_gradients(|| {
        let mut seen = Capture::new();
        points.iter().try_for_each(|&point| seen.add(point, scope.clone()))?;
        model.run(loaded.pass(), &mut seen)?;
        let mut layers = Vec::with_capacity(points.len());
        for (layer, point) in points.iter().enumerate() {
            let stream = seen.get(*point)?.squeeze(0)?.contiguous()?; // (R, D)
            let piece = (PIECE / config.n_outputs.max(1)).clamp(1, rows.len());
            let mut read = Vec::with_capacity(rows.len());
            for start in (0..rows.len()).step_by(piece) {
                let part = stream.narrow(0, start, piece.min(rows.len() - start))?;
                let logits = exact(&model.logits_of_residual(&part)?)?;
                for (logits, &position) in logits.chunks_exact(config.n_outputs).zip(&rows[start..]) {
                    let target = targets.iter().find(|(at, _)| *at == position).map(|&(_, token)| token);
                    read.push(read_row(logits, position, target, k));
                }
            }
            let place = |position| rows.binary_search(position).ok().and_then(|at| read.get(at)).cloned();
            layers.push(LensLayer { layer, positions: positions.iter().filter_map(place).collect() });
        }
        Ok(layers)
    })
}

fn read_row(logits: &[f64], position: usize, target: Option<u32>, k: usize) -> LensPosition {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    let before = |&a: &usize, &b: &usize| logits[b].total_cmp(&logits[a]).then(a.cmp(&b));
    let mut order: Vec<usize> = (0..logits.len()).collect();
    let k = k.min(order.len());
    if k > 0 && k < order.len() {
        order.select_nth_unstable_by(k - 1, before);
    }
    order.truncate(k);
    order.sort_unstable_by(before);
    let token = |at: usize| LensToken { token: at as u32, probability: (logits[at] - log_sum).exp() };
    let target = target.map(|token| {
        let logit = logits[token as usize];
        let rank = logits.iter().filter(|&&other| other > logit).count();
        LensTarget { token, rank, log_prob: logit - log_sum }
    });
    LensPosition { position, top: order.into_iter().map(token).collect(), target }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::{Architecture, NormPlacement};

    use super::super::Targets;
    use super::super::testing::{V, activation, build, config, input, log_softmax, small};
    use super::*;

    #[test]
    fn every_layer_is_read_as_the_head_would() {
        let placements =
            [NormPlacement::Pre, NormPlacement::Post, NormPlacement::Sandwich, NormPlacement::Normed];
        for norm_placement in placements {
            let architecture = Architecture { norm_placement, logit_softcap: Some(4.0), ..small() };
            let model = build(&config(architecture, "rope"));
            let text = input(3, 6);
            let lens = logit_lens(&model, &text, 3, None).unwrap();
            assert_eq!(lens.iter().map(|l| l.layer).collect::<Vec<_>>(), [0, 1, 2, 3]);
            for layer in &lens {
                let point = match layer.layer {
                    3 => Point::block(Site::ResidPost, 2),
                    layer => Point::block(Site::ResidPre, layer),
                };
                let stream = activation(&model, &text, point);
                let logits = log_softmax(&model.logits_of_residual(&stream).unwrap());
                for (i, at) in layer.positions.iter().enumerate() {
                    let mut order: Vec<usize> = (0..V).collect();
                    order.sort_by(|&a, &b| logits[i][b].total_cmp(&logits[i][a]));
                    for (found, &expected) in at.top.iter().zip(&order) {
                        assert_eq!((at.position, found.token as usize), (i, expected));
                        assert!((found.probability - logits[i][expected].exp()).abs() < 1e-9);
                    }
                    assert_eq!(at.top.len(), 3);
                    let target = at.target.map(|target| (target.token, target.rank));
                    let next = text.tokens.get(i + 1).copied();
                    assert_eq!(
                        target,
                        next.map(|t| (t, order.iter().position(|&o| o == t as usize).unwrap()))
                    );
                    if let Some(target) = at.target {
                        assert!((target.log_prob - logits[i][target.token as usize]).abs() < 1e-9);
                    }
                }
            }
            let last = log_softmax(
                &model.predict(&super::super::testing::tokens(&text)).unwrap().squeeze(0).unwrap(),
            );
            let top = &lens[3].positions[5].top[0];
            assert!((top.probability - last[5][top.token as usize].exp()).abs() < 1e-9);
        }
    }

    #[test]
    fn chosen_positions_come_as_asked_for_with_the_targets_that_were_named() {
        let mut masked = config(small(), "learned");
        masked.mask = attnlab_model::Mask::Bidirectional;
        let model = build(&masked);
        let text = Input { targets: Targets::At(vec![(1, 4)]), ..input(3, 6) };
        let whole = logit_lens(&model, &text, 20, None).unwrap();
        let part = logit_lens(&model, &text, 20, Some(&[4, 1])).unwrap();
        for (whole, part) in whole.iter().zip(&part) {
            assert_eq!(part.positions, [whole.positions[4].clone(), whole.positions[1].clone()]);
            assert_eq!(part.positions[0].top.len(), V);
            assert_eq!(part.positions[1].target.unwrap().token, 4);
            assert!(part.positions[0].target.is_none());
        }
        assert!(logit_lens(&model, &text, 1, Some(&[6])).is_err());
        assert!(logit_lens(&model, &text, 1, Some(&[])).is_err());
        for n_outputs in [0, 3] {
            masked.n_outputs = n_outputs;
            let error = logit_lens(&build(&masked), &input(3, 6), 1, None).unwrap_err().to_string();
            assert!(error.contains("needs a head that predicts tokens"), "{error}");
        }
    }
}
