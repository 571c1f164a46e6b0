//! Every head in turn.
//!
//! The stream that enters block l is computed once a text; what edits of block l change begins there, so that a sweep
//! of all heads costs about half of L·H passes, and the heads of a block run on several threads at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use attnlab_hooks::{
    Capture, Change, HookError, HookSpec, NoHooks, Observer, Plan, Point, Scope, Select, Site, Want,
};
use attnlab_model::Transformer;
use attnlab_ops as ops;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::effect::Effect;
use super::error::{AnalysisError, Result};
use super::input::{Input, Loaded};
use super::outcome::{Outcome, Tally};

/// Called after every run with how many of the sweep's runs are done, and how many there are.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

/// How a sweep runs, and over what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Threads, each of which runs another edit. No result depends on them.
    pub threads: usize,
    /// The layers to sweep.
    pub layers: Select,
    /// The heads of each to sweep.
    pub heads: Select,
}

impl Default for Sweep {
    /// Everything, on one thread.
    fn default() -> Self {
        Self { threads: 1, layers: Select::All, heads: Select::All }
    }
}

/// What a head's z becomes.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// Zero: the head writes nothing.
    Zero,
    /// Its mean over all positions of all texts: what the head writes whatever it reads.
    Mean,
    /// What it is at the same position of another text: the k-th of these for the k-th text, from the start again when
    /// they are used up. Each must be at least as long as the text that it stands in for.
    Resample(Vec<Input>),
}

impl Method {
    /// Resampling from the texts themselves, each from the one after it.
    pub fn resample_among(texts: &[Input]) -> Self {
        let (first, rest) = texts.split_at(texts.len().min(1));
        Self::Resample([rest, first].concat())
    }
}

/// What the ablation of one head does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct HeadAblation {
    /// The block.
    pub layer: usize,
    /// The query head.
    pub head: usize,
    /// Over all texts: losses over all targets, divergences over all positions.
    #[serde(flatten)]
    pub effect: Effect,
    /// Standard error over texts of the difference of their losses, from two texts on.
    pub delta_loss_error: Option<f64>,
}

/// Ablates one head at a time, in every text.
///
/// The heads come in the order of what their loss costs, dearest first: by `delta_loss`; without targets by `kl`,
/// without a head of the model by `hidden_change`; equals by layer and head.
pub fn ablate_all(
    model: &Transformer,
    texts: &[Input],
    method: &Method,
    sweep: &Sweep,
    progress: Progress<'_>,
) -> Result<Vec<HeadAblation>> {
    if texts.is_empty() {
        return Err(AnalysisError::Empty { what: "texts" });
    }
    let others = match method {
        Method::Resample(others) => Some(partners(texts, others)?),
        _ => None,
    };
    let pool = Pool::new(sweep, model, progress)?;
    let heads = pool.heads.clone();
    pool.expect(texts.len() * pool.layers.len() * heads.len());
    let means = match method {
        Method::Mean => Some(mean_outputs(model, texts)?),
        _ => None,
    };
    let mut sums = vec![(Tally::default(), Vec::new()); pool.layers.len() * heads.len()];
    for (k, text) in texts.iter().enumerate() {
        let mut walk = Walk::new(model, text)?;
        let mut other = others.as_ref().map(|others| Walk::cut(model, others[k], text.len())).transpose()?;
        for (at, &layer) in pool.layers.iter().enumerate() {
            walk.reach(layer)?;
            let replacement = match (&means, &mut other) {
                (Some(means), _) => Some(means[layer].clone()),
                (None, Some(other)) => {
                    other.reach(layer)?;
                    Some(other.see(Site::Z)?)
                }
                (None, None) => None,
            };
            let change = |head: usize| -> Result<Change> {
                Ok(match &replacement {
                    None => Change::Zero,
                    Some(z) => Change::Replace(z.narrow(z.rank() - 2, head, 1)?),
                })
            };
            let name = Point::block(Site::Z, layer).to_string();
            let tallies = pool.each(heads.len(), |i| {
                walk.edited(&[HookSpec::edit(name.as_str(), change(heads[i])?).heads([heads[i]])])
            })?;
            for (sum, tally) in sums[at * heads.len()..].iter_mut().zip(&tallies) {
                sum.0.add(tally);
                sum.1.extend(tally.delta_loss());
            }
        }
    }
    let places = pool.layers.iter().flat_map(|&layer| heads.iter().map(move |&head| (layer, head)));
    let mut all: Vec<HeadAblation> = places
        .zip(&sums)
        .map(|((layer, head), (tally, deltas))| HeadAblation {
            layer,
            head,
            effect: tally.effect(),
            delta_loss_error: standard_error(deltas),
        })
        .collect();
    let cost = |effect: &Effect| effect.delta_loss.or(effect.kl).unwrap_or(effect.hidden_change);
    // Stable: equals stay by layer and head.
    all.sort_by(|a, b| cost(&b.effect).total_cmp(&cost(&a.effect)));
    Ok(all)
}

