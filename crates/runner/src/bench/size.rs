//! The model that is measured, and the batch it is given.

use attnlab_model::{Architecture, Details, Mask, ModelConfig};
use attnlab_positions::PositionConfig;
use attnlab_tasks::{Batch, Labels};
use rand::Rng as _;
use serde::Serialize;

use crate::error::Result;

/// A causal language model on random tokens.
#[derive(Clone)]
pub struct Size {
    /// The architecture.
    pub architecture: Architecture,
    /// The positional encoding.
    pub position: PositionConfig,
    /// Tokens of a sequence T.
    pub seq_len: usize,
    /// Sequences of a batch B.
    pub batch: usize,
    /// Token ids V.
    pub vocab: usize,
    /// Seed of weights and tokens.
    pub seed: u64,
}

/// A size as results name it.
#[derive(Clone, Debug, Serialize)]
pub struct SizeResult {
    /// Always `attnlab`.
    #[serde(rename = "impl")]
    pub implementation: &'static str,
    /// D.
    pub d_model: usize,
    /// Blocks.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// T.
    pub seq_len: usize,
    /// B.
    pub batch: usize,
    /// V.
    pub vocab: usize,
    /// Whether the linear layers have biases.
    pub bias: bool,
    /// The encoding.
    pub position: String,
    /// Trainable scalars.
    pub params: usize,
}

impl Size {
    /// Refuses what no model can be built from.
    pub fn validate(&self) -> Result<()> {
        Ok(self.model().validate().map_err(attnlab_model::ModelError::from)?)
    }

    pub(super) fn model(&self) -> ModelConfig {
        ModelConfig {
            vocab_size: self.vocab,
            n_outputs: self.vocab,
            max_len: self.seq_len,
            mask: Mask::Causal,
            position: self.position.clone(),
            architecture: self.architecture.clone(),
            details: Details::default(),
        }
    }

    /// Random tokens and random targets.
    pub(super) fn draw(&self, rng: &mut attnlab_ops::Rng) -> Batch {
        let mut draw =
            || (0..self.batch * self.seq_len).map(|_| rng.random_range(0..self.vocab as u32)).collect();
        let (tokens, labels) = (draw(), Labels::Classes(draw()));
        Batch { rows: self.batch, len: self.seq_len, tokens, labels }
    }

    pub(super) fn result(&self, params: usize) -> SizeResult {
        SizeResult {
            implementation: "attnlab",
            d_model: self.architecture.d_model,
            layers: self.architecture.n_layers,
            heads: self.architecture.n_heads,
            seq_len: self.seq_len,
            batch: self.batch,
            vocab: self.vocab,
            bias: self.architecture.mlp_bias,
            position: self.position.label(),
            params,
        }
    }
}
