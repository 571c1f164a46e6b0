//! y = x·Wᵀ + b.

use attnlab_ops::{self as ops, Activation};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::config::{Architecture, Initialisation};
use crate::error::Result;

/// What a matrix writes to decides how large it starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Into a sublayer, or to the logits.
    Inner,
    /// Back to the residual stream, which sums 2·n_layers such terms.
    ToStream,
}

/// A linear map.
pub(crate) struct Projection {
    pub(crate) weight: Tensor, // (Out, In)
    pub(crate) bias: Option<Tensor>,
}

impl Projection {
    pub(crate) fn new(
        (input, output): (usize, usize),
        bias: bool,
        role: Role,
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        let init = match architecture.init {
            Initialisation::Gpt2 => {
                let terms = match role {
                    Role::Inner => 1.0,
                    Role::ToStream => 2.0 * architecture.n_layers as f64,
                };
                Init::Randn { mean: 0.0, stdev: 0.02 / terms.sqrt() }
            }
            Initialisation::Torch => {
                let bound = 1.0 / (input as f64).sqrt();
                Init::Uniform { lo: -bound, up: bound }
            }
        };
        let weight = vb.get_with_hints((output, input), "weight", init)?;
        let bias = if bias { Some(vb.get_with_hints(output, "bias", Init::Const(0.0))?) } else { None };
        Ok(Self { weight, bias })
    }

    /// Shares another tensor as weight (tied embeddings).
    pub(crate) fn tied(weight: Tensor, bias: bool, vb: VarBuilder) -> Result<Self> {
        let output = weight.dim(0)?;
        let bias = if bias { Some(vb.get_with_hints(output, "bias", Init::Const(0.0))?) } else { None };
        Ok(Self { weight, bias })
    }

    /// The weight's columns `start..start + len`: what part of the input writes, (Out, len).
    pub(crate) fn weight_columns(&self, start: usize, len: usize) -> Result<Tensor> {
        Ok(self.weight.narrow(1, start, len)?.contiguous()?)
    }

    /// What `forward` adds after the product: (…, Out) → (…, Out).
    pub(crate) fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => Ok(y.broadcast_add(bias)?),
            None => Ok(y.clone()),
        }
    }

    /// (…, In) → (…, Out).
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(ops::linear(x, &self.weight, self.bias.as_ref())?)
    }

    /// f(x·Wᵀ + b), (…, In) → (…, Out).
    pub(crate) fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        Ok(ops::linear_activation(x, &self.weight, self.bias.as_ref(), activation)?)
    }
}

/// The standard deviation that embeddings start with.
pub(crate) fn embedding_init(init: Initialisation) -> Init {
    let stdev = match init {
        Initialisation::Gpt2 => 0.02,
        Initialisation::Torch => 1.0,
    };
    Init::Randn { mean: 0.0, stdev }
}
