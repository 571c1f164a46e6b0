//! The whole model: tokens to logits.

use attnlab_hooks::{Anatomy, NoHooks, Observer, Point, Site, Want, observe};
use attnlab_ops as ops;
use attnlab_positions::{Places, Position};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::block::Block;
use crate::config::{Mlp, ModelConfig, NormPlacement, Residual};
use crate::dropout::{self, Dropout};
use crate::error::Result;
use crate::norm::Normalise;
use crate::projection::{Projection, Role, embedding_init};

/// A transformer, causal or bidirectional, toy or pretrained: what it is, its [`ModelConfig`] says.
pub struct Transformer {
    config: ModelConfig,
    embedding: Tensor, // (V, D)
    position: Box<dyn Position>,
    embedding_norm: Option<Normalise>,
    blocks: Vec<Block>,
    final_norm: Option<Normalise>,
    head: Projection,
}

impl Transformer {
    /// Builds the model with the tensors of `vb`: drawn ones (`ops::Parameters::seeded`) or a checkpoint's.
    ///
    /// Names: `embed.weight`, `position.*`, `embed_norm.*`,
    /// `blocks.{l}.{attn_norm,attn.{q,k,v,o,q_norm,k_norm},mlp_norm,mlp.{up,gate,down}}.*`, `blocks.{l}.attn.null`,
    /// `final_norm.*`, `head.*`.
    pub fn new(config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        config.validate()?;
        let a = &config.architecture;
        let d = a.d_model;
        let embedding =
            vb.pp("embed").get_with_hints((config.vocab_size, d), "weight", embedding_init(a.init))?;
        let position = config.position.build(&config.position_shape(), vb.pp("position"))?;
        let norm = |name: &str| Normalise::new(d, a, vb.pp(name));
        let embedding_norm = if a.embedding_norm { Some(norm("embed_norm")?) } else { None };
        let blocks = (0..a.n_layers)
            .map(|layer| Block::new(layer, config, vb.pp(format!("blocks.{layer}"))))
            .collect::<Result<_>>()?;
        let final_norm = match a.norm_placement {
            NormPlacement::Pre | NormPlacement::Sandwich => Some(norm("final_norm")?),
            NormPlacement::Post => None,
        };
        let head = if a.tie_embeddings {
            Projection::tied(embedding.clone(), a.head_bias, vb.pp("head"))?
        } else {
            Projection::new((d, config.n_outputs), a.head_bias, Role::Inner, a, vb.pp("head"))?
        };
        Ok(Self { config: config.clone(), embedding, position, embedding_norm, blocks, final_norm, head })
    }

    /// What the model is.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Its positional encoding.
    pub fn position(&self) -> &dyn Position {
        self.position.as_ref()
    }

    /// The residual stream after the last block and the final norm, (B, T, D), of tokens (B, T) u32.
    ///
    /// `masks` are given in training only. `places` has one row, shared, or B.
    pub fn hidden<O: Observer>(
        &self,
        tokens: &Tensor,
        places: &Places,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let a = &self.config.architecture;
        let x = ops::embedding(tokens, &self.embedding)?; // (B, T, D)
        let x = if a.embedding_scale == 1.0 { x } else { (x * a.embedding_scale)? };
        let x = observe(observer, Point::model(Site::Embed), &x)?;
        let x = self.add_position(x, places, observer)?;
        let x = match &self.embedding_norm {
            Some(norm) => norm.forward(&x)?,
            None => x,
        };
        let mut x = dropout::apply(&x, a.dropout, masks, "embedding", 0)?;
        for block in &self.blocks {
            x = block.forward(&x, self.position.as_ref(), places, masks, observer)?;
        }
        match &self.final_norm {
            Some(norm) => Ok(observe(observer, Point::model(Site::LnFinal), &norm.forward(&x)?)?),
            None => Ok(x),
        }
    }

    /// The stream once the encoding has been added to the token embeddings.
    fn add_position<O: Observer>(&self, x: Tensor, places: &Places, observer: &mut O) -> Result<Tensor> {
        if !self.position.embeds() {
            return Ok(x);
        }
        let placed = self.position.embed(&x, places)?;
        let point = Point::model(Site::PosEmbed);
        match observer.wants(point) {
            Want::Nothing => Ok(placed),
            Want::Look(_) => {
                observe(observer, point, &(&placed - &x)?)?;
                Ok(placed)
            }
            Want::Edit => Ok((&x + observe(observer, point, &(placed - &x)?)?)?),
        }
    }

    /// Logits (…, n_outputs) of hidden states (…, D).
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.head.forward(hidden)
    }

    /// Logits (B, T, n_outputs) of tokens (B, T) at positions 0..T, with an observer.
    pub fn forward<O: Observer>(&self, tokens: &Tensor, observer: &mut O) -> Result<Tensor> {
        let places = Places::range(0, tokens.dim(1)?);
        self.logits(&self.hidden(tokens, &places, None, observer)?)
    }

    /// Logits (B, T, n_outputs) of tokens (B, T) at positions 0..T.
    pub fn predict(&self, tokens: &Tensor) -> Result<Tensor> {
        self.forward(tokens, &mut NoHooks)
    }

    /// What hook specs are resolved against: the sizes, and the points that this model cannot fire.
    pub fn anatomy(&self) -> Anatomy {
        let a = &self.config.architecture;
        let mut absent = Vec::new();
        if !self.position.embeds() {
            absent.push(Site::PosEmbed);
        }
        if !self.position.rotates() {
            absent.extend([Site::RotQ, Site::RotK]);
        }
        if a.mlp == Mlp::None {
            absent.extend([Site::MlpPre, Site::MlpPost, Site::MlpOut]);
        }
        if a.mlp == Mlp::None || a.residual != Residual::Sequential {
            absent.push(Site::ResidMid);
        }
        if self.final_norm.is_none() {
            absent.push(Site::LnFinal);
        }
        Anatomy { n_layers: a.n_layers, n_heads: a.n_heads, n_kv_heads: a.kv_heads(), absent }
    }
}
