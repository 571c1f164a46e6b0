//! The weights behind the activations, as those who take the model apart need them.

use candle_core::{D, DType, Device, Tensor};

use crate::config::NormPlacement;
use crate::error::{ModelError, Result};
use crate::norm::Normalise;
use crate::transformer::Transformer;

/// The weights of one query head, with the keys and values it reads: those of its group under grouped-query attention.
///
/// Maps of column vectors: q = `q`·x + `q_bias`, what head h adds to the stream is `o`·z.
#[derive(Clone, Debug)]
pub struct HeadWeights {
    /// (K, D).
    pub q: Tensor,
    /// (K, D).
    pub k: Tensor,
    /// (K, D).
    pub v: Tensor,
    /// (D, K).
    pub o: Tensor,
    /// (K).
    pub q_bias: Option<Tensor>,
    /// (K).
    pub k_bias: Option<Tensor>,
    /// (K).
    pub v_bias: Option<Tensor>,
}

/// A norm whose scale is that of some given states, and does not change with what it is applied to: a linear map and a
/// bias. y = (x − mean(x))·s ⊙ w + b for LayerNorm, x·s ⊙ w for RMSNorm, s = 1/√(… + ε) of each given state.
///
/// In f64 on the CPU, whatever the model's type and device.
#[derive(Clone, Debug)]
pub struct FrozenNorm {
    scale: Option<Tensor>,  // (…, 1)
    weight: Option<Tensor>, // (D)
    bias: Option<Tensor>,   // (D)
    centred: bool,
}

impl FrozenNorm {
    fn new(norm: Option<&Normalise>, states: &Tensor) -> Result<Self> {
        let x = exact(states)?;
        let inverse_root =
            |power: Tensor, eps: f64| -> Result<Tensor> { Ok((power + eps)?.sqrt()?.recip()?) };
        Ok(match norm {
            None | Some(Normalise::Nothing) => Self { scale: None, weight: None, bias: None, centred: false },
            Some(Normalise::Rms { weight, eps }) => Self {
                scale: Some(inverse_root(x.sqr()?.mean_keepdim(D::Minus1)?, *eps)?),
                weight: Some(exact(weight)?),
                bias: None,
                centred: false,
            },
            Some(Normalise::Layer { weight, bias, eps }) => Self {
                scale: Some(inverse_root(centre(&x)?.sqr()?.mean_keepdim(D::Minus1)?, *eps)?),
                weight: Some(exact(weight)?),
                bias: bias.as_ref().map(exact).transpose()?,
                centred: true,
            },
        })
    }

    /// The linear part of the map, of one vector for each given state or parts of it: f64 (…, D) → (…, D).
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let x = if self.centred { centre(x)? } else { x.clone() };
        self.scaled(&self.weighted(&x)?)
    }

    /// The transposed linear part: what direction before the norm a direction after it reads, f64 (…, D) → (…, D).
    pub fn transposed(&self, u: &Tensor) -> Result<Tensor> {
        let u = self.scaled(&self.weighted(u)?)?;
        if self.centred { centre(&u) } else { Ok(u) }
    }

    /// What is added to every state, f64 (D).
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    fn weighted(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.weight {
            Some(weight) => x.broadcast_mul(weight)?,
            None => x.clone(),
        })
    }

    fn scaled(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match &self.scale {
            Some(scale) => x.broadcast_mul(scale)?,
            None => x.clone(),
        })
    }
}

fn exact(x: &Tensor) -> Result<Tensor> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?)
}

fn centre(x: &Tensor) -> Result<Tensor> {
    Ok(x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?)
}

impl Transformer {
    /// Where its weights are.
    pub fn device(&self) -> &Device {
        self.embedding.device()
    }

    /// The type of its weights.
    pub fn dtype(&self) -> DType {
        self.embedding.dtype()
    }

    /// The weights of one query head.
    pub fn head_weights(&self, layer: usize, head: usize) -> Result<HeadWeights> {
        let attention = &self.block(layer, head)?.attention;
        let (group, width) = (attention.n_heads / attention.n_kv_heads, attention.head_dim);
        let rows = |tensor: &Tensor, head: usize| -> Result<Tensor> {
            Ok(tensor.narrow(0, head * width, width)?.contiguous()?)
        };
        let bias = |bias: &Option<Tensor>, head| bias.as_ref().map(|bias| rows(bias, head)).transpose();
        let (query, key, value) = (&attention.query, &attention.key, &attention.value);
        Ok(HeadWeights {
            q: rows(&query.matrix()?, head)?,
            k: rows(&key.matrix()?, head / group)?,
            v: rows(&value.matrix()?, head / group)?,
            o: self.head_output_weight(layer, head)?,
            q_bias: bias(&query.bias, head)?,
            k_bias: bias(&key.bias, head / group)?,
            v_bias: bias(&value.bias, head / group)?,
        })
    }

