//! The patient: a model, texts, and what one reading of each text shows.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use attnlab_hooks::{HookSpec, NoHooks, Observer, Plan, Point, Scope, Select, Site, Want};
use attnlab_model::Transformer;
use attnlab_ops::{self as ops, WatchRows};
use candle_core::{DType, Tensor};

use super::finding::{Causal, HeadEvidence, Role, Unit};
use super::interval::Interval;
use super::random;
use super::rows::{self, Rows};
use super::states::States;
use super::{NOTHING, Result};
use crate::analysis::{Input, Outcome, value_norms};
use crate::result::{HeadResult, SurveyResult};
use crate::survey::{Survey, SurveyOptions};

/// Layer and query head.
pub type Head = (usize, usize);

/// Called with what is being done and how far it is.
pub type Tell<'a> = &'a (dyn Fn(&str, usize, usize) + Sync);

/// How much is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Only heads of these layers are examined; what a finding says of the whole model is then of them.
    pub layers: Select,
    /// Only these query heads of each.
    pub heads: Select,
    /// Interventions on single heads, for each failure mode; those on all concerned together are always made.
    pub single_heads: usize,
    /// Interventions read no more than so many tokens of a text: some hold a map of each head.
    pub tokens: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { layers: Select::All, heads: Select::All, single_heads: 4, tokens: 512 }
    }
}

/// What is examined.
pub struct Case<'a> {
    /// The model.
    pub model: &'a Transformer,
    /// The texts, each of which counts alike.
    pub texts: &'a [Input],
    /// How much is done.
    pub effort: Effort,
    readings: Vec<Reading>,
    random: OnceLock<SurveyResult>,
    rows: OnceLock<Vec<BTreeMap<Head, Rows>>>,
    tell: Tell<'a>,
}

/// What one pass over a text shows.
pub(super) struct Reading {
    pub(super) survey: SurveyResult,
    /// ‖v_j W_O‖ of each key of each head.
    pub(super) norms: BTreeMap<Head, Vec<f32>>,
    /// What enters block 0, and what leaves each block.
    pub(super) states: Vec<States>,
}

