//! Reading texts with every head watched: statistics, losses, packed maps.

use std::collections::BTreeSet;

use anyhow::Result;
use attnlab_heads::{MapScope, Repeat, Survey, SurveyOptions, SurveyResult, analysis};
use attnlab_hooks::{Both, Observer, Point, Scope, Site, Want};
use attnlab_model::Pass;
use attnlab_ops::{self as ops, WatchRows};
use attnlab_report::inspect::Map;
use candle_core::{Device, Tensor};

use super::packers::Packers;
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

/// Reads texts, all together as one reading; of one text with the maps of these heads.
pub(super) fn read(
    model: &Model,
    texts: &[Text],
    label: &str,
    maps: &[(usize, usize)],
    options: SurveyOptions,
    progress: &Slow,
) -> Result<Reading> {
    let transformer = &model.transformer;
    let mut watcher = Watcher { survey: Survey::new(options), model, progress, whole: Scope::default() };
    let (mut losses, mut copies) = (Vec::new(), None);
    let mut packed = Vec::new();
    for text in texts {
        match text.repeated {
            Some(twice) => watcher.survey.begin_repeated(&text.ids, twice),
            None => watcher.survey.begin_text(&text.ids),
        }
        let mut observer = Both(watcher, Packers::new(maps, model, text)?);
        let (tokens, last) = pass(model, text, &mut observer)?;
        let packers;
        Both(watcher, packers) = observer;
        packed = packers.finish()?;
        if transformer.config().predicts_next_token() {
            let of_text = transformer.next_token_losses(&last, &tokens)?.concat();
            if let Some(Repeat { start, period }) = text.repeated {
                // The first token of a copy is no more predictable than any.
                let mean = |from: usize| {
                    let part = of_text.get(from..from + period - 1).unwrap_or_default();
                    part.iter().sum::<f64>() / part.len().max(1) as f64
                };
                copies = Some([mean(start), mean(start + period)]);
            }
            losses.extend(of_text);
        }
    }
    let loss = (!losses.is_empty()).then(|| losses.iter().sum::<f64>() / losses.len() as f64);
    let ids = match texts {
        [one] => one.ids.clone(),
        _ => Vec::new(),
    };
    let survey = watcher.survey.finish();
    Ok(Reading { label: label.to_owned(), ids, texts: texts.len(), loss, copies, survey, maps: packed })
}

/// The maps of these heads of a text, and nothing else.
pub(super) fn maps(model: &Model, text: &Text, heads: &[(usize, usize)]) -> Result<Vec<Map>> {
    let mut packers = Packers::new(heads, model, text)?;
    pass(model, text, &mut packers)?;
    packers.finish()
}

/// The tokens (1, T) of a text and the model's final hidden states of them (1, T, D).
fn pass<O: Observer>(model: &Model, text: &Text, observer: &mut O) -> Result<(Tensor, Tensor)> {
    let row = |ids: &Vec<u32>| Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu);
    let tokens = row(&text.ids)?;
    let segments = text.segments.as_ref().map(row).transpose()?;
    let pass = Pass { segments: segments.as_ref(), ..Pass::new(&tokens) };
    let last = ops::without_gradients(|| model.transformer.run(pass, observer))?;
    Ok((tokens, last))
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
    let mut all = BTreeSet::new();
    for name in BY {
        let mut ranked: Vec<(f64, (usize, usize))> = Vec::new();
        for layer in &survey.layers {
            let scored =
                layer.heads.iter().filter_map(|head| Some((head.mean(name)?, (layer.layer, head.head?))));
            ranked.extend(scored);
        }
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        all.extend(ranked.into_iter().take(EACH).map(|(_, at)| at));
    }
    all.into_iter().collect()
}

/// The survey, the norms of the values that it weighs with, and the progress.
struct Watcher<'a> {
    survey: Survey,
    model: &'a Model,
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
        Some(Box::new(self.survey.watch(layer)))
    }
}
