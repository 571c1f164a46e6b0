//! Activations of one prompt put into the run of another (Vig et al. 2020; Meng et al. 2022; Wang et al. 2023): what
//! brings back the clean prompt's answer in the corrupted prompt's run ("denoising") carries the difference.

use attnlab_hooks::{Capture, Change, HookSpec, Plan, Point, Scope, Select, Site};
use attnlab_model::Transformer;
use attnlab_ops as ops;
use candle_core::Tensor;
use serde::Serialize;

use super::effect::{Effect, effect};
use super::error::{AnalysisError, Result};
use super::input::{Input, positions_or_all};
use super::outcome::Outcome;
use super::sweep::{Pool, Progress, Sweep, Walk};

/// What is taken from the source's run and put into the target's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// The hook point by name; its layer may be `*` or a set.
    pub point: String,
    /// The part of it that is replaced in the target's run.
    pub scope: Scope,
    /// The positions of the source that stand in for the scope's rows, in their order; the same positions by default.
    pub from_rows: Option<Vec<usize>>,
}

/// The edits that put activations of `source` into a run of `target_len` tokens, for [`effect()`] or any other run.
///
/// Without `from_rows` the prompts must have the same number of tokens. So they must for scores and patterns, whose
/// keys are positions too.
pub fn patch_specs(
    model: &Transformer,
    source: &Input,
    target_len: usize,
    patches: &[Patch],
) -> Result<Vec<HookSpec>> {
    let mut captures = Vec::with_capacity(patches.len());
    for patch in patches {
        let capture = HookSpec::capture(&patch.point).heads(patch.scope.heads.clone());
        // Each alone: two patches may take different heads of the same point.
        let plan = Plan::resolve(&[capture], &model.anatomy())?;
        let lengths = |remedy| {
            let source_len = source.len();
            Err(AnalysisError::Lengths { source_len, target_len, remedy })
        };
        if source.len() != target_len {
            if patch.from_rows.is_none() {
                return lengths("give prompts of equal length, or the positions of the source for each row");
            }
            if plan.capture().points().any(|point| point.site.is_map()) {
                return lengths("a map's keys are positions: only prompts of equal length can share it");
            }
        }
        if let Some(rows) = &patch.from_rows {
            positions_or_all(Some(rows), source.len())?;
            let expected = patch.scope.rows.indices(target_len).len();
            if rows.len() != expected {
                let point = patch.point.clone();
                return Err(AnalysisError::Positions { point, found: rows.len(), expected });
            }
        }
        if let Some(position) = patch.scope.rows.last().filter(|&row| row >= target_len) {
            return Err(AnalysisError::NoSuchPosition { position, len: target_len });
        }
        captures.push(plan);
    }
    let mut all = Capture::new();
    let mut points: Vec<Point> = captures.iter().flat_map(|plan| plan.capture().points()).collect();
    points.sort_unstable();
    points.dedup();
    points.iter().try_for_each(|&point| all.add(point, Scope::default()))?;
    let loaded = source.load(model)?;
    ops::without_gradients(|| model.run(loaded.pass(), &mut all))?;
    let mut specs = Vec::new();
    for (patch, plan) in patches.iter().zip(&captures) {
        for point in plan.capture().points() {
            let heads = Scope { heads: patch.scope.heads.clone(), ..Scope::default() };
            let value = heads.cut(point.site, all.get(point)?)?;
            let rows = patch.from_rows.clone().unwrap_or_else(|| patch.scope.rows.indices(target_len));
            let rows: Vec<u32> = rows.into_iter().map(|row| row as u32).collect();
            let rows = Tensor::from_vec(rows, patch.scope.rows.indices(target_len).len(), value.device())?;
            let value = value.contiguous()?.index_select(&rows, point.site.axes().rows)?;
            let scope = patch.scope.clone();
            specs.push(HookSpec { scope, ..HookSpec::edit(point.to_string(), Change::Replace(value)) });
        }
    }
    Ok(specs)
}