impl<'a> Case<'a> {
    /// Reads every text once, with every head and every block's output watched.
    pub fn read(model: &'a Transformer, texts: &'a [Input], effort: Effort, tell: Tell<'a>) -> Result<Self> {
        let mut readings = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            tell("reading", at, texts.len());
            readings.push(read(model, text)?);
        }
        tell("reading", texts.len(), texts.len());
        Ok(Self { model, texts, effort, readings, random: OnceLock::new(), rows: OnceLock::new(), tell })
    }

    pub(super) fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// Tokens of the shortest text.
    pub fn shortest(&self) -> usize {
        self.texts.iter().map(Input::len).min().unwrap_or(0)
    }

    /// The mean loss in nats a target; none of a model or texts without targets.
    pub fn loss(&self) -> Result<Option<Interval>> {
        let mut losses = Vec::with_capacity(self.texts.len());
        for text in self.texts {
            let outcome = ops::without_gradients(|| {
                let hidden = self.model.run(text.load(self.model)?.pass(), &mut NoHooks)?;
                Ok::<_, super::DoctorError>(
                    Outcome::new(self.model, text, &hidden)?.compare(&hidden)?.effect(),
                )
            })?;
            losses.push(outcome.loss_before);
        }
        Ok(Interval::of_some(losses))
    }

    /// The share that a head leaves to nothing, the largest of all heads; none without that option.
    pub fn null_mass(&self) -> Option<f64> {
        let of = |at| Some(self.of_head(at, |head| head.mean("null_mass"))?.mean);
        self.heads().into_iter().filter_map(of).reduce(f64::max)
    }

    /// Every head that is examined.
    pub fn heads(&self) -> Vec<Head> {
        let a = &self.model.config().architecture;
        let heads = self.effort.heads.indices(a.n_heads);
        let layers = self.effort.layers.indices(a.n_layers).into_iter();
        layers.flat_map(|layer| heads.iter().map(move |&head| (layer, head))).collect()
    }

    /// What each text says of a head.
    pub(super) fn of_head(
        &self,
        (layer, head): Head,
        number: impl Fn(&HeadResult) -> Option<f64>,
    ) -> Option<Interval> {
        Interval::of_some(self.readings.iter().map(|text| number(text.survey.head(layer, head)?)))
    }

    /// The mean over heads of a number, for each text.
    pub(super) fn over_heads(&self, number: impl Fn(&HeadResult) -> Option<f64>) -> Option<Interval> {
        let heads = self.heads();
        let mean = |text: &Reading| {
            let of = |&(layer, head): &Head| number(text.survey.head(layer, head)?);
            let found: Vec<f64> = heads.iter().filter_map(of).collect();
            (!found.is_empty()).then(|| found.iter().sum::<f64>() / found.len() as f64)
        };
        Interval::of_some(self.readings.iter().map(mean))
    }

    /// What uniform attention scores in a layer's rows, mean over texts.
    pub(super) fn uniform(&self, layer: usize, number: impl Fn(&HeadResult) -> Option<f64>) -> Option<f64> {
        let of = |text: &Reading| {
            let layer = text.survey.layers.iter().find(|found| found.layer == layer)?;
            number(&layer.uniform)
        };
        Interval::of_some(self.readings.iter().map(of)).map(|found| found.mean)
    }

    /// What random attention scores over as many tokens as the shortest text has.
    pub(super) fn random(&self, number: impl Fn(&HeadResult) -> Option<f64>) -> Result<Option<f64>> {
        if self.random.get().is_none() {
            let mask = self.model.config().mask;
            let found = random::random_attention(self.shortest(), mask, options())?;
            // Another thread can only have computed the same.
            let _ = self.random.set(found);
        }
        Ok(self.random.get().and_then(random::head).and_then(number))
    }

    /// A head's number with its baselines.
    pub(super) fn evidence(
        &self,
        at: Head,
        metric: &'static str,
        number: impl Fn(&HeadResult) -> Option<f64>,
    ) -> Result<Option<HeadEvidence>> {
        let Some(estimate) = self.of_head(at, &number) else { return Ok(None) };
        let (uniform, random) = (self.uniform(at.0, &number), self.random(&number)?);
        let note = String::new();
        Ok(Some(HeadEvidence { layer: at.0, head: at.1, metric, estimate, uniform, random, note }))
    }

    /// The sinks of a head in a text: keys with α above `rate`, which enough queries see.
    pub(super) fn sinks(&self, text: usize, (layer, head): Head, rate: f64) -> Vec<usize> {
        let found = self.readings.get(text).and_then(|text| text.survey.head(layer, head));
        let sinks = found.map_or(&[][..], |head| &head.sinks);
        sinks.iter().filter(|sink| f64::from(sink.rate) > rate).map(|sink| sink.key).collect()
    }

    /// ‖v_k W_O‖ of a key over the mean of all keys of the text.
    pub(super) fn drain(&self, text: usize, at: Head, key: usize) -> Option<f64> {
        let norms = self.readings.get(text)?.norms.get(&at)?;
        let mean = norms.iter().map(|&norm| f64::from(norm)).sum::<f64>() / norms.len() as f64;
        Some(f64::from(*norms.get(key)?) / mean).filter(|drain| drain.is_finite())
    }

    /// The rows of every head in each text, from a second pass.
    pub(super) fn rows(&self) -> Result<&[BTreeMap<Head, Rows>]> {
        if self.rows.get().is_none() {
            let mut all = Vec::with_capacity(self.texts.len());
            for (at, text) in self.texts.iter().enumerate() {
                (self.tell)("reading rows", at, self.texts.len());
                let drained = self.heads().into_iter().map(|head| (head, self.drained(at, head))).collect();
                all.push(rows::rows(self.model, text, &drained)?);
            }
            // Another thread can only have read the same.
            let _ = self.rows.set(all);
        }
        Ok(self.rows.get().map_or(&[][..], Vec::as_slice))
    }

    /// A number of each head's rows in each text, with its interval.
    pub(super) fn of_rows(&self, number: impl Fn(&Rows) -> Option<f64>) -> Result<BTreeMap<Head, Interval>> {
        let texts = self.rows()?;
        let of = |at: Head| Some((at, Interval::of_some(texts.iter().map(|text| number(text.get(&at)?)))?));
        Ok(self.heads().into_iter().filter_map(of).collect())
    }

    /// The part of a text that interventions read.
    pub(super) fn part(&self, text: usize) -> Input {
        let mut input = self.texts.get(text).cloned().unwrap_or_default();
        input.truncate(self.effort.tokens);
        input
    }

    /// Makes edits in each text, those that `edits` gives for its place in the list, and says what became of the loss.
    /// Texts without an edit count as not moved. None if no text has one.
    pub(super) fn intervene(
        &self,
        did: impl Into<String>,
        edits: impl Fn(usize, &Input) -> Result<Vec<HookSpec>>,
    ) -> Result<Option<Causal>> {
        let (mut moved, mut before, mut any, mut in_loss) = (Vec::new(), Vec::new(), false, true);
        for at in 0..self.texts.len() {
            (self.tell)("intervening", at, self.texts.len());
            let input = self.part(at);
            let specs = edits(at, &input)?;
            if specs.is_empty() {
                moved.push(None);
                continue;
            }
            any = true;
            let mut plan = Plan::resolve(&specs, &self.model.anatomy())?;
            let effect = ops::without_gradients(|| {
                let run = input.load(self.model)?;
                let outcome = Outcome::new(self.model, &input, &self.model.run(run.pass(), &mut NoHooks)?)?;
                let hidden = self.model.run(run.pass(), &mut plan)?;
                plan.finish()?;
                Ok::<_, super::DoctorError>(outcome.compare(&hidden)?.effect())
            })?;
            in_loss &= effect.delta_loss.is_some();
            before.extend(effect.loss_before);
            moved.push(Some((effect.delta_loss, effect.hidden_change)));
        }
        let number = |moved: &Option<(Option<f64>, f64)>| match moved {
            None => Some(0.0),
            Some((loss, hidden)) => {
                if in_loss {
                    *loss
                } else {
                    Some(*hidden)
                }
            }
        };
        let Some(effect) = Interval::of_some(moved.iter().map(number)).filter(|_| any) else {
            return Ok(None);
        };
        let unit = if in_loss { Unit::Loss } else { Unit::HiddenChange };
        let role = match unit {
            Unit::HiddenChange if effect.high < NOTHING => Role::Idle,
            Unit::HiddenChange => Role::Open,
            Unit::Loss => role(&effect),
        };
        let loss_before = Interval::of(&before).map(|loss| loss.mean);
        Ok(Some(Causal { did: did.into(), unit, effect, loss_before, role }))
    }
}