/// The text that stands in for each.
fn partners<'a>(texts: &[Input], others: &'a [Input]) -> Result<Vec<&'a Input>> {
    if others.is_empty() {
        return Err(AnalysisError::Empty { what: "texts to resample from" });
    }
    texts
        .iter()
        .enumerate()
        .map(|(k, text)| {
            let other = &others[k % others.len()];
            if other.len() < text.len() {
                let remedy = "resample from texts at least as long, or shorten the text";
                let (source_len, target_len) = (other.len(), text.len());
                return Err(AnalysisError::Lengths { source_len, target_len, remedy });
            }
            Ok(other)
        })
        .collect()
}

/// σ/√n of the mean.
fn standard_error(values: &[f64]) -> Option<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

/// The mean z of every head over all positions of all texts: (H, K) a layer.
fn mean_outputs(model: &Transformer, texts: &[Input]) -> Result<Vec<Tensor>> {
    let layers = model.config().architecture.n_layers;
    let mut sums = Sums { scope: Scope::default(), of_layers: vec![None; layers], count: 0 };
    for text in texts {
        let loaded = text.load(model)?;
        ops::without_gradients(|| model.run(loaded.pass(), &mut sums))?;
        sums.count += text.len();
    }
    let count = sums.count as f64;
    let mean = |sum: Option<Tensor>| match sum {
        Some(sum) => Ok((sum / count)?.to_dtype(model.dtype())?.to_device(model.device())?),
        None => Err(HookError::NeverFired { points: Site::Z.to_string() }.into()),
    };
    sums.of_layers.into_iter().map(mean).collect()
}

/// Adds up z over positions.
struct Sums {
    scope: Scope,
    of_layers: Vec<Option<Tensor>>, // (H, K), f64
    count: usize,
}

impl Observer for Sums {
    fn wants(&self, point: Point) -> Want<'_> {
        if point.site == Site::Z { Want::Look(&self.scope) } else { Want::Nothing }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        let sum = value.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.sum((0, 1))?;
        if let Some(so_far) = point.layer.and_then(|layer| self.of_layers.get_mut(layer)) {
            *so_far = Some(match so_far {
                Some(so_far) => (&*so_far + sum)?,
                None => sum,
            });
        }
        Ok(None)
    }
}

/// One input on its way through the blocks.
pub(super) struct Walk<'a> {
    pub(super) model: &'a Transformer,
    loaded: Loaded,
    outcome: Option<Outcome<'a>>,
    layer: usize,
    /// What enters that layer, (1, T, D).
    pub(super) stream: Tensor,
}

impl<'a> Walk<'a> {
    /// At the first block, with what the unedited run comes to.
    pub(super) fn new(model: &'a Transformer, input: &Input) -> Result<Self> {
        let mut walk = Self::cut(model, input, input.len())?;
        let hidden =
            ops::without_gradients(|| model.resume(0, &walk.stream, &walk.loaded.tokens, &mut NoHooks))?;
        walk.outcome = Some(ops::without_gradients(|| Outcome::new(model, input, &hidden))?);
        Ok(walk)
    }

