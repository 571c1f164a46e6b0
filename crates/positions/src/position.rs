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

/// A positional encoding, built for one model.
///
/// B batch, T sequence, D model dimension, H heads, K head dimension.
pub trait Position: Send + Sync {
    /// The positions of a training batch of `batch` sequences of `len` tokens.
    fn training_places(&self, batch: usize, len: usize, rng: &mut Rng) -> Places {
        let _ = (batch, rng);
        Places::range(0, len)
    }

    /// Embeddings (B, T, D) with their positions added.
    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let _ = at;
        Ok(x.clone())
    }

    /// Queries or keys (B, T, H, K), turned by their positions.
    fn rotate(&self, qk: &Tensor, at: &Places) -> Result<Tensor> {
        let _ = at;
        Ok(qk.clone())
    }

    /// What is added to the scores of `queries` against `keys`.
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        let _ = (queries, keys, dtype, device);
        Ok(Bias::None)
    }

    /// What is added to the scores for what queries (B, Tq, H, K) and keys (B, Tk, G, K) hold, (B, H, Tq, Tk).
    fn content_bias(
        &self,
        q: &Tensor,
        k: &Tensor,
        (queries, keys): (&Places, &Places),
    ) -> Result<Option<Tensor>> {
        let _ = (q, k, queries, keys);
        Ok(None)
    }

    /// Whether [`Position::embed`] does something.
    fn embeds(&self) -> bool {
        false
    }

    /// Whether [`Position::rotate`] does something.
    fn rotates(&self) -> bool {
        false
    }

    /// Whether a token's encoding stays the same when tokens follow it. A key/value cache can only be had with an
    /// encoding of which this is true: it is here for that cache, and nothing else asks for it.
    fn is_incremental(&self) -> bool {
        true
    }
}
