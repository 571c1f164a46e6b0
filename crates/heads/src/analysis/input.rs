//! One sequence, and what is expected of it.

use attnlab_model::{ModelConfig, Pass, Transformer};
use candle_core::Tensor;

use super::error::{AnalysisError, Result};

/// One sequence to analyse.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The segment of each token, for a model that has them; 0 by default.
    pub segments: Option<Vec<u32>>,
    /// What the model is to predict, which the loss is of.
    pub targets: Targets,
    /// What the model is to say at the last position, if that is known.
    pub answer: Option<Answer>,
}

/// What a model is to predict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Targets {
    /// At each position the token that follows, if the model is causal and predicts tokens; else nothing.
    #[default]
    Next,
    /// These tokens at these positions: what a masked language model is asked for.
    At(Vec<(usize, u32)>),
}

/// What a model is to say at the last position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The right token.
    pub token: u32,
    /// A wrong one, whose logit is subtracted.
    pub foil: Option<u32>,
}

impl Input {
    /// A sequence whose targets are the tokens that follow.
    pub fn new(tokens: impl Into<Vec<u32>>) -> Self {
        Self { tokens: tokens.into(), ..Self::default() }
    }

    /// With an answer, and a foil.
    #[must_use]
    pub fn answer(mut self, token: u32, foil: Option<u32>) -> Self {
        self.answer = Some(Answer { token, foil });
        self
    }

    /// Keeps the first tokens only, and the targets among them; an answer, which belongs to the end, goes.
    pub fn truncate(&mut self, tokens: usize) {
        if tokens >= self.len() {
            return;
        }
        self.tokens.truncate(tokens);
        if let Some(segments) = &mut self.segments {
            segments.truncate(tokens);
        }
        if let Targets::At(list) = &mut self.targets {
            list.retain(|&(position, _)| position < tokens);
        }
        self.answer = None;
    }

    /// Number of tokens T.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The sequence as the model reads it.
    pub(crate) fn load(&self, model: &Transformer) -> Result<Loaded> {
        if self.is_empty() {
            return Err(AnalysisError::Empty { what: "input" });
        }
        let (shape, device) = ((1, self.len()), model.device());
        Ok(Loaded {
            tokens: Tensor::from_slice(&self.tokens, shape, device)?,
            segments: match &self.segments {
                Some(ids) if ids.len() != self.len() => {
                    return Err(AnalysisError::Shape {
                        what: "segments",
                        found: vec![ids.len()],
                        expected: format!("one for each of {} tokens", self.len()),
                    });
                }
                Some(ids) => Some(Tensor::from_slice(ids, shape, device)?),
                None => None,
            },
        })
    }

    /// Positions and the tokens expected there, each of which the model has.
    pub(super) fn targets_of(&self, config: &ModelConfig) -> Result<Vec<(usize, u32)>> {
        let targets = match &self.targets {
            Targets::Next if config.predicts_next_token() => {
                self.tokens.iter().skip(1).copied().enumerate().collect()
            }
            Targets::Next => Vec::new(),
            Targets::At(list) => list.clone(),
        };
        for &(position, token) in &targets {
            if position >= self.len() {
                return Err(AnalysisError::NoSuchPosition { position, len: self.len() });
            }
            check_token(token, config)?;
        }
        Ok(targets)
    }
}

/// Refuses a token without a logit.
pub(super) fn check_token(token: u32, config: &ModelConfig) -> Result<()> {
    let outputs = config.n_outputs;
    if token as usize >= outputs { Err(AnalysisError::NoSuchToken { token, outputs }) } else { Ok(()) }
}

/// Refuses a model whose head does not predict tokens.
pub(super) fn check_vocabulary(what: &'static str, config: &ModelConfig) -> Result<()> {
    let (vocabulary, outputs) = (config.vocab_size, config.n_outputs);
    if outputs == vocabulary {
        Ok(())
    } else {
        Err(AnalysisError::NoVocabulary { what, vocabulary, outputs })
    }
}

/// Positions that exist, or all of them.
pub(super) fn positions_or_all(positions: Option<&[usize]>, len: usize) -> Result<Vec<usize>> {
    let Some(positions) = positions else { return Ok((0..len).collect()) };
    match positions.iter().find(|&&position| position >= len) {
        Some(&position) => Err(AnalysisError::NoSuchPosition { position, len }),
        None if positions.is_empty() => Err(AnalysisError::Empty { what: "positions" }),
        None => Ok(positions.to_vec()),
    }
}

/// A sequence as the model reads it.
pub(crate) struct Loaded {
    /// (1, T).
    pub(super) tokens: Tensor,
    segments: Option<Tensor>,
}

impl Loaded {
    pub(crate) fn pass(&self) -> Pass<'_> {
        Pass { segments: self.segments.as_ref(), ..Pass::new(&self.tokens) }
    }
}
