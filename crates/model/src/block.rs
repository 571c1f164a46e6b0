//! One block: attention and MLP, added to the residual stream, or in its place.

use attnlab_hooks::{Observer, Point, Site, observe};
use attnlab_ops as ops;
use attnlab_positions::{Part, Position};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::attention::{Attention, Where};
use crate::cache::LayerCache;
use crate::config::{ModelConfig, NormPlacement, Residual};
use crate::dropout::{self, Dropout};
use crate::error::Result;
use crate::experts::Mixture;
use crate::mlp::MultiLayerPerceptron;
use crate::norm::Normalise;

/// The norms n, m around one sublayer f, by placement:
/// pre: x + f(n(x)); post: n(x + f(x)); sandwich: x + m(f(n(x))); output: x + m(f(x)); normed: n(x) + f(n(x)). Without
/// skip connection the summand before f is left out.
pub(crate) struct Norms {
    placement: NormPlacement,
    /// Whether what the sublayer reads goes around it too.
    skips: bool,
    pub(crate) norm: Normalise,
    pub(crate) after: Option<Normalise>,
}

impl Norms {
    fn new(config: &ModelConfig, name: &str, vb: &VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let norm = |name: &str| Normalise::new(a.d_model, a, vb.pp(name));
        let (before, after) = match a.norm_placement {
            NormPlacement::Pre | NormPlacement::Post | NormPlacement::Normed => (norm(name)?, None),
            NormPlacement::Sandwich => (norm(name)?, Some(norm(&format!("{name}_post"))?)),
            NormPlacement::Output => (Normalise::Nothing, Some(norm(&format!("{name}_post"))?)),
        };
        Ok(Self { norm: before, after, ..Self::nothing(config) })
    }

    /// No norms, where they would stand.
    fn nothing(config: &ModelConfig) -> Self {
        let a = &config.architecture;
        let skips = a.residual != Residual::None;
        Self { placement: a.norm_placement, skips, norm: Normalise::Nothing, after: None }
    }

    /// What the sublayer reads.
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        match self.placement {
            NormPlacement::Post => Ok(x.clone()),
            _ => self.norm.forward(x),
        }
    }

    /// What the sublayer adds.
    fn after(&self, y: Tensor) -> Result<Tensor> {
        match &self.after {
            Some(norm) => norm.forward(&y),
            None => Ok(y),
        }
    }

    /// The stream once `y`, computed from `read`, has been added to `x`.
    fn add(&self, x: &Tensor, read: &Tensor, y: Tensor) -> Result<Tensor> {
        let around = if self.placement == NormPlacement::Normed { read } else { x };
        let x = if self.skips { ops::add(around, &y)? } else { y };
        if self.placement == NormPlacement::Post { self.norm.forward(&x) } else { Ok(x) }
    }
}

/// What computes between attention and the next block.
enum Inner {
    One(MultiLayerPerceptron),
    Some(Mixture),
}

impl Inner {
    fn forward<O: Observer>(&self, x: &Tensor, observer: &mut O) -> Result<Tensor> {
        match self {
            Self::One(mlp) => mlp.forward(x, observer),
            Self::Some(mixture) => mixture.forward(x),
        }
    }
}

pub(crate) struct Block {
    layer: usize,
    residual: Residual,
    residual_scale: f64,
    dropout: f64,
    /// In place of the model's, for queries, keys and scores.
    position: Option<Box<dyn Position>>,
    pub(crate) attention_norms: Norms,
    pub(crate) attention: Attention,
    mlp: Option<(Norms, Inner)>,
}

