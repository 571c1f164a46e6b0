//! Scoring a model at lengths within and beyond those it was trained on.
//!
//! Every length has strings of its own, `eval.samples` a bin, unless the beginnings of long strings are distributed and
//! labelled as short strings are and the model reads them as it would short strings: then one pass over long strings
//! scores all lengths (`beginnings`).

mod beginnings;
mod outcome;
mod parts;
mod seen;

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use attnlab_model::Transformer;
use attnlab_ops::Streams;
use attnlab_report::record::{Accuracy, BinScore, LengthScore};
use attnlab_tasks::{Labelling, Split, Tally, Task, baselines};
use candle_core::Device;

use crate::config::{EvalConfig, Lengths, SetLoss};
use crate::error::Result;
use crate::feed::judge;

pub(crate) use outcome::outcome;
pub(crate) use seen::{Marked, trained_on};

/// Sequences that a trivial predictor is fitted on, and as many that it is scored on, at each length.
const BASELINE_SAMPLES: usize = 512;

/// What trivial predictors score, by resolved task and length: the same for every run of it, so it is worked out once.
#[derive(Default)]
pub struct BaselineCache(Mutex<HashMap<(String, usize), Accuracy>>);

impl BaselineCache {
    /// The best trivial predictor of a task at one length, token and exact each by its own best.
    fn get(&self, task: &dyn Task, key: &str, length: usize) -> Result<Accuracy> {
        let key = (key.to_string(), length);
        let lock = || self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(known) = lock().get(&key) {
            return Ok(*known);
        }
        // Its own fixed seed: chance does not depend on a run's.
        let mut rng = Streams::new(0).rng("baselines", length as u64);
        let best = baselines(task, length, BASELINE_SAMPLES, &mut rng)?.best();
        let best = Accuracy { token: best.token, exact: best.exact };
        lock().insert(key, best);
        Ok(best)
    }
}

/// What is scored, and with what.
pub(crate) struct Evaluator<'a> {
    pub(crate) model: &'a Transformer,
    pub(crate) task: &'a dyn Task,
    /// What tells the task from every other: its resolved configuration.
    pub(crate) task_key: &'a str,
    pub(crate) streams: Streams,
    pub(crate) set_loss: SetLoss,
    pub(crate) device: &'a Device,
}

/// Scores by bin and by length.
pub(crate) struct Scores {
    pub(crate) bins: Vec<BinScore>,
    /// Ascending.
    pub(crate) curve: Vec<LengthScore>,
    /// The sequences of the first bin, whose lengths were trained on; of a text none.
    pub(crate) strings: Vec<Marked>,
}

/// What was scored of a bin.
#[derive(Default)]
struct Bin {
    lengths: Vec<Scored>,
    sequences: usize,
    distinct: usize,
    strings: Vec<Marked>,
}

/// Sums over the sequences of one length.
#[derive(Default)]
struct Scored {
    length: usize,
    sequences: usize,
    tally: Tally,
    loss: f64,
}

