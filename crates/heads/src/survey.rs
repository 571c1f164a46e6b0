//! Statistics of every head, from rows of the pattern that stream by.
//!
//! A [`Survey`] watches attention ([`attnlab_ops::WatchRows`]): the kernel shows it each row while it is in memory, so
//! that no map is ever made. What is kept of a head while a text runs is a number per metric, a sum per key and a sum
//! per distance; of a text that is over, its statistics. Texts count alike, and give each statistic its interval.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use attnlab_hooks::{HookError, Observer, Point, Want};
use attnlab_ops::{WatchRows, WatchedRow};
use candle_core::Tensor;

use crate::digest::Constants;
use crate::gather::{Gathered, OfText};
use crate::result::{HeadSummary, LayerSummary, SurveyResult};
use crate::text::{Repeat, Text};

/// What a survey is to know before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SurveyOptions {
    /// Constants of the definitions.
    pub constants: Constants,
    /// How many of the keys with the largest sink rate are named.
    pub sinks: usize,
    /// Keys that fewer queries of a text see are not named: a mean over a few rows says little.
    pub sink_queries: usize,
    /// Sink rates are kept for so many keys from the first on.
    pub profile: usize,
}

impl Default for SurveyOptions {
    fn default() -> Self {
        Self { constants: Constants::default(), sinks: 5, sink_queries: 16, profile: usize::MAX }
    }
}

/// Layer, sequence of the batch, head.
type Key = (usize, usize, usize);

/// The statistics of every head of every layer that shows its rows, over any number of texts. Rows of a sequence for
/// which no text was begun are not looked at: a result without layers is one of a survey that saw nothing.
///
/// ```text
/// survey.begin_text(&tokens);  model.forward(…, &mut survey);  …  survey.finish()
/// ```
#[derive(Debug, Default)]
pub struct Survey {
    options: SurveyOptions,
    texts: Vec<Text>,
    /// Texts, and their tokens, that are over.
    over: [usize; 2],
    /// Heads whose rows are coming.
    coming: RwLock<HashMap<Key, Arc<Mutex<OfText>>>>,
    /// Heads of the present texts whose last row has come.
    done: Mutex<BTreeMap<Key, Gathered>>,
    /// What uniform attention scores in the same rows, by the sequence and the rows' shape; and each layer's.
    uniform: Mutex<HashMap<(usize, u64), Gathered>>,
    shapes: Mutex<BTreeMap<(usize, usize), u64>>,
    norms: Mutex<HashMap<Key, Vec<f32>>>,
    summaries: BTreeMap<(usize, usize), HeadSummary>,
    baselines: BTreeMap<usize, HeadSummary>,
}

impl Survey {
    /// Nothing seen yet.
    pub fn new(options: SurveyOptions) -> Self {
        Self { options, ..Self::default() }
    }

    /// The next forward pass is of this text, the only sequence of its batch.
    pub fn begin_text(&mut self, tokens: &[u32]) {
        self.begin_batch(&[(tokens, None)]);
    }

    /// The next forward pass is of this text, which says something twice.
    pub fn begin_repeated(&mut self, tokens: &[u32], repeat: Repeat) {
        self.begin_batch(&[(tokens, Some(repeat))]);
    }

    /// The next forward pass is of these texts, one a sequence of the batch. Rows and keys beyond the end of a text
    /// are padding and not looked at; padding in front must be cut off by the caller.
    pub fn begin_batch(&mut self, texts: &[(&[u32], Option<Repeat>)]) {
        self.settle();
        self.texts = texts.iter().map(|(tokens, repeat)| Text::new(tokens, *repeat)).collect();
    }

    /// ‖v_j W_O‖ of each key j for a head, `(Tk)`, before its rows come: for `value_weighted_first_token`.
    pub fn value_norms(&self, layer: usize, batch: usize, head: usize, norms: Vec<f32>) {
        lock(&self.norms).insert((layer, batch, head), norms);
    }

