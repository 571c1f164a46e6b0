//! Scoring a model at lengths within and beyond those it was trained on.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use attnlab_model::Transformer;
use attnlab_ops::Streams;
use attnlab_report::record::{Accuracy, BinScore, LengthScore, Metric, Outcome};
use attnlab_tasks::{Split, Tally, Task, baselines};
use candle_core::Device;

use crate::config::{EvalConfig, Lengths};
use crate::error::Result;
use crate::feed::judge;
use crate::step::micro_batch_rows;

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
    pub(crate) device: &'a Device,
}

/// Sums over the sequences of some length.
#[derive(Default)]
struct Scored {
    tally: Tally,
    loss: f64,
    distinct: usize,
}

impl Evaluator<'_> {
    /// In-distribution accuracy on sequences that are the same at every step of a run, and are not those of
    /// [`Evaluator::bins`].
    pub(crate) fn validate(&self, config: &EvalConfig) -> Result<Accuracy> {
        let mut tally = Tally::default();
        let lengths = lengths_of(self.task, config.bins[0], config.points);
        let rows = config.samples.div_ceil(lengths.len().max(1));
        for length in lengths {
            tally.merge(&self.score(length, rows, "validation")?.tally);
        }
        Ok(accuracy(&tally))
    }

    /// Scores by bin and by length.
    pub(crate) fn bins(
        &self,
        config: &EvalConfig,
        baselines: &BaselineCache,
    ) -> Result<(Vec<BinScore>, Vec<LengthScore>)> {
        let (mut bins, mut curve) = (Vec::new(), Vec::new());
        for &bin in &config.bins {
            let lengths = lengths_of(self.task, bin, config.points);
            let rows = config.samples.div_ceil(lengths.len().max(1));
            let mut total = Scored::default();
            let mut chance = Accuracy::default();
            for &length in &lengths {
                let scored = self.score(length, rows, "evaluation")?;
                let best = baselines.get(self.task, self.task_key, length)?;
                // Weighted as the accuracies are: by labels, and by sequences.
                chance.token += best.token * scored.tally.labels as f64;
                chance.exact += best.exact * scored.tally.sequences as f64;
                curve.push(LengthScore {
                    length,
                    sequences: rows,
                    loss: scored.loss / scored.tally.labels.max(1) as f64,
                    accuracy: accuracy(&scored.tally),
                    chance: best,
                });
                total.tally.merge(&scored.tally);
                total.loss += scored.loss;
                total.distinct += scored.distinct;
            }
            chance.token /= total.tally.labels.max(1) as f64;
            chance.exact /= total.tally.sequences.max(1) as f64;
            bins.push(BinScore {
                from: bin[0],
                to: bin[1],
                sequences: rows * lengths.len(),
                distinct: total.distinct,
                loss: total.loss / total.tally.labels.max(1) as f64,
                accuracy: accuracy(&total.tally),
                chance,
            });
        }
        curve.sort_by_key(|score| score.length);
        Ok((bins, curve))
    }

    fn score(&self, length: usize, rows: usize, purpose: &str) -> Result<Scored> {
        let mut rng = self.streams.rng(purpose, length as u64);
        let batch = self.task.batch(Split::Test, rows, length, &mut rng)?;
        let at_once = micro_batch_rows(self.model.config(), batch.len);
        let (loss, said) = judge(self.model, &batch, at_once, self.device)?;
        let mut tally = Tally::default();
        tally.add(&batch, &said)?;
        let distinct = batch.tokens.chunks(batch.len.max(1)).collect::<HashSet<_>>().len();
        Ok(Scored { tally, loss, distinct })
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

/// What a finished run came to. The first bin holds the training lengths.
pub(crate) fn outcome(
    task: &dyn Task,
    bins: &[BinScore],
    curve: &[LengthScore],
    metric: Metric,
    solved: f64,
) -> Outcome {
    if !task.has_answer() {
        return Outcome::Measured;
    }
    let holds = |bin: &BinScore| bin.accuracy.of(metric) >= solved;
    let Some((first, beyond)) = bins.split_first() else { return Outcome::Measured };
    if !holds(first) {
        return Outcome::FailsToTrain;
    }
    let Some(broken) = beyond.iter().find(|bin| !holds(bin)) else { return Outcome::Generalises };
    // One length has few sequences, so a single miss must not count as the break: the length is below the bar, and
    // so is the mean of everything from there on.
    let tail: Vec<&LengthScore> = curve.iter().filter(|score| score.length > first.to).collect();
    let mean = |scores: &[&LengthScore]| {
        scores.iter().map(|s| s.accuracy.of(metric)).sum::<f64>() / scores.len().max(1) as f64
    };
    let breaks = (0..tail.len()).find(|&i| tail[i].accuracy.of(metric) < solved && mean(&tail[i..]) < solved);
    Outcome::FailsToGeneralise { breaks_at: breaks.map_or(broken.from, |i| tail[i].length) }
}

fn accuracy(tally: &Tally) -> Accuracy {
    if tally.sequences == 0 {
        return Accuracy::default();
    }
    Accuracy { token: tally.token_accuracy(), exact: tally.exact_match() }
}