impl Evaluator<'_> {
    /// In-distribution accuracy on sequences that are the same at every step of a run, and are not those of
    /// [`Evaluator::bins`]. Nothing else is looked at while a run goes on, so no choice can follow the bins beyond.
    pub(crate) fn validate(&self, config: &EvalConfig) -> Result<Accuracy> {
        let lengths = lengths_of(self.task, config.bins[0], config.points);
        self.accuracy(&lengths, config.samples, Labelling::True, "validation")
    }

    /// Scores by bin and by length.
    pub(crate) fn bins(&self, config: &EvalConfig, baselines: &BaselineCache) -> Result<Scores> {
        let lengths: Vec<Vec<usize>> =
            config.bins.iter().map(|&bin| lengths_of(self.task, bin, config.points)).collect();
        let scored = if self.task.prefixes_alike() && self.model.is_incremental() {
            self.beginnings(&lengths, config.samples)?
        } else {
            lengths.iter().map(|lengths| self.strings(lengths, config.samples)).collect::<Result<_>>()?
        };
        let mut scores = Scores { bins: Vec::new(), curve: Vec::new(), strings: Vec::new() };
        for (i, (bin, range)) in scored.into_iter().zip(&config.bins).enumerate() {
            let permuted = if i == 0 { self.permuted(&lengths[0], config.samples)? } else { None };
            let parts = self.parts(&lengths[i], config.samples)?;
            let bin_score = self.summed(&bin, *range, baselines, &mut scores.curve)?;
            scores.bins.push(BinScore { permuted, parts, ..bin_score });
            if i == 0 && self.task.has_answer() {
                scores.strings = bin.strings;
            }
        }
        scores.curve.sort_by_key(|score| score.length);
        Ok(scores)
    }

    /// A bin's sums, and a point of the curve for each of its lengths.
    fn summed(
        &self,
        bin: &Bin,
        [from, to]: Lengths,
        baselines: &BaselineCache,
        curve: &mut Vec<LengthScore>,
    ) -> Result<BinScore> {
        let (mut total, mut loss, mut chance) = (Tally::default(), 0.0, Accuracy::default());
        for scored in &bin.lengths {
            let best = baselines.get(self.task, self.task_key, scored.length)?;
            // Weighted as the accuracies are: by labels, and by sequences.
            chance.token += best.token * scored.tally.labels as f64;
            chance.exact += best.exact * scored.tally.sequences as f64;
            curve.push(LengthScore {
                length: scored.length,
                sequences: scored.sequences,
                loss: scored.loss / scored.tally.labels.max(1) as f64,
                accuracy: accuracy(&scored.tally),
                chance: best,
            });
            total.merge(&scored.tally);
            loss += scored.loss;
        }
        chance.token /= total.labels.max(1) as f64;
        chance.exact /= total.sequences.max(1) as f64;
        Ok(BinScore {
            from,
            to,
            sequences: bin.sequences,
            distinct: bin.distinct,
            loss: loss / total.labels.max(1) as f64,
            accuracy: accuracy(&total),
            chance,
            permuted: None,
            seen: None,
            unseen: None,
            parts: Vec::new(),
        })
    }

    /// `samples` strings, shared among the lengths.
    fn strings(&self, lengths: &[usize], samples: usize) -> Result<Bin> {
        let rows = rows_each(samples, lengths);
        let mut bin = Bin { sequences: rows * lengths.len(), ..Bin::default() };
        for &length in lengths {
            let (mut tally, mut hashes) = (Tally::default(), HashSet::new());
            let loss = self.score(length, rows, Labelling::True, "evaluation", |of_row, tokens| {
                let hash = seen::hash(tokens);
                hashes.insert(hash);
                tally.merge(of_row);
                bin.strings.push(Marked { length, hash, tally: *of_row });
            })?;
            bin.distinct += hashes.len();
            bin.lengths.push(Scored { length, sequences: rows, tally, loss });
        }
        Ok(bin)
    }

    /// Accuracy if the symbols of each input are shuffled and its labels are not.
    fn permuted(&self, lengths: &[usize], samples: usize) -> Result<Option<Accuracy>> {
        if !self.task.has_answer() {
            return Ok(None);
        }
        self.accuracy(lengths, samples, Labelling::Permuted, "permuted").map(Some)
    }

    /// Accuracy on `samples` strings, shared among the lengths.
    fn accuracy(
        &self,
        lengths: &[usize],
        samples: usize,
        labelling: Labelling,
        purpose: &str,
    ) -> Result<Accuracy> {
        let mut tally = Tally::default();
        for &length in lengths {
            self.score(length, rows_each(samples, lengths), labelling, purpose, |of_row, _| {
                tally.merge(of_row)
            })?;
        }
        Ok(accuracy(&tally))
    }

    /// Shows what was right of each of `rows` sequences, and its tokens; the sum of the loss.
    fn score(
        &self,
        length: usize,
        rows: usize,
        labelling: Labelling,
        purpose: &str,
        mut see: impl FnMut(&Tally, &[u32]),
    ) -> Result<f64> {
        let mut rng = self.streams.rng(purpose, length as u64);
        let batch = self.task.batch_as(Split::Test, rows, length, labelling, &mut rng)?;
        let mut rng = self.streams.rng("evaluation places", length as u64);
        let (loss, said) = judge(self.model, &batch, self.set_loss, self.device, &mut rng)?;
        let right = batch.right(&said)?;
        let len = batch.len.max(1);
        for (right, tokens) in right.chunks(len).zip(batch.tokens.chunks(len)) {
            let mut of_row = OfRow::default();
            right.iter().for_each(|right| of_row.add(*right));
            see(&of_row.tally(), tokens);
        }
        Ok(loss)
    }
}

/// What is right so far of one sequence.
#[derive(Clone, Copy, Default)]
struct OfRow {
    labels: u64,
    right: u64,
}

impl OfRow {
    /// Counts a position, if it has a label.
    fn add(&mut self, right: Option<bool>) {
        self.labels += u64::from(right.is_some());
        self.right += u64::from(right == Some(true));
    }

    /// As a sequence that ends here.
    fn tally(&self) -> Tally {
        Tally::of_sequence(self.labels, self.right)
    }
}

/// At most `points` lengths (0: all) that the task admits, evenly spread from the first to the last.
pub(crate) fn lengths_of(task: &dyn Task, [from, to]: Lengths, points: usize) -> Vec<usize> {
    let all: Vec<usize> = (from..=to).filter(|&length| task.admits(length)).collect();
    if points == 0 || all.len() <= points {
        return all;
    }
    if points == 1 {
        return all.last().copied().into_iter().collect();
    }
    (0..points).map(|i| all[i * (all.len() - 1) / (points - 1)]).collect()
}

/// Strings of each length if `samples` are shared among them.
fn rows_each(samples: usize, lengths: &[usize]) -> usize {
    samples.div_ceil(lengths.len().max(1))
}

/// Shares of what was counted.
pub(crate) fn accuracy(tally: &Tally) -> Accuracy {
    if tally.sequences == 0 {
        return Accuracy::default();
    }
    Accuracy { token: tally.token_accuracy(), exact: tally.exact_match() }
}
