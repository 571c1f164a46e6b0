//! From hidden states to logits.

use attnlab_ops::{self as ops, Activation};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{HeadTransform, ModelConfig};
use crate::error::{ModelError, Result};
use crate::mlp::activation;
use crate::norm::Normalise;
use crate::projection::{Projection, Role};

/// cap(scale · (norm(f(x·W + b))·V + c)), each part if the model has it.
pub(crate) struct Head {
    transform: Option<Transform>,
    pub(crate) output: Option<Projection>,
    scale: f64,
    softcap: Option<f64>,
}

struct Transform {
    projection: Projection,
    activation: Option<Activation>,
    norm: Option<Normalise>,
    of_body: bool,
}

impl Transform {
    fn new(transform: HeadTransform, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let sizes = (a.d_model, transform.width);
        Ok(Self {
            projection: Projection::new(sizes, transform.bias, Role::Inner, a, vb.clone())?,
            activation: transform.activation.and_then(activation),
            norm: match transform.norm {
                true => Some(Normalise::new(transform.width, a, vb.pp("norm"))?),
                false => None,
            },
            of_body: transform.of_body,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = match self.activation {
            Some(activation) => self.projection.forward_activated(x, activation)?,
            None => self.projection.forward(x)?,
        };
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => Ok(x),
        }
    }
}

impl Head {
    pub(crate) fn new(config: &ModelConfig, embedding: &Tensor, vb: &VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let transform = match config.details.head_transform {
            Some(transform) => Some(Transform::new(transform, config, vb.pp("head_transform"))?),
            None => None,
        };
        let sizes = (config.head_input(), config.n_outputs);
        let output = match config.n_outputs {
            0 => None,
            _ if a.tie_embeddings => Some(Projection::tied(embedding.clone(), a.head_bias, vb.pp("head"))?),
            _ => Some(Projection::new(sizes, a.head_bias, Role::Inner, a, vb.pp("head"))?),
        };
        Ok(Self { transform, output, scale: a.logit_scale, softcap: a.logit_softcap })
    }

    /// What of the head belongs to the body: (…, D) → (…, D or E).
    pub(crate) fn finish_body(&self, x: Tensor) -> Result<Tensor> {
        match &self.transform {
            Some(transform) if transform.of_body => transform.forward(&x),
            _ => Ok(x),
        }
    }

    /// (…, D or E) → (…, n_outputs).
    pub(crate) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let Some(output) = &self.output else { return Err(ModelError::NoHead) };
        let logits = match &self.transform {
            Some(transform) if !transform.of_body => output.forward(&transform.forward(hidden)?)?,
            _ => output.forward(hidden)?,
        };
        let logits = if self.scale == 1.0 { logits } else { (logits * self.scale)? };
        Ok(match self.softcap {
            Some(cap) => (ops::activate(&(logits / cap)?, Activation::Tanh)? * cap)?,
            None => logits,
        })
    }
}
