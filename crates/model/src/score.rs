//! How well a language model predicts a text.

use attnlab_ops as ops;
use candle_core::{DType, Tensor};

use crate::error::{ModelError, Result};
use crate::transformer::Transformer;

/// Logits of so many tokens are held at once: a long text times a large vocabulary would be gigabytes.
const AT_ONCE: usize = 256;

impl Transformer {
    /// −ln p(token t + 1 | tokens up to t) in nats for each t but the last, row after row, from the final hidden states
    /// (B, T, D) of tokens (B, T). The logits of a few tokens exist at a time.
    ///
    /// # Errors
    /// The model has no language model's head.
    pub fn next_token_losses(&self, hidden: &Tensor, tokens: &Tensor) -> Result<Vec<Vec<f64>>> {
        if self.config().n_outputs != self.config().vocab_size {
            return Err(ModelError::NoLanguageModel);
        }
        let mut all = Vec::new();
        for (row, ids) in tokens.to_vec2::<u32>()?.into_iter().enumerate() {
            let mut losses = Vec::with_capacity(ids.len().saturating_sub(1));
            let next = ids.get(1..).unwrap_or_default();
            for (part, next) in next.chunks(AT_ONCE).enumerate() {
                let states = hidden.narrow(0, row, 1)?.narrow(1, part * AT_ONCE, next.len())?.contiguous()?;
                let logits = ops::without_gradients(|| self.logits(&states))?.squeeze(0)?;
                for (logits, &next) in logits.to_dtype(DType::F32)?.to_vec2::<f32>()?.iter().zip(next) {
                    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    let sum: f64 = logits.iter().map(|x| f64::from(x - top).exp()).sum();
                    let of = logits.get(next as usize).copied().unwrap_or(f32::NEG_INFINITY);
                    losses.push(f64::from(top - of) + sum.ln());
                }
            }
            all.push(losses);
        }
        Ok(all)
    }
}