/// What becomes of the run of `target` when activations of `source` are put into it.
pub fn patch(model: &Transformer, source: &Input, target: &Input, patches: &[Patch]) -> Result<Effect> {
    effect(model, target, &patch_specs(model, source, target.len(), patches)?)
}

/// The clean stream put into the corrupted run at one position before one block.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ResidualPatch {
    /// The block whose input is patched.
    pub layer: usize,
    /// The position that is patched.
    pub position: usize,
    /// From the corrupted run to the patched one.
    #[serde(flatten)]
    pub effect: Effect,
    /// How much of the answer's logit comes back: 0 as in the corrupted run, 1 as in the clean one.
    pub restored: Option<f64>,
}

/// A clean head's z put into the corrupted run at all positions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadPatch {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// From the corrupted run to the patched one.
    #[serde(flatten)]
    pub effect: Effect,
    /// How much of the answer's logit comes back: 0 as in the corrupted run, 1 as in the clean one.
    pub restored: Option<f64>,
}

/// Patches the stream before every block at every position, or at those given: by layer, then position.
///
/// Both prompts must have the same number of tokens. The answer is that of `corrupted`, or else of `clean`.
pub fn patch_residual(
    model: &Transformer,
    clean: &Input,
    corrupted: &Input,
    positions: Option<&[usize]>,
    sweep: &Sweep,
    progress: Progress<'_>,
) -> Result<Vec<ResidualPatch>> {
    let positions = positions_or_all(positions, corrupted.len())?;
    let mut pair = Pair::new(model, clean, corrupted)?;
    let pool = Pool::new(sweep, model, progress)?;
    pool.expect(pool.layers.len() * positions.len());
    let mut all = Vec::with_capacity(pool.layers.len() * positions.len());
    for &layer in &pool.layers {
        pair.reach(layer)?;
        let name = Point::block(Site::ResidPre, layer).to_string();
        let effects = pool.each(positions.len(), |i| {
            let value = pair.clean.stream.narrow(1, positions[i], 1)?;
            pair.patched(HookSpec::edit(name.as_str(), Change::Replace(value)).rows([positions[i]]))
        })?;
        let cell = |(&position, (effect, restored))| ResidualPatch { layer, position, effect, restored };
        all.extend(positions.iter().zip(effects).map(cell));
    }
    Ok(all)
}

/// Patches every head's z at all positions, one head at a time.
///
/// The heads come in the order of `restored`, most first; without an answer of `kl`, without a head of the model of
/// `hidden_change`; equals by layer and head. Both prompts must have the same number of tokens.
pub fn patch_heads(
    model: &Transformer,
    clean: &Input,
    corrupted: &Input,
    sweep: &Sweep,
    progress: Progress<'_>,
) -> Result<Vec<HeadPatch>> {
    let mut pair = Pair::new(model, clean, corrupted)?;
    let pool = Pool::new(sweep, model, progress)?;
    pool.expect(pool.layers.len() * pool.heads.len());
    let mut all = Vec::with_capacity(pool.layers.len() * pool.heads.len());
    for &layer in &pool.layers {
        pair.reach(layer)?;
        let z = pair.clean.see(Site::Z)?; // (1, T, H, K)
        let name = Point::block(Site::Z, layer).to_string();
        let effects = pool.each(pool.heads.len(), |i| {
            let head = pool.heads[i];
            let change = Change::Replace(z.narrow(2, head, 1)?);
            pair.patched(HookSpec::edit(name.as_str(), change).heads(Select::from([head])))
        })?;
        let cell = |(&head, (effect, restored))| HeadPatch { layer, head, effect, restored };
        all.extend(pool.heads.iter().zip(effects).map(cell));
    }
    let gain = |patch: &HeadPatch| patch.restored.or(patch.effect.kl).unwrap_or(patch.effect.hidden_change);
    all.sort_by(|a, b| gain(b).total_cmp(&gain(a)));
    Ok(all)
}

