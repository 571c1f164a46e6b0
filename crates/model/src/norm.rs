//! Normalisation over the last dimension.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::config::{Architecture, Norm};
use crate::error::Result;

/// One of the kinds of [`Norm`], with its parameters.
pub(crate) enum Normalise {
    Nothing,
    Layer { weight: Tensor, bias: Option<Tensor>, eps: f64 },
    Rms { weight: Tensor, eps: f64 },
}

impl Normalise {
    pub(crate) fn new(width: usize, architecture: &Architecture, vb: VarBuilder) -> Result<Self> {
        let eps = architecture.norm_eps;
        Ok(match architecture.norm {
            Norm::None => Self::Nothing,
            Norm::Layer => {
                let weight = vb.get_with_hints(width, "weight", Init::Const(1.0))?;
                let bias = if architecture.norm_bias {
                    Some(vb.get_with_hints(width, "bias", Init::Const(0.0))?)
                } else {
                    None
                };
                Self::Layer { weight, bias, eps }
            }
            Norm::Rms => Self::rms(width, eps, vb)?,
        })
    }

    /// RMSNorm whatever the architecture's kind: queries and keys are normalised so.
    pub(crate) fn rms(width: usize, eps: f64, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Rms { weight: vb.get_with_hints(width, "weight", Init::Const(1.0))?, eps })
    }

    /// (…, width) → the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Nothing => Ok(x.clone()),
            Self::Layer { weight, bias, eps } => Ok(ops::layer_norm(x, weight, bias.as_ref(), *eps)?),
            Self::Rms { weight, eps } => Ok(ops::rms_norm(x, weight, *eps)?),
        }
    }
}
