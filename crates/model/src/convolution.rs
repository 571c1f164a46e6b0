//! A convolution over time beside the first block.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{Convolution, ModelConfig};
use crate::error::Result;
use crate::mlp::activation;
use crate::norm::Normalise;
use crate::projection::{Projection, Role};

/// norm(x + f(conv(e))), e the embeddings: a linear map of each token's neighbourhood.
pub(crate) struct Neighbourhood {
    config: Convolution,
    projection: Projection, // (D, kernel·D), the earliest neighbour first
    norm: Normalise,
}

impl Neighbourhood {
    pub(crate) fn new(convolution: Convolution, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let sizes = (convolution.kernel * a.d_model, a.d_model);
        Ok(Self {
            config: convolution,
            projection: Projection::new(sizes, true, Role::ToStream, a, vb.clone())?,
            norm: Normalise::new(a.d_model, a, vb.pp("norm"))?,
        })
    }

    /// The stream x after the first block and the embeddings, each (B, T, D) → (B, T, D).
    pub(crate) fn forward(&self, x: &Tensor, embeddings: &Tensor) -> Result<Tensor> {
        let (t, side) = (embeddings.dim(1)?, self.config.kernel / 2);
        let padded = embeddings.pad_with_zeros(1, side, side)?;
        let neighbours =
            (0..self.config.kernel).map(|at| Ok(padded.narrow(1, at, t)?)).collect::<Result<Vec<_>>>()?;
        let neighbours = Tensor::cat(&neighbours, 2)?; // (B, T, kernel·D)
        let y = match activation(self.config.activation) {
            Some(activation) => self.projection.forward_activated(&neighbours, activation)?,
            None => self.projection.forward(&neighbours)?,
        };
        self.norm.forward(&ops::add(x, &y)?)
    }
}