/// A clean and a corrupted prompt, side by side.
struct Pair<'a> {
    clean: Walk<'a>,
    corrupted: Walk<'a>,
    /// The answer's logit in either run.
    logits: Option<(f64, f64)>,
}

impl<'a> Pair<'a> {
    fn new(model: &'a Transformer, clean: &Input, corrupted: &Input) -> Result<Self> {
        if clean.len() != corrupted.len() {
            return Err(AnalysisError::Lengths {
                source_len: clean.len(),
                target_len: corrupted.len(),
                remedy: "a sweep needs prompts of equal length",
            });
        }
        let answer = corrupted.answer.or(clean.answer);
        let with_answer = |input: &Input| Walk::new(model, &Input { answer, ..input.clone() });
        let (clean, corrupted) = (with_answer(clean)?, with_answer(corrupted)?);
        let logits = |walk: &Walk<'_>| walk.outcome().and_then(Outcome::answer_logit);
        let logits = logits(&clean)?.zip(logits(&corrupted)?);
        Ok(Self { clean, corrupted, logits })
    }

    fn reach(&mut self, layer: usize) -> Result<()> {
        self.clean.reach(layer)?;
        self.corrupted.reach(layer)
    }

    fn patched(&self, spec: HookSpec) -> Result<(Effect, Option<f64>)> {
        let effect = self.corrupted.edited(&[spec])?.effect();
        let restored = self
            .logits
            .zip(effect.answer)
            .map(|((clean, corrupted), answer)| (answer.logit_after - corrupted) / (clean - corrupted));
        // Prompts with the same answer have nothing to restore.
        Ok((effect, restored.filter(|share| share.is_finite())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::testing::{build, config, input, rows, small, tokens};
    use super::*;

    fn quiet(_: usize, _: usize) {}

    /// Two prompts that differ at one position.
    fn prompts() -> (Input, Input) {
        let clean = input(3, 6).answer(2, Some(7));
        let mut corrupted = clean.clone();
        corrupted.tokens[2] = (corrupted.tokens[2] + 1) % 11;
        (clean, corrupted)
    }

    fn last_logits(model: &Transformer, input: &Input) -> Vec<f64> {
        rows(&model.predict(&tokens(input)).unwrap().squeeze(0).unwrap()).pop().unwrap()
    }

    #[test]
    fn the_whole_stream_of_another_prompt_makes_its_prediction() {
        let model = build(&config(small(), "rope"));
        let (clean, corrupted) = prompts();
        let whole = Patch { point: "blocks.1.hook_resid_pre".into(), ..Patch::default() };
        let found = patch(&model, &clean, &corrupted, &[whole]).unwrap().answer.unwrap();
        let expected = last_logits(&model, &clean);
        assert!((found.logit_after - (expected[2] - expected[7])).abs() < 1e-9);
        let before = last_logits(&model, &corrupted);
        assert!((found.logit_before - (before[2] - before[7])).abs() < 1e-9);
    }

    #[test]
    fn positions_of_a_prompt_of_another_length_go_where_they_are_sent() {
        let model = build(&config(small(), "none"));
        // Without positions a stream before the first block is its token's: moving them around is exact.
        let (source, target) = (Input::new(vec![9, 8, 1]), Input::new(vec![1, 2, 3, 4]).answer(0, None));
        let moved = Patch {
            point: "blocks.0.hook_resid_pre".into(),
            scope: Scope { rows: [0, 3].into(), ..Scope::default() },
            from_rows: Some(vec![1, 0]),
        };
        let found = patch(&model, &source, &target, &[moved]).unwrap().answer.unwrap();
        let expected = last_logits(&model, &Input::new(vec![8, 2, 3, 9]));
        assert!((found.logit_after - expected[0]).abs() < 1e-9);
    }

    #[test]
    fn patching_the_stream_restores_the_answer_where_the_prompts_differ_and_nothing_elsewhere() {
        let model = build(&config(small(), "rope"));
        let (clean, corrupted) = prompts();
        let sweep = Sweep { threads: 2, ..Sweep::default() };
        let cells = patch_residual(&model, &clean, &corrupted, None, &sweep, &quiet).unwrap();
        assert_eq!(cells.len(), 18);
        for (position, cell) in cells.iter().enumerate().take(6) {
            assert_eq!((cell.layer, cell.position), (0, position));
            let expected = if position == 2 { 1.0 } else { 0.0 };
            assert!((cell.restored.unwrap() - expected).abs() < 1e-9);
        }
        // Causal: what comes before the difference is the same in both runs.
        assert!(cells.iter().filter(|cell| cell.position < 2).all(|cell| cell.effect.kl == Some(0.0)));
        for cell in &cells {
            let patched = Patch {
                point: format!("blocks.{}.hook_resid_pre", cell.layer),
                scope: Scope { rows: [cell.position].into(), ..Scope::default() },
                from_rows: None,
            };
            assert_eq!(patch(&model, &clean, &corrupted, &[patched]).unwrap(), cell.effect);
        }
        let part = patch_residual(&model, &clean, &corrupted, Some(&[4]), &sweep, &quiet).unwrap();
        assert_eq!(part, [cells[4], cells[10], cells[16]]);
    }

    #[test]
    fn patching_heads_ranks_them_by_what_they_restore() {
        let model = build(&config(small(), "alibi"));
        let (clean, corrupted) = prompts();
        let heads = patch_heads(&model, &clean, &corrupted, &Sweep::default(), &quiet).unwrap();
        assert_eq!(heads.len(), 12);
        assert!(heads.windows(2).all(|pair| pair[0].restored >= pair[1].restored));
        let (good, bad) = (last_logits(&model, &clean), last_logits(&model, &corrupted));
        let (good, bad) = (good[2] - good[7], bad[2] - bad[7]);
        for head in &heads {
            let one = Patch {
                point: format!("blocks.{}.attn.hook_z", head.layer),
                scope: Scope { heads: [head.head].into(), ..Scope::default() },
                from_rows: None,
            };
            let found = patch(&model, &clean, &corrupted, &[one]).unwrap();
            assert_eq!(found, head.effect);
            let restored = (found.answer.unwrap().logit_after - bad) / (good - bad);
            assert!((restored - head.restored.unwrap()).abs() < 1e-9);
        }
    }

    #[test]
    fn prompts_whose_positions_do_not_correspond_are_refused() {
        let model = build(&config(small(), "none"));
        let refused =
            |patch_: Patch| patch(&model, &input(1, 5), &input(1, 6), &[patch_]).unwrap_err().to_string();
        let at = |point: &str, rows: Option<Vec<usize>>| Patch {
            point: point.into(),
            scope: Scope { rows: [0, 1].into(), ..Scope::default() },
            from_rows: rows,
        };
        assert!(refused(at("blocks.0.hook_resid_pre", None)).contains("have 5 and 6 tokens"));
        assert!(refused(at("blocks.0.attn.hook_pattern", Some(vec![0, 1]))).contains("keys are positions"));
        assert!(
            refused(at("blocks.0.attn.hook_z", Some(vec![0]))).contains("1 positions of the source for 2")
        );
        assert!(refused(at("blocks.0.attn.hook_z", Some(vec![0, 5]))).contains("position 5 does not exist"));
        assert!(refused(at("blocks.0.attn.hook_zz", None)).contains("unknown hook point"));
        let sweep = Sweep::default();
        let error = patch_heads(&model, &input(1, 5), &input(1, 6), &sweep, &quiet).unwrap_err().to_string();
        assert!(error.contains("equal length"), "{error}");
    }
}
