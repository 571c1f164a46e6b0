//! Reading texts with every head watched: statistics, losses, packed maps.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use attnlab_heads::{MapScope, Repeat, Survey, SurveyOptions, SurveyResult, analysis};
use attnlab_hooks::{Both, Observer, Point, Scope, Site, Want};
use attnlab_model::{Mask, Pass};
use attnlab_ops::{self as ops, WatchRows, WatchedRow};
use attnlab_report::inspect::{InspectError, Map, MapPacker, Quantity};
use candle_core::{Device, Tensor};

use crate::model::Model;
use crate::progress::Slow;
use crate::texts::Text;

/// What one model made of one text, or of several at once.
pub(super) struct Reading {
    pub(super) label: String,
    /// Of the one text; empty where there are several.
    pub(super) ids: Vec<u32>,
    pub(super) texts: usize,
    /// Nats a token, over all tokens that have one before them; none of a model that predicts no tokens.
    pub(super) loss: Option<f64>,
    /// The losses in the first and the second copy of a text that is said twice.
    pub(super) copies: Option<[f64; 2]>,
    pub(super) survey: SurveyResult,
    pub(super) maps: Vec<Map>,
}

/// Reads texts, all together as one reading.
pub(super) fn read(
    model: &Model,
    texts: &[Text],
    label: &str,
    maps: Option<&[(usize, usize)]>,
    options: SurveyOptions,
    progress: &Slow,
) -> Result<Reading> {
    let transformer = &model.transformer;
    let predicts = {
        let config = transformer.config();
        config.mask == Mask::Causal && config.n_outputs == config.vocab_size
    };
    let mut survey = Survey::new(options);
    let (mut losses, mut copies) = (Vec::new(), None);
    let mut packed = Vec::new();
    for text in texts {
        match text.repeated {
            Some(twice) => survey.begin_repeated(&text.ids, Repeat { start: twice.first, period: twice.len }),
            None => survey.begin_text(&text.ids),
        }
        let len = text.ids.len();
        let causal = transformer.config().mask == Mask::Causal;
        let packers = Packers::new(maps.unwrap_or_default(), len, causal)?;
        let tokens = Tensor::from_slice(&text.ids, (1, len), &Device::Cpu)?;
        let segments = text.segments.as_ref().map(|ids| Tensor::from_slice(ids, (1, len), &Device::Cpu));
        let segments = segments.transpose()?;
        let watcher = Watcher { survey, model, packers, progress, whole: Scope::default() };
        let mut observer = Both(watcher, attnlab_hooks::NoHooks);
        let pass = Pass { segments: segments.as_ref(), ..Pass::new(&tokens) };
        let last = ops::without_gradients(|| transformer.run(pass, &mut observer))?;
        let Both(watcher, _) = observer;
        survey = watcher.survey;
        packed = watcher.packers.finish()?;
        if predicts {
            let of_text = transformer.next_token_losses(&last, &tokens)?.concat();
            if let Some(twice) = text.repeated {
                // The first token of a copy is no more predictable than any.
                let (first, second) = (twice.first, twice.first + twice.len);
                let mean = |from: usize| {
                    let part = of_text.get(from..from + twice.len - 1).unwrap_or_default();
                    part.iter().sum::<f64>() / part.len().max(1) as f64
                };
                copies = Some([mean(first), mean(second)]);
            }
            losses.extend(of_text);
        }
    }
    let loss = (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64);
    let ids = match texts {
        [one] => one.ids.clone(),
        _ => Vec::new(),
    };
    let survey = survey.finish();
    Ok(Reading { label: label.to_owned(), ids, texts: texts.len(), loss, copies, survey, maps: packed })
}

/// Up to so many tokens every head's map is put into a page; a longer one's is a megabyte.
pub(super) const WHOLE: usize = attnlab_report::inspect::MOST_CELLS;

/// The heads in scope.
pub(super) fn heads_in(scope: &MapScope, (n_layers, n_heads): (usize, usize)) -> Vec<(usize, usize)> {
    let heads = scope.heads.indices(n_heads);
    scope
        .layers
        .indices(n_layers)
        .into_iter()
        .flat_map(|layer| heads.iter().map(move |&head| (layer, head)))
        .collect()
}

/// The heads that stand out most by some statistics: those whose maps are worth a megabyte.
pub(super) fn outstanding(survey: &SurveyResult) -> Vec<(usize, usize)> {
    const BY: [&str; 4] = ["first_token", "previous_token", "induction", "duplicate_token"];
    const EACH: usize = 6;
    let mut all: BTreeMap<(usize, usize), ()> = BTreeMap::new();
    for name in BY {
        let mut ranked: Vec<(f64, (usize, usize))> = Vec::new();
        for layer in &survey.layers {
            let scored =
                layer.heads.iter().filter_map(|head| Some((head.mean(name)?, (layer.layer, head.head?))));
            ranked.extend(scored);
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.extend(ranked.into_iter().take(EACH).map(|(_, at)| (at, ())));
    }
    all.into_keys().collect()
}

/// Everything that watches a pass.
struct Watcher<'a> {
    survey: Survey,
    model: &'a Model,
    packers: Packers,
    progress: &'a Slow,
    whole: Scope,
}

impl Observer for Watcher<'_> {
    fn wants(&self, point: Point) -> Want<'_> {
        // The values, whose norms weigh the first token's share.
        if point.site == Site::V { Want::Look(&self.whole) } else { Want::Nothing }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        let Some(layer) = point.layer else { return Ok(None) };
        let norms =
            analysis::value_norms(&self.model.transformer, layer, value).map_err(candle_core::Error::wrap)?;
        let heads = self.model.transformer.config().architecture.n_heads;
        for head in 0..heads {
            let of_head = norms.get(0)?.get(head)?.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?;
            self.survey.value_norms(layer, 0, head, of_head);
        }
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        self.progress.step();
        let rows = self.survey.watch(layer);
        if self.packers.0.keys().any(|&(of, _)| of == layer) {
            return Some(Box::new((rows, PackerRows { packers: &self.packers, layer })));
        }
        Some(Box::new(rows))
    }
}

/// A map on its way into the page, and the first thing that went wrong with it.
type Packing = (MapPacker, Option<InspectError>);

/// A packer for each head whose map is wanted.
struct Packers(BTreeMap<(usize, usize), Mutex<Packing>>);

impl Packers {
    fn new(heads: &[(usize, usize)], tokens: usize, causal: bool) -> Result<Self> {
        let packer = |&at: &(usize, usize)| -> Result<_> {
            Ok((at, Mutex::new((MapPacker::new(tokens, causal, Quantity::Weight)?, None))))
        };
        Ok(Self(heads.iter().map(packer).collect::<Result<_>>()?))
    }

    fn finish(self) -> Result<Vec<Map>> {
        let map = |((layer, head), packer): (_, Mutex<Packing>)| -> Result<Map> {
            match packer.into_inner().unwrap_or_else(PoisonError::into_inner) {
                (_, Some(error)) => Err(error.into()),
                (packer, None) => Ok(Map { layer, head, map: packer.finish()? }),
            }
        };
        self.0.into_iter().map(map).collect()
    }
}

/// The rows of one layer, on their way to the packers.
struct PackerRows<'a> {
    packers: &'a Packers,
    layer: usize,
}

impl WatchRows for PackerRows<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let Some(packer) = self.packers.0.get(&(self.layer, row.head)) else { return };
        let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = packer.0.row(row.row, row.first, row.weights) {
            packer.1.get_or_insert(error);
        }
    }
}