/// What a change of the loss says of what was taken away.
fn role(effect: &Interval) -> Role {
    match effect {
        effect if effect.is_above(&[NOTHING]) => Role::Used,
        effect if effect.is_below(&[-NOTHING]) => Role::Harmful,
        effect if effect.low > -NOTHING && effect.high < NOTHING => Role::Idle,
        _ => Role::Open,
    }
}

fn options() -> SurveyOptions {
    SurveyOptions::default()
}

/// One pass, with every head watched.
fn read(model: &Transformer, text: &Input) -> Result<Reading> {
    let mut survey = Survey::new(options());
    survey.begin_text(&text.tokens);
    let mut reader = Reader {
        survey,
        model,
        whole: Scope::default(),
        norms: BTreeMap::new(),
        states: Mutex::new(Vec::new()),
    };
    let loaded = text.load(model)?;
    ops::without_gradients(|| model.run(loaded.pass(), &mut reader))?;
    let states = reader.states.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Reading { survey: reader.survey.finish(), norms: reader.norms, states })
}

/// Watches rows, looks at values and at what leaves each block.
struct Reader<'a> {
    survey: Survey,
    model: &'a Transformer,
    whole: Scope,
    norms: BTreeMap<Head, Vec<f32>>,
    states: Mutex<Vec<States>>,
}

impl Observer for Reader<'_> {
    fn wants(&self, point: Point) -> Want<'_> {
        match (point.site, point.layer) {
            (Site::V | Site::ResidPost, _) | (Site::ResidPre, Some(0)) => Want::Look(&self.whole),
            _ => Want::Nothing,
        }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        let Some(layer) = point.layer else { return Ok(None) };
        if point.site != Site::V {
            let states = States::of(&value.get(0)?)?;
            self.states.get_mut().unwrap_or_else(PoisonError::into_inner).push(states);
            return Ok(None);
        }
        let norms = value_norms(self.model, layer, value).map_err(candle_core::Error::wrap)?;
        for head in 0..self.model.config().architecture.n_heads {
            let of_head = norms.get(0)?.get(head)?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            self.survey.value_norms(layer, 0, head, of_head.clone());
            self.norms.insert((layer, head), of_head);
        }
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        Some(Box::new(self.survey.watch(layer)))
    }
}
