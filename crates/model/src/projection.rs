//! y = x·Wᵀ + b.

use attnlab_ops::{self as ops, Activation};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::attention::registry::Form;
use crate::config::{Architecture, Initialisation};
use crate::error::Result;
use crate::spectral;

/// What a matrix writes to decides how large it starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Into a sublayer, or to the logits.
    Inner,
    /// Back to the residual stream, which sums 2·n_layers such terms.
    ToStream,
}

pub(crate) const SIGMA_REPARAM: Form = Form {
    name: "sigma_reparam",
    title: "σReparam",
    formula: "Ŵ = (γ/σ(W))·W, σ the largest singular value, γ learned, 1 at first; of the matrices of attention and MLP",
    cost: "a number a matrix; the power iteration of every matrix in every pass",
    effect: "scores cannot grow without bound, so that the entropy of attention does not collapse",
    source: "Zhai et al. 2023 (arXiv 2303.06296)",
    example: "attention.sigma_reparam = true\n",
    fused: true,
};

/// A linear map.
pub(crate) struct Projection {
    /// As it is stored: W, where `gain` is there.
    pub(crate) weight: Tensor, // (Out, In)
    pub(crate) bias: Option<Tensor>,
    /// γ of σReparam, a number.
    gain: Option<Tensor>,
}

impl Projection {
    pub(crate) fn new(
        (input, output): (usize, usize),
        bias: bool,
        role: Role,
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        Self::drawn((input, output), bias.then_some(0.0), role, architecture, vb)
    }

    /// One of the matrices that `sigma_reparam` is about.
    pub(crate) fn in_block(
        sizes: (usize, usize),
        bias: bool,
        role: Role,
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        let gain = match architecture.attention.sigma_reparam {
            true => Some(vb.get_with_hints((), "gain", Init::Const(1.0))?),
            false => None,
        };
        Ok(Self { gain, ..Self::new(sizes, bias, role, architecture, vb)? })
    }

    /// With biases that start elsewhere than at 0.
    pub(crate) fn biased(
        sizes: (usize, usize),
        start: f64,
        role: Role,
        architecture: &Architecture,
        vb: VarBuilder,
    ) -> Result<Self> {
        Self::drawn(sizes, Some(start), role, architecture, vb)
    }

    fn drawn(
        (input, output): (usize, usize),
        bias: Option<f64>,
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
        let bias = match bias {
            Some(start) => Some(vb.get_with_hints(output, "bias", Init::Const(start))?),
            None => None,
        };
        Ok(Self { weight, bias, gain: None })
    }

    /// Shares another tensor as weight (tied embeddings).
    pub(crate) fn tied(weight: Tensor, bias: bool, vb: VarBuilder) -> Result<Self> {
        let output = weight.dim(0)?;
        let bias = if bias { Some(vb.get_with_hints(output, "bias", Init::Const(0.0))?) } else { None };
        Ok(Self { weight, bias, gain: None })
    }

    /// The matrix that acts, (Out, In).
    pub(crate) fn matrix(&self) -> Result<Tensor> {
        match &self.gain {
            None => Ok(self.weight.clone()),
            Some(gain) => {
                let factor = (gain / spectral::norm(&self.weight)?)?;
                Ok(self.weight.broadcast_mul(&factor)?)
            }
        }
    }

    /// The matrix's columns `start..start + len`: what part of the input writes, (Out, len).
    pub(crate) fn weight_columns(&self, start: usize, len: usize) -> Result<Tensor> {
        Ok(self.matrix()?.narrow(1, start, len)?.contiguous()?)
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
        Ok(ops::linear(x, &self.matrix()?, self.bias.as_ref())?)
    }

    /// f(x·Wᵀ + b), (…, In) → (…, Out).
    pub(crate) fn forward_activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        Ok(ops::linear_activation(x, &self.matrix()?, self.bias.as_ref(), activation)?)
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
