//! What an edit changes.

use attnlab_hooks::{Capture, Change, HookSpec, Plan, Point, Scope, Select, Site};
use attnlab_model::Transformer;
use attnlab_ops as ops;
use serde::Serialize;

use super::error::Result;
use super::input::Input;
use super::outcome::Outcome;

/// What an edit changes. Losses, log-probabilities and divergences are in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// Number of positions.
    pub positions: usize,
    /// Number of targets: what the losses are means over.
    pub targets: usize,
    /// Mean cross-entropy without the edit; nothing if there are no targets.
    pub loss_before: Option<f64>,
    /// Mean cross-entropy with the edit.
    pub loss_after: Option<f64>,
    /// `loss_after` − `loss_before`.
    pub delta_loss: Option<f64>,
    /// Mean logit of the targets without the edit.
    pub target_logit_before: Option<f64>,
    /// Mean logit of the targets with the edit.
    pub target_logit_after: Option<f64>,
    /// KL(before ‖ after) of the predicted distribution, mean over all positions; nothing for a body without head.
    pub kl: Option<f64>,
    /// The same at the last position.
    pub kl_last: Option<f64>,
    /// At how many positions the likeliest token is another.
    pub top1_changes: Option<usize>,
    /// ‖h′ − h‖/‖h‖ of the final hidden states, mean over all positions.
    pub hidden_change: f64,
    /// What becomes of the answer, if one was given and there is one text.
    pub answer: Option<AnswerEffect>,
}

/// What becomes of the answer at the last position. Logits are less the foil's, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AnswerEffect {
    /// Without the edit.
    pub logit_before: f64,
    /// With the edit.
    pub logit_after: f64,
    /// Log-probability without the edit.
    pub log_prob_before: f64,
    /// Log-probability with the edit.
    pub log_prob_after: f64,
}

/// What the edits change, all made in one run.
///
/// Specs are resolved before anything runs. The edited run begins at the first block that an edit is in.
pub fn effect(model: &Transformer, input: &Input, specs: &[HookSpec]) -> Result<Effect> {
    let mut plan = Plan::resolve(specs, &model.anatomy())?;
    let n_layers = model.config().architecture.n_layers;
    let first = first_block(&plan, n_layers);
    let loaded = input.load(model)?;
    ops::without_gradients(|| {
        let entering =
            first.filter(|&layer| layer < n_layers).map(|layer| Point::block(Site::ResidPre, layer));
        let mut seen = Capture::new();
        if let Some(point) = entering {
            seen.add(point, Scope::default())?;
        }
        let outcome = Outcome::new(model, input, &model.run(loaded.pass(), &mut seen)?)?;
        let hidden = match entering {
            Some(Point { layer: Some(layer), .. }) => {
                let stream = seen.get(Point::block(Site::ResidPre, layer))?;
                model.resume(layer, stream, &loaded.tokens, &mut plan)?
            }
            _ => model.run(loaded.pass(), &mut plan)?,
        };
        plan.finish()?;
        Ok(outcome.compare(&hidden)?.effect())
    })
}

/// The first block that a plan needs, or none if it needs the embeddings.
fn first_block(plan: &Plan, n_layers: usize) -> Option<usize> {
    let mut points = plan.edits().points().chain(plan.capture().points());
    points.try_fold(n_layers, |first, point| match point {
        Point { layer: Some(layer), .. } => Some(first.min(layer)),
        Point { site: Site::LnFinal, .. } => Some(first),
        _ => None,
    })
}

/// The spec that cuts the edge from query row `query` to key `key` of a head: the row's other keys take its share.
pub fn cut_edge(layer: usize, head: usize, query: usize, key: usize) -> HookSpec {
    scores(layer, Change::KnockOut { query, key }).heads([head])
}

/// The spec that hides `key` from every query of these heads, or of those in `rows`. A row that sees nothing else then
/// gives zeros.
pub fn hide_key(layer: usize, heads: Select, rows: Select, key: usize) -> HookSpec {
    scores(layer, Change::HideKey { key }).heads(heads).rows(rows)
}