impl Block {
    pub(crate) fn new(layer: usize, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let own = config.layer(layer);
        let attention_norms =
            if own.attention_norm { Norms::new(config, "attn_norm", &vb)? } else { Norms::nothing(config) };
        let shared = &config.position;
        let position = match &own.position {
            Some(position) => Some((position, Part::Whole)),
            None => shared.per_layer().then_some((shared, Part::Attention)),
        };
        let position = match position {
            Some((own, part)) => Some(own.build(part, &config.layer_position_shape(), vb.pp("position"))?),
            None => None,
        };
        let attention = Attention::new(layer, config, vb.pp("attn"))?;
        let mlp = match a.experts {
            Some(experts) => Some(Inner::Some(Mixture::new(layer, experts, a, vb.pp("mlp"))?)),
            None => MultiLayerPerceptron::new(layer, a, vb.pp("mlp"))?.map(Inner::One),
        };
        let mlp = match mlp {
            None => None,
            Some(mlp) => {
                // A shared norm is the attention's; only what stands after the MLP is its own.
                let norms = match a.residual {
                    Residual::ParallelSharedNorm => Norms {
                        after: match a.norm_placement {
                            NormPlacement::Sandwich => {
                                Some(Normalise::new(a.d_model, a, vb.pp("mlp_norm_post"))?)
                            }
                            _ => None,
                        },
                        ..Norms::nothing(config)
                    },
                    Residual::Sequential | Residual::Parallel | Residual::None => {
                        Norms::new(config, "mlp_norm", &vb)?
                    }
                };
                Some((norms, mlp))
            }
        };
        let (residual, residual_scale, dropout) = (a.residual, a.residual_scale, a.dropout);
        Ok(Self { layer, residual, residual_scale, dropout, position, attention_norms, attention, mlp })
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(
        &self,
        x: &Tensor,
        at: &Where<'_>,
        masks: Option<&Dropout>,
        cache: Option<&mut LayerCache>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let point = |site| Point::block(site, self.layer);
        let x = observe(observer, point(Site::ResidPre), x)?;
        let at = &Where { position: self.position.as_deref().unwrap_or(at.position), ..*at };

        let read = self.attention_norms.before(&x)?;
        let y = self.attention.forward(&read, at, masks, cache, observer)?;
        let y = self.scaled(self.attention_norms.after(y)?)?;
        let y = observe(observer, point(Site::AttnOut), &y)?;
        let y = dropout::apply(&y, self.dropout, masks, "attention", self.layer)?;

        let x = match &self.mlp {
            None => self.attention_norms.add(&x, &read, y)?,
            Some((norms, mlp)) => match self.residual {
                Residual::Sequential | Residual::None => {
                    let x = self.attention_norms.add(&x, &read, y)?;
                    let x = observe(observer, point(Site::ResidMid), &x)?;
                    let read = norms.before(&x)?;
                    let m = self.mlp_output(norms, mlp, &read, masks, observer)?;
                    norms.add(&x, &read, m)?
                }
                Residual::Parallel => {
                    let m = self.mlp_output(norms, mlp, &norms.before(&x)?, masks, observer)?;
                    ops::add(&ops::add(&x, &y)?, &m)?
                }
                Residual::ParallelSharedNorm => {
                    let m = self.mlp_output(norms, mlp, &read, masks, observer)?;
                    ops::add(&ops::add(&x, &y)?, &m)?
                }
            },
        };
        Ok(observe(observer, point(Site::ResidPost), &x)?)
    }

    /// Whether its queries and keys are rotated, `model` being the model's encoding.
    pub(crate) fn rotates(&self, model: &dyn Position) -> bool {
        self.position.as_deref().unwrap_or(model).rotates()
    }

    /// Whether its own encoding, if it has one, lets keys be kept when tokens follow.
    pub(crate) fn is_incremental(&self) -> bool {
        self.position.as_ref().is_none_or(|position| position.is_incremental())
    }

    fn scaled(&self, y: Tensor) -> Result<Tensor> {
        if self.residual_scale == 1.0 { Ok(y) } else { Ok((y * self.residual_scale)?) }
    }

    fn mlp_output<O: Observer>(
        &self,
        norms: &Norms,
        mlp: &Inner,
        read: &Tensor,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let m = self.scaled(norms.after(mlp.forward(read, observer)?)?)?;
        let m = observe(observer, Point::block(Site::MlpOut, self.layer), &m)?;
        dropout::apply(&m, self.dropout, masks, "mlp", self.layer)
    }
}