    /// At the first block, the first `len` tokens only, with nothing to compare with.
    pub(super) fn cut(model: &'a Transformer, input: &Input, len: usize) -> Result<Self> {
        let part = Input {
            tokens: input.tokens.iter().take(len).copied().collect(),
            segments: input.segments.as_ref().map(|ids| ids.iter().take(len).copied().collect()),
            ..Input::default()
        };
        let loaded = part.load(model)?;
        let stream = ops::without_gradients(|| model.enter(&loaded.pass(), &mut NoHooks))?;
        Ok(Self { model, loaded, outcome: None, layer: 0, stream })
    }

    /// Goes on to what enters block `layer`.
    pub(super) fn reach(&mut self, layer: usize) -> Result<()> {
        if layer > self.layer {
            let (through, tokens) = (self.layer..layer, &self.loaded.tokens);
            self.stream =
                ops::without_gradients(|| self.model.through(through, &self.stream, tokens, &mut NoHooks))?;
            self.layer = layer;
        }
        Ok(())
    }

    /// An activation of the block that it stands at.
    pub(super) fn see(&self, site: Site) -> Result<Tensor> {
        let point = Point::block(site, self.layer);
        let mut seen = Capture::new();
        seen.add(point, Scope::default())?;
        let (through, tokens) = (self.layer..self.layer + 1, &self.loaded.tokens);
        ops::without_gradients(|| self.model.through(through, &self.stream, tokens, &mut seen))?;
        Ok(seen.get(point)?.clone())
    }

    /// The run with edits, none of which may be before the block that it stands at.
    pub(super) fn edited(&self, specs: &[HookSpec]) -> Result<Tally> {
        let mut plan = Plan::resolve(specs, &self.model.anatomy())?;
        let tokens = &self.loaded.tokens;
        ops::without_gradients(|| {
            let hidden = self.model.resume(self.layer, &self.stream, tokens, &mut plan)?;
            plan.finish()?;
            self.outcome()?.compare(&hidden)
        })
    }

    /// What the unedited run comes to.
    pub(super) fn outcome(&self) -> Result<&Outcome<'a>> {
        self.outcome.as_ref().ok_or(AnalysisError::Empty { what: "the run to compare with" })
    }
}

/// The threads of a sweep, and how far it is.
pub(super) struct Pool<'a> {
    threads: rayon::ThreadPool,
    pub(super) layers: Vec<usize>,
    pub(super) heads: Vec<usize>,
    progress: Progress<'a>,
    done: AtomicUsize,
    all: AtomicUsize,
}

impl<'a> Pool<'a> {
    pub(super) fn new(sweep: &Sweep, model: &Transformer, progress: Progress<'a>) -> Result<Self> {
        let a = &model.config().architecture;
        let name = Point::block(Site::Z, sweep.layers.last().unwrap_or(0)).to_string();
        // Refuses layers and heads that do not exist, in the words of the hooks.
        Plan::resolve(&[HookSpec::capture(name).heads(sweep.heads.clone())], &model.anatomy())?;
        let count = sweep.threads;
        let failed = |why: String| AnalysisError::Threads { count, why };
        if !(1..=1024).contains(&count) {
            return Err(failed("there must be 1 to 1024".to_owned()));
        }
        let threads = rayon::ThreadPoolBuilder::new().num_threads(count).build();
        Ok(Self {
            threads: threads.map_err(|error| failed(error.to_string()))?,
            layers: sweep.layers.indices(a.n_layers),
            heads: sweep.heads.indices(a.n_heads),
            progress,
            done: AtomicUsize::new(0),
            all: AtomicUsize::new(0),
        })
    }

    /// How many runs there will be.
    pub(super) fn expect(&self, runs: usize) {
        self.all.store(runs, Ordering::Relaxed);
        (self.progress)(0, runs);
    }