fn scores(layer: usize, change: Change) -> HookSpec {
    HookSpec::edit(Point::block(Site::Scores, layer).to_string(), change)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{DType, Device, Tensor};

    use super::super::testing::{activation, build, config, input, log_softmax, rows, small, tokens};
    use super::super::{Input, Targets};
    use super::*;

    fn row_max(row: &[f64]) -> usize {
        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    }

    #[test]
    fn an_effect_is_what_two_materialised_runs_differ_in() {
        let model = build(&config(small(), "rope"));
        let text = Input { targets: Targets::At(vec![(0, 3), (4, 9)]), ..input(3, 6) }.answer(2, Some(7));
        let spec = HookSpec::edit("blocks.1.hook_mlp_out", Change::Scale(-2.0)).rows([0, 5]);
        let found = effect(&model, &text, std::slice::from_ref(&spec)).unwrap();
        let mut plan = Plan::resolve(&[spec], &model.anatomy()).unwrap();
        let before = model.predict(&tokens(&text)).unwrap().squeeze(0).unwrap();
        let after = model.forward(&tokens(&text), &mut plan).unwrap().squeeze(0).unwrap();
        let (p, q) = (log_softmax(&before), log_softmax(&after));
        let (before, after) = (rows(&before), rows(&after));
        let near = |found: Option<f64>, expected: f64| {
            assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?} {expected}");
        };
        near(found.loss_before, -(p[0][3] + p[4][9]) / 2.0);
        near(found.loss_after, -(q[0][3] + q[4][9]) / 2.0);
        near(found.target_logit_before, (before[0][3] + before[4][9]) / 2.0);
        near(found.target_logit_after, (after[0][3] + after[4][9]) / 2.0);
        let kl = |i: usize| p[i].iter().zip(&q[i]).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        near(found.kl, (0..6).map(kl).sum::<f64>() / 6.0);
        near(found.kl_last, kl(5));
        let changed = (0..6).filter(|&i| row_max(&p[i]) != row_max(&q[i])).count();
        assert_eq!(found.top1_changes, Some(changed));
        let answer = found.answer.unwrap();
        near(Some(answer.logit_before), before[5][2] - before[5][7]);
        near(Some(answer.logit_after), after[5][2] - after[5][7]);
        near(Some(answer.log_prob_after), q[5][2]);
        assert!(kl(5) > 1e-6);
    }

    #[test]
    fn edits_of_embeddings_and_of_several_blocks_take_effect_too() {
        let model = build(&config(small(), "learned"));
        for names in [
            vec!["hook_embed"],
            vec!["ln_final.hook_normalized"],
            vec!["blocks.2.attn.hook_q", "hook_pos_embed"],
        ] {
            let specs: Vec<_> = names.iter().map(|name| HookSpec::edit(*name, Change::Scale(0.5))).collect();
            let found = effect(&model, &input(3, 6), &specs).unwrap();
            let mut plan = Plan::resolve(&specs, &model.anatomy()).unwrap();
            let q =
                log_softmax(&model.forward(&tokens(&input(3, 6)), &mut plan).unwrap().squeeze(0).unwrap());
            let loss = (0..5).map(|i| -q[i][input(3, 6).tokens[i + 1] as usize]).sum::<f64>() / 5.0;
            assert!((found.loss_after.unwrap() - loss).abs() < 1e-9);
            assert!(found.kl.unwrap() > 1e-6);
        }
        let nothing = effect(&model, &input(3, 6), &[]).unwrap();
        assert_eq!((nothing.delta_loss, nothing.kl, nothing.hidden_change), (Some(0.0), Some(0.0), 0.0));
        let error = effect(&model, &input(3, 6), &[HookSpec::edit("blocks.7.attn.hook_z", Change::Zero)]);
        assert!(error.unwrap_err().to_string().contains("layer 7 does not exist"));
    }

    #[test]
    fn a_cut_edge_and_a_hidden_key_give_their_share_to_the_rest_of_the_row() {
        for kind in ["rope", "alibi"] {
            let model = build(&config(small(), kind));
            let text = input(3, 6);
            let map = activation(&model, &text, Point::block(Site::Pattern, 1)).narrow(0, 2, 1).unwrap();
            let without = |cut: &dyn Fn(usize, usize) -> bool| {
                let mut map = rows(&map.squeeze(0).unwrap());
                for (i, row) in map.iter_mut().enumerate() {
                    (0..6).filter(|&j| cut(i, j)).for_each(|j| row[j] = 0.0);
                    let sum: f64 = row.iter().sum();
                    row.iter_mut().for_each(|x| *x /= if sum > 0.0 { sum } else { 1.0 });
                }
                let map = Tensor::new(map, &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
                let edit = HookSpec::edit("blocks.1.attn.hook_pattern", Change::Replace(map)).heads([2]);
                effect(&model, &text, &[edit]).unwrap()
            };
            let near = |a: Effect, b: Effect| {
                assert!((a.kl.unwrap() - b.kl.unwrap()).abs() < 1e-9 && a.kl.unwrap() > 1e-12, "{a:?} {b:?}");
                assert!((a.loss_after.unwrap() - b.loss_after.unwrap()).abs() < 1e-9);
            };
            let edge = effect(&model, &text, &[cut_edge(1, 2, 4, 1)]).unwrap();
            near(edge, without(&|i, j| (i, j) == (4, 1)));
            let key = effect(&model, &text, &[hide_key(1, [2].into(), Select::All, 1)]).unwrap();
            near(key, without(&|_, j| j == 1));
            let rows = effect(&model, &text, &[hide_key(1, [2].into(), [3, 5].into(), 0)]).unwrap();
            near(rows, without(&|i, j| j == 0 && (i == 3 || i == 5)));
        }
    }

    #[test]
    fn targets_and_answers_that_do_not_exist_are_refused() {
        let model = build(&config(small(), "none"));
        let refused = |input: Input| effect(&model, &input, &[]).unwrap_err().to_string();
        let at = |position, token| Input { targets: Targets::At(vec![(position, token)]), ..input(3, 6) };
        assert!(refused(at(6, 0)).contains("position 6 does not exist"));
        assert!(refused(at(0, 11)).contains("token 11 has no logit"));
        assert!(refused(input(3, 6).answer(0, Some(12))).contains("token 12 has no logit"));
        assert!(refused(Input { segments: Some(vec![0]), ..input(3, 6) }).contains("segments"));
    }
}