    /// The watcher of one layer.
    pub fn watch(&self, layer: usize) -> LayerWatch<'_> {
        LayerWatch { survey: self, layer }
    }

    /// All statistics of all texts.
    pub fn finish(mut self) -> SurveyResult {
        self.settle();
        let Self { options, over: [texts, tokens], mut summaries, baselines, .. } = self;
        let layers = baselines.into_iter().map(|(layer, baseline)| {
            let later = summaries.split_off(&(layer + 1, 0));
            let heads = std::mem::replace(&mut summaries, later).into_iter();
            LayerSummary {
                layer,
                heads: heads.map(|((_, head), summary)| summary.result(Some(head), &options)).collect(),
                uniform: baseline.result(None, &options),
            }
        });
        SurveyResult { texts, tokens, constants: options.constants, layers: layers.collect() }
    }

    /// Adds what the present texts gave to what there is, in an order that does not depend on threads.
    fn settle(&mut self) {
        let texts = std::mem::take(&mut self.texts);
        let coming = std::mem::take(self.coming.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut done = std::mem::take(own(&mut self.done));
        // A pass that was broken off, or of fewer rows than tokens.
        for (key, head) in coming {
            if let Some(head) = Arc::into_inner(head) {
                let head = head.into_inner().unwrap_or_else(PoisonError::into_inner);
                done.entry(key).or_insert_with(|| self.gather(key, head));
            }
        }
        if done.is_empty() {
            return;
        }
        self.over[0] += texts.len();
        self.over[1] += texts.iter().map(Text::len).sum::<usize>();
        for ((layer, _, head), gathered) in done {
            self.summaries.entry((layer, head)).or_default().add(&gathered);
        }
        let uniform = std::mem::take(own(&mut self.uniform));
        for ((layer, batch), shape) in std::mem::take(own(&mut self.shapes)) {
            if let Some(gathered) = uniform.get(&(batch, shape)) {
                self.baselines.entry(layer).or_default().add(gathered);
            }
        }
        own(&mut self.norms).clear();
    }

    fn row(&self, layer: usize, row: &WatchedRow<'_>) {
        let (Some(text), Ok(query)) = (self.texts.get(row.batch), usize::try_from(row.query)) else { return };
        let key = (layer, row.batch, row.head);
        if query >= text.len() {
            return;
        }
        let coming = self.coming.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let head = coming.unwrap_or_else(|| {
            let mut coming = self.coming.write().unwrap_or_else(PoisonError::into_inner);
            let norms = || lock(&self.norms).remove(&key);
            let head =
                coming.entry(key).or_insert_with(|| Arc::new(Mutex::new(OfText::new(text.len(), norms()))));
            Arc::clone(head)
        });
        lock(&head).add(row, query, text, &self.options.constants);
        if query + 1 == text.len() {
            drop(head);
            let head = self.coming.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
            if let Some(head) = head.and_then(Arc::into_inner) {
                let head = head.into_inner().unwrap_or_else(PoisonError::into_inner);
                let gathered = self.gather(key, head);
                lock(&self.done).insert(key, gathered);
            }
        }
    }

    /// The statistics of a head and a text, and of uniform attention in the same rows if nobody had them before.
    fn gather(&self, (layer, batch, head): Key, of_text: OfText) -> Gathered {
        if head == 0 || !lock(&self.shapes).contains_key(&(layer, batch)) {
            let mut hasher = DefaultHasher::new();
            of_text.rows.hash(&mut hasher);
            let shape = hasher.finish();
            lock(&self.shapes).insert((layer, batch), shape);
            if !lock(&self.uniform).contains_key(&(batch, shape)) {
                let text = self.texts.get(batch);
                let uniform = OfText::uniform(&of_text.rows, text, &self.options.constants);
                lock(&self.uniform).insert((batch, shape), uniform.gather(&self.options));
            }
        }
        of_text.gather(&self.options)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn own<T>(mutex: &mut Mutex<T>) -> &mut T {
    mutex.get_mut().unwrap_or_else(PoisonError::into_inner)
}

/// Watches one layer for a [`Survey`].
#[derive(Clone, Copy, Debug)]
pub struct LayerWatch<'a> {
    survey: &'a Survey,
    layer: usize,
}

impl WatchRows for LayerWatch<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        self.survey.row(self.layer, row);
    }
}

impl Observer for Survey {
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    fn see(&mut self, _: Point, _: &Tensor) -> Result<Option<Tensor>, HookError> {
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        Some(Box::new(self.watch(layer)))
    }
}
