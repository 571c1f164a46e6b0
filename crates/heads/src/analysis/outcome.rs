//! What a run came to, and how far another run of the same input is from it.

use attnlab_model::Transformer;
use candle_core::{D, DType, Tensor};

use super::effect::{AnswerEffect, Effect};
use super::error::{AnalysisError, Result};
use super::input::{Input, check_token};
use super::numbers::exact;

/// Logits that are held at a time when they are computed in pieces.
const PIECE: usize = 1 << 22;
/// Logits of the unedited run that are kept; of longer ones they are computed again for every comparison.
const KEPT: usize = 1 << 26;

/// A run without edits: everything that others are compared with.
pub(crate) struct Outcome<'a> {
    model: &'a Transformer,
    hidden: Tensor, // (T, D)
    targets: Vec<(usize, u32)>,
    answer: Option<(u32, Option<u32>)>,
    /// None for a body without head.
    said: Option<Said>,
}

struct Said {
    /// (T, V), unless that is too much.
    logits: Option<Tensor>,
    rows: Vec<Row>,
}

/// Of one position's logits: ln Σ exp, and the largest one's token.
#[derive(Clone, Copy)]
struct Row {
    log_sum: f64,
    best: usize,
}

impl Row {
    fn of(logits: &[f64]) -> Self {
        let mut best = 0;
        for (token, logit) in logits.iter().enumerate() {
            if *logit > logits[best] {
                best = token;
            }
        }
        let max = logits.get(best).copied().unwrap_or(f64::NEG_INFINITY);
        let sum: f64 = logits.iter().map(|logit| (logit - max).exp()).sum();
        Self { log_sum: max + sum.ln(), best }
    }
}

impl<'a> Outcome<'a> {
    /// Of the model's final hidden states (1, T, D).
    pub(crate) fn new(model: &'a Transformer, input: &Input, hidden: &Tensor) -> Result<Self> {
        let config = model.config();
        let hidden = hidden.squeeze(0)?;
        let targets = input.targets_of(config)?;
        let answer = match input.answer {
            None => None,
            Some(answer) => {
                check_token(answer.token, config)?;
                answer.foil.map(|foil| check_token(foil, config)).transpose()?;
                Some((answer.token, answer.foil))
            }
        };
        let mut outcome = Self { model, hidden, targets, answer, said: None };
        if config.n_outputs > 0 {
            let mut said = Said { logits: None, rows: Vec::new() };
            if input.len() * config.n_outputs <= KEPT {
                said.logits = Some(model.logits(&outcome.hidden)?);
            }
            let mut rows = Vec::with_capacity(input.len());
            for (start, len) in outcome.pieces() {
                let logits = match &said.logits {
                    Some(logits) => logits.narrow(0, start, len)?,
                    None => model.logits(&outcome.hidden.narrow(0, start, len)?)?,
                };
                rows.extend(exact(&logits)?.chunks_exact(config.n_outputs).map(Row::of));
            }
            said.rows = rows;
            outcome.said = Some(said);
        }
        Ok(outcome)
    }

    fn pieces(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let len = self.hidden.dims().first().copied().unwrap_or(0);
        let rows = (PIECE / self.model.config().n_outputs.max(1)).clamp(1, len.max(1));
        (0..len).step_by(rows).map(move |start| (start, rows.min(len - start)))
    }

    /// The answer's logit, less the foil's.
    pub(super) fn answer_logit(&self) -> Result<Option<f64>> {
        let Some(answer) = self.answer else { return Ok(None) };
        let last = self.hidden.narrow(0, self.hidden.dim(0)? - 1, 1)?;
        Ok(Some(difference(&exact(&self.model.logits(&last)?)?, answer)))
    }