    /// W_O of a head, (D, K): what its output is written with.
    pub fn head_output_weight(&self, layer: usize, head: usize) -> Result<Tensor> {
        let attention = &self.block(layer, head)?.attention;
        attention.output.weight_columns(head * attention.head_dim, attention.head_dim)
    }

    /// The bias of a layer's attention output, (D).
    pub fn attention_bias(&self, layer: usize) -> Result<Option<&Tensor>> {
        Ok(self.block(layer, 0)?.attention.output.bias.as_ref())
    }

    /// The weight of the norm through which a layer's attention reads the stream, (D), and whether that norm subtracts
    /// the mean; `None` if it reads the stream as it is.
    pub fn attention_norm(&self, layer: usize) -> Result<Option<(&Tensor, bool)>> {
        let norms = &self.block(layer, 0)?.attention_norms;
        let reads = self.config.architecture.norm_placement != NormPlacement::Post;
        Ok(if reads { norms.norm.weight() } else { None })
    }

    /// The weight of the norm through which a layer's attention output goes on its way to the stream, (D), and whether
    /// it subtracts the mean; `None` if there is none.
    pub fn norm_after_attention(&self, layer: usize) -> Result<Option<(&Tensor, bool)>> {
        Ok(self.block(layer, 0)?.attention_norms.after.as_ref().and_then(Normalise::weight))
    }

    /// The norm through which a layer's attention reads the stream, its scale frozen at that of `residual` (…, D); the
    /// identity if there is none.
    pub fn frozen_norm_before_attention(&self, layer: usize, residual: &Tensor) -> Result<FrozenNorm> {
        let norms = &self.block(layer, 0)?.attention_norms;
        let reads = self.config.architecture.norm_placement != NormPlacement::Post;
        FrozenNorm::new(reads.then_some(&norms.norm), residual)
    }

    /// The norm through which a layer's attention output `y` (…, D) goes on its way to the stream, its scale frozen at
    /// that of `y`; the identity if there is none.
    pub fn frozen_norm_after_attention(&self, layer: usize, y: &Tensor) -> Result<FrozenNorm> {
        FrozenNorm::new(self.block(layer, 0)?.attention_norms.after.as_ref(), y)
    }

    /// The weight of the final norm, (D), and whether it subtracts the mean; `None` if there is none.
    pub fn final_norm(&self) -> Option<(&Tensor, bool)> {
        self.final_norm.as_ref().and_then(Normalise::weight)
    }

    /// The final norm with its scale frozen at that of `residual` (…, D); the identity if there is none.
    pub fn frozen_final_norm(&self, residual: &Tensor) -> Result<FrozenNorm> {
        FrozenNorm::new(self.final_norm.as_ref(), residual)
    }

    /// Logits (…, n_outputs) that a residual stream (…, D) would give if no block came after it: through the final
    /// norm, where there is one, and the head (nostalgebraist 2020, "logit lens").
    pub fn logits_of_residual(&self, residual: &Tensor) -> Result<Tensor> {
        let x = match &self.final_norm {
            Some(norm) => norm.forward(residual)?,
            None => residual.clone(),
        };
        self.logits(&self.head.finish_body(x)?)
    }

    /// The token embeddings: (V, D), or (V, E) of a factorised one.
    pub fn embeddings(&self) -> &Tensor {
        &self.embedding
    }

    /// The head's weight (n_outputs, D) and bias (n_outputs). An error for a body without head.
    pub fn unembedding(&self) -> Result<(&Tensor, Option<&Tensor>)> {
        let output = self.head.output.as_ref().ok_or(ModelError::NoHead)?;
        Ok((&output.weight, output.bias.as_ref()))
    }

    fn block(&self, layer: usize, head: usize) -> Result<&crate::block::Block> {
        let a = &self.config.architecture;
        let missing = ModelError::NoSuchHead { layer, head, n_layers: a.n_layers, n_heads: a.n_heads };
        self.blocks.get(layer).filter(|_| head < a.n_heads).ok_or(missing)
    }
}
