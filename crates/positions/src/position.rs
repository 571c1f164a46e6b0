//! The trait every encoding implements: three moments, each a no-op by default.

use attnlab_ops::{DistanceBias, Rng};
use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::places::Places;

/// What an encoding adds to the attention scores.
#[derive(Clone, Debug)]
pub enum Bias {
    /// Nothing.
    None,
    /// A value per head and distance i − j: the fused kernel takes it as it is.
    Distance(DistanceBias),
    /// A value per head and pair, (B or 1, H, Tq or 1, Tk): for positions that do not count up by one.
    Full(Tensor),
}

/// The sequences whose tokens stand somewhere: all of one length, row after row.
#[derive(Clone, Copy, Debug)]
pub struct Sequences<'a> {
    /// Token ids, rows × len.
    pub tokens: &'a [u32],
    /// Number of sequences, B.
    pub rows: usize,
    /// Tokens of each, T.
    pub len: usize,
}

impl<'a> Sequences<'a> {
    /// The tokens of one sequence.
    pub fn row(&self, row: usize) -> &'a [u32] {
        self.tokens.get(row * self.len..(row + 1) * self.len).unwrap_or_default()
    }
}

/// What one attention works on.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// What queries, keys and values are projected from, (B, Tq, D): the stream after the block's norm.
    pub x: &'a Tensor,
    /// Queries (B, Tq, H, K), turned by [`Position::rotate`] but not scaled by [`Position::scale_queries`].
    pub q: &'a Tensor,
    /// Keys (B, Tk, G, K), turned; those of a cache come first.
    pub k: &'a Tensor,
    /// The factor on q·k, 1/√K unless the model says otherwise.
    pub scale: f64,
}

/// A positional encoding, built for one model.
///
/// B batch, T sequence, D model dimension, H heads, K head dimension.
pub trait Position: Send + Sync {
    /// The encoding that this one changes: what this one does not say, that one does. None: nothing happens.
    fn over(&self) -> Option<&dyn Position> {
        None
    }

    /// Where the tokens of a training batch stand: as in evaluation, unless the encoding says otherwise.
    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        match self.over() {
            Some(over) => over.training_places(of, rng),
            None => self.places(of, rng),
        }
    }

    /// Where tokens stand in evaluation: 0, 1, 2, …, unless the encoding says otherwise.
    fn places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        match self.over() {
            Some(over) => over.places(of, rng),
            None => Places::range(0, of.len),
        }
    }

    /// Embeddings (B, T, D) with their positions added.
    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        match self.over() {
            Some(over) => over.embed(x, at),
            None => Ok(x.clone()),
        }
    }

    /// Queries or keys (B, T, H, K), turned by their positions.
    fn rotate(&self, qk: &Tensor, at: &Places) -> Result<Tensor> {
        match self.over() {
            Some(over) => over.rotate(qk, at),
            None => Ok(qk.clone()),
        }
    }

    /// Turned queries (B, Tq, H, K) with a factor that depends on where they stand among the keys. What is added to
    /// the scores is not multiplied by it.
    fn scale_queries(&self, q: &Tensor, (queries, keys): (&Places, &Places)) -> Result<Tensor> {
        match self.over() {
            Some(over) => over.scale_queries(q, (queries, keys)),
            None => Ok(q.clone()),
        }
    }

    /// What is added to the scores of `queries` against `keys`.
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        match self.over() {
            Some(over) => over.bias(queries, keys, dtype, device),
            None => Ok(Bias::None),
        }
    }

    /// What is added to the scores for what the tokens hold, (B, H, Tq, Tk).
    fn content_bias(&self, of: &Content<'_>, (queries, keys): (&Places, &Places)) -> Result<Option<Tensor>> {
        match self.over() {
            Some(over) => over.content_bias(of, (queries, keys)),
            None => Ok(None),
        }
    }

    /// Whether [`Position::embed`] does something.
    fn embeds(&self) -> bool {
        self.over().is_some_and(|over| over.embeds())
    }

    /// Whether [`Position::rotate`] does something.
    fn rotates(&self) -> bool {
        self.over().is_some_and(|over| over.rotates())
    }

    /// Whether a token's encoding follows from its index alone, and so stays the same when tokens follow it. Only then
    /// can keys and values be kept, and one long sequence stand for all its beginnings.
    fn is_incremental(&self) -> bool {
        self.over().is_none_or(|over| over.is_incremental())
    }
}