    /// How far final hidden states (1, T, D) of the same input are from this run's.
    pub(crate) fn compare(&self, hidden: &Tensor) -> Result<Tally> {
        let after = hidden.squeeze(0)?;
        if after.dims() != self.hidden.dims() {
            return Err(AnalysisError::Shape {
                what: "the edited run's hidden states",
                found: after.dims().to_vec(),
                expected: format!("{:?}", self.hidden.dims()),
            });
        }
        let positions = after.dim(0)?;
        let mut tally = Tally { texts: 1, positions, ..Tally::default() };
        let length = |x: Tensor| -> Result<Vec<f64>> {
            exact(&x.to_dtype(DType::F64)?.sqr()?.sum(D::Minus1)?.sqrt()?)
        };
        let (moved, before) = (length((&after - &self.hidden)?)?, length(self.hidden.clone())?);
        let share = |(moved, before): (&f64, &f64)| if *moved == 0.0 { 0.0 } else { moved / before };
        tally.hidden = moved.iter().zip(&before).map(share).sum();
        let Some(said) = &self.said else { return Ok(tally) };
        let outputs = self.model.config().n_outputs;
        tally.has_logits = true;
        tally.targets = self.targets.len();
        for (start, len) in self.pieces() {
            let x = match &said.logits {
                Some(logits) => logits.narrow(0, start, len)?,
                None => self.model.logits(&self.hidden.narrow(0, start, len)?)?,
            };
            let (x, y) = (exact(&x)?, exact(&self.model.logits(&after.narrow(0, start, len)?)?)?);
            let mut ends = Vec::with_capacity(len);
            for (i, (x, y)) in x.chunks_exact(outputs).zip(y.chunks_exact(outputs)).enumerate() {
                let (before, after) = (said.rows[start + i], Row::of(y));
                let pull = |(x, y): (&f64, &f64)| {
                    let weight = (x - before.log_sum).exp();
                    if weight == 0.0 { 0.0 } else { weight * (x - y) }
                };
                // KL(p‖q) = Σ p·(x − y) − ln Σ exp x + ln Σ exp y; it is never below 0 but for rounding.
                let pull: f64 = x.iter().zip(y).map(pull).sum();
                let kl = (pull - before.log_sum + after.log_sum).max(0.0);
                tally.kl += kl;
                tally.top1 += usize::from(before.best != after.best);
                if start + i + 1 == positions {
                    tally.kl_last += kl;
                    if let Some(answer) = self.answer {
                        let token = answer.0 as usize;
                        tally.answer = Some(AnswerEffect {
                            logit_before: difference(x, answer),
                            logit_after: difference(y, answer),
                            log_prob_before: x[token] - before.log_sum,
                            log_prob_after: y[token] - after.log_sum,
                        });
                    }
                }
                ends.push(after.log_sum);
            }
            for &(position, token) in &self.targets {
                if !(start..start + len).contains(&position) {
                    continue;
                }
                let (i, token) = (position - start, token as usize);
                let (before, after) = (x[i * outputs + token], y[i * outputs + token]);
                tally.logit_before += before;
                tally.logit_after += after;
                tally.loss_before += said.rows[position].log_sum - before;
                tally.loss_after += ends[i] - after;
            }
        }
        Ok(tally)
    }
}

/// The logit of the right token, less the wrong one's.
fn difference(logits: &[f64], (token, foil): (u32, Option<u32>)) -> f64 {
    logits[token as usize] - foil.map_or(0.0, |foil| logits[foil as usize])
}

/// Sums over positions, targets and texts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    texts: usize,
    positions: usize,
    targets: usize,
    has_logits: bool,
    loss_before: f64,
    loss_after: f64,
    logit_before: f64,
    logit_after: f64,
    kl: f64,
    kl_last: f64,
    top1: usize,
    hidden: f64,
    answer: Option<AnswerEffect>,
}

impl Tally {
    /// Adds another text's.
    pub(super) fn add(&mut self, other: &Self) {
        // An answer is one text's; of several there is none.
        self.answer = if self.texts == 0 { other.answer } else { None };
        self.texts += other.texts;
        self.positions += other.positions;
        self.targets += other.targets;
        self.has_logits |= other.has_logits;
        self.loss_before += other.loss_before;
        self.loss_after += other.loss_after;
        self.logit_before += other.logit_before;
        self.logit_after += other.logit_after;
        self.kl += other.kl;
        self.kl_last += other.kl_last;
        self.top1 += other.top1;
        self.hidden += other.hidden;
    }

    /// The difference of the losses, if there is one.
    pub(super) fn delta_loss(&self) -> Option<f64> {
        (self.targets > 0).then(|| (self.loss_after - self.loss_before) / self.targets as f64)
    }

    /// The means.
    pub(crate) fn effect(&self) -> Effect {
        let of_targets = |sum: f64| (self.targets > 0).then(|| sum / self.targets as f64);
        let of = |sum: f64, count: usize| self.has_logits.then(|| sum / count.max(1) as f64);
        Effect {
            positions: self.positions,
            targets: self.targets,
            loss_before: of_targets(self.loss_before),
            loss_after: of_targets(self.loss_after),
            delta_loss: self.delta_loss(),
            target_logit_before: of_targets(self.logit_before),
            target_logit_after: of_targets(self.logit_after),
            kl: of(self.kl, self.positions),
            kl_last: of(self.kl_last, self.texts),
            top1_changes: self.has_logits.then_some(self.top1),
            hidden_change: self.hidden / self.positions.max(1) as f64,
            answer: self.answer,
        }
    }
}