    /// Runs `f` for 0 to `count`, in whatever order, and gives the results in theirs.
    pub(super) fn each<T: Send>(
        &self,
        count: usize,
        f: impl Fn(usize) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let run = |i| {
            let result = f(i)?;
            let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
            (self.progress)(done, self.all.load(Ordering::Relaxed));
            Ok(result)
        };
        self.threads.install(|| (0..count).into_par_iter().map(run).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use attnlab_model::{Architecture, NormPlacement, NullOption, Residual};

    use super::super::testing::{activation, build, config, input, log_softmax, rows, small, tokens};
    use super::super::{effect, testing};
    use super::*;

    fn quiet(_: usize, _: usize) {}

    fn mean_z(model: &Transformer, texts: &[Input], layer: usize, head: usize) -> Vec<f64> {
        let mut sum = vec![0.0; 2];
        let mut count = 0.0;
        for text in texts {
            let z = activation(model, text, Point::block(Site::Z, layer)); // (T, H, K)
            for row in rows(&z.narrow(1, head, 1).unwrap().squeeze(1).unwrap()) {
                sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
                count += 1.0;
            }
        }
        sum.into_iter().map(|x| x / count).collect()
    }

    #[test]
    fn every_head_is_ablated_as_a_full_pass_with_that_edit_would() {
        let variants = [
            (small(), "rope"),
            (Architecture { null_option: NullOption::Learned, ..small() }, "alibi"),
            (Architecture { norm_placement: NormPlacement::Post, ..small() }, "learned"),
            (
                Architecture { residual: Residual::ParallelSharedNorm, logit_softcap: Some(3.0), ..small() },
                "t5",
            ),
        ];
        let texts = [input(1, 7), input(4, 5), input(2, 5)];
        let others = [input(3, 9), input(5, 8)];
        for (architecture, kind) in variants {
            let model = build(&config(architecture, kind));
            for method in [Method::Zero, Method::Mean, Method::Resample(others.to_vec())] {
                let found = ablate_all(&model, &texts, &method, &Sweep::default(), &quiet).unwrap();
                assert_eq!(found.len(), 12);
                assert!(found.windows(2).all(|pair| pair[0].effect.delta_loss >= pair[1].effect.delta_loss));
                for one in [&found[0], &found[7]] {
                    let (layer, head) = (one.layer, one.head);
                    let (mut before, mut after, mut kl, mut predicted, mut places) =
                        (0.0, 0.0, 0.0, 0.0, 0.0);
                    for (k, text) in texts.iter().enumerate() {
                        let change = match &method {
                            Method::Zero => Change::Zero,
                            Method::Mean => {
                                let mean = mean_z(&model, &texts, layer, head);
                                Change::Replace(Tensor::new(mean, &Device::Cpu).unwrap())
                            }
                            Method::Resample(others) => {
                                let z = activation(&model, &others[k % 2], Point::block(Site::Z, layer));
                                let z = z.narrow(0, 0, text.len()).unwrap().narrow(1, head, 1).unwrap();
                                Change::Replace(z.unsqueeze(0).unwrap())
                            }
                        };
                        let edit =
                            HookSpec::edit(format!("blocks.{layer}.attn.hook_z"), change).heads([head]);
                        let mut plan = Plan::resolve(&[edit], &model.anatomy()).unwrap();
                        let p = log_softmax(&model.predict(&tokens(text)).unwrap().squeeze(0).unwrap());
                        let q = model.forward(&tokens(text), &mut plan).unwrap();
                        let q = log_softmax(&q.squeeze(0).unwrap());
                        for (i, (p, q)) in p.iter().zip(&q).enumerate() {
                            kl += p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
                            places += 1.0;
                            if let Some(&next) = text.tokens.get(i + 1) {
                                before -= p[next as usize];
                                after -= q[next as usize];
                                predicted += 1.0;
                            }
                        }
                    }
                    let near = |found: Option<f64>, expected: f64| {
                        assert!((found.unwrap() - expected).abs() < 1e-9, "{found:?} {expected}");
                    };
                    near(one.effect.loss_before, before / predicted);
                    near(one.effect.loss_after, after / predicted);
                    near(one.effect.delta_loss, (after - before) / predicted);
                    near(one.effect.kl, kl / places);
                    assert!(one.effect.kl.unwrap() > 1e-9 && one.effect.hidden_change > 1e-9);
                    assert!(one.delta_loss_error.unwrap() > 0.0);
                }
            }
        }
    }

    #[test]
    fn a_sweep_is_the_same_on_any_number_of_threads_and_says_how_far_it_is() {
        let model = testing::build_in(&config(small(), "rope"), DType::F32);
        let texts = [input(1, 7), input(4, 7)];
        let method = Method::resample_among(&texts);
        assert_eq!(method, Method::Resample(vec![input(4, 7), input(1, 7)]));
        let calls = Mutex::new(Vec::new());
        let progress = |done, all| calls.lock().unwrap().push((done, all));
        let one = ablate_all(&model, &texts, &method, &Sweep::default(), &progress).unwrap();
        let calls = calls.into_inner().unwrap();
        assert_eq!(calls, (0..=24).map(|done| (done, 24)).collect::<Vec<_>>());
        let sweep = Sweep { threads: 3, ..Sweep::default() };
        assert_eq!(ablate_all(&model, &texts, &method, &sweep, &quiet).unwrap(), one);
        let part = Sweep { layers: [2].into(), heads: [1, 3].into(), ..sweep };
        let part = ablate_all(&model, &texts, &method, &part, &quiet).unwrap();
        assert_eq!(part.len(), 2);
        assert!(part.iter().all(|head| one.contains(head)));
    }

    #[test]
    fn a_model_without_causal_loss_is_ranked_by_what_there_is() {
        let mut encoder = config(small(), "learned");
        encoder.mask = attnlab_model::Mask::Bidirectional;
        let all = |model: &Transformer| {
            ablate_all(model, &[input(1, 6)], &Method::Zero, &Sweep::default(), &quiet).unwrap()
        };
        let heads = all(&build(&encoder));
        assert!(heads.windows(2).all(|pair| pair[0].effect.kl >= pair[1].effect.kl));
        assert!(heads.iter().all(|head| head.effect.loss_before.is_none() && head.effect.kl.unwrap() > 0.0));
        encoder.n_outputs = 0;
        let heads = all(&build(&encoder));
        assert!(heads.windows(2).all(|p| p[0].effect.hidden_change >= p[1].effect.hidden_change));
        assert!(heads.iter().all(|head| head.effect.kl.is_none() && head.effect.hidden_change > 0.0));
    }

    #[test]
    fn a_sweep_that_cannot_be_is_refused_before_it_runs() {
        let model = build(&config(small(), "none"));
        let refused = |texts: &[Input], method: Method, sweep: Sweep| {
            ablate_all(&model, texts, &method, &sweep, &quiet).unwrap_err().to_string()
        };
        let texts = [input(1, 6)];
        assert!(refused(&[], Method::Zero, Sweep::default()).contains("nothing to analyse"));
        assert!(refused(&[Input::default()], Method::Zero, Sweep::default()).contains("at least one token"));
        let short = Method::Resample(vec![input(1, 5)]);
        assert!(refused(&texts, short, Sweep::default()).contains("have 5 and 6 tokens"));
        let layer = Sweep { layers: [3].into(), ..Sweep::default() };
        assert!(refused(&texts, Method::Zero, layer).contains("layer 3 does not exist"));
        let head = Sweep { heads: [4].into(), ..Sweep::default() };
        assert!(refused(&texts, Method::Zero, head).contains("head 4 does not exist"));
        let none = Sweep { threads: 0, ..Sweep::default() };
        assert!(refused(&texts, Method::Zero, none).contains("cannot start 0 threads"));
    }

    #[test]
    fn one_effect_agrees_with_the_sweep() {
        let model = build(&config(small(), "rope"));
        let text = input(2, 6);
        let heads = ablate_all(&model, std::slice::from_ref(&text), &Method::Zero, &Sweep::default(), &quiet)
            .unwrap();
        for head in &heads {
            let name = format!("blocks.{}.attn.hook_z", head.layer);
            let found =
                effect(&model, &text, &[HookSpec::edit(name, Change::Zero).heads([head.head])]).unwrap();
            assert_eq!(found, head.effect);
        }
    }
}
