//! One block: attention and MLP, added to the residual stream.

use attnlab_hooks::{Observer, Point, Site, observe};
use attnlab_ops as ops;
use attnlab_positions::{Places, Position};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::attention::Attention;
use crate::config::{ModelConfig, NormPlacement, Residual};
use crate::dropout::{self, Dropout};
use crate::error::Result;
use crate::mlp::MultiLayerPerceptron;
use crate::norm::Normalise;

/// The norms around one sublayer f, by placement:
/// pre: x + f(n(x)); post: n(x + f(x)); sandwich: x + m(f(n(x))).
struct Norms {
    placement: NormPlacement,
    norm: Normalise,
    after: Option<Normalise>,
}

impl Norms {
    fn new(config: &ModelConfig, name: &str, vb: &VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let after = match a.norm_placement {
            NormPlacement::Sandwich => Some(Normalise::new(a.d_model, a, vb.pp(format!("{name}_post")))?),
            NormPlacement::Pre | NormPlacement::Post => None,
        };
        Ok(Self { placement: a.norm_placement, norm: Normalise::new(a.d_model, a, vb.pp(name))?, after })
    }

    /// What the sublayer reads.
    fn before(&self, x: &Tensor) -> Result<Tensor> {
        match self.placement {
            NormPlacement::Pre | NormPlacement::Sandwich => self.norm.forward(x),
            NormPlacement::Post => Ok(x.clone()),
        }
    }

    /// What the sublayer adds.
    fn after(&self, y: Tensor) -> Result<Tensor> {
        match &self.after {
            Some(norm) => norm.forward(&y),
            None => Ok(y),
        }
    }

    /// The stream once `y` has been added to it.
    fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let sum = ops::add(x, y)?;
        match self.placement {
            NormPlacement::Post => self.norm.forward(&sum),
            NormPlacement::Pre | NormPlacement::Sandwich => Ok(sum),
        }
    }
}

pub(crate) struct Block {
    layer: usize,
    residual: Residual,
    dropout: f64,
    attention_norms: Norms,
    attention: Attention,
    mlp: Option<(Norms, MultiLayerPerceptron)>,
}

impl Block {
    pub(crate) fn new(layer: usize, config: &ModelConfig, vb: VarBuilder) -> Result<Self> {
        let a = &config.architecture;
        let attention_norms = Norms::new(config, "attn_norm", &vb)?;
        let attention = Attention::new(layer, config, vb.pp("attn"))?;
        let mlp = match MultiLayerPerceptron::new(layer, a, vb.pp("mlp"))? {
            None => None,
            Some(mlp) => {
                // A shared norm is the attention's; only what stands after the MLP is its own.
                let norms = match a.residual {
                    Residual::ParallelSharedNorm => Norms {
                        placement: a.norm_placement,
                        norm: Normalise::Nothing,
                        after: match a.norm_placement {
                            NormPlacement::Sandwich => {
                                Some(Normalise::new(a.d_model, a, vb.pp("mlp_norm_post"))?)
                            }
                            NormPlacement::Pre | NormPlacement::Post => None,
                        },
                    },
                    Residual::Sequential | Residual::Parallel => Norms::new(config, "mlp_norm", &vb)?,
                };
                Some((norms, mlp))
            }
        };
        Ok(Self { layer, residual: a.residual, dropout: a.dropout, attention_norms, attention, mlp })
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(
        &self,
        x: &Tensor,
        position: &dyn Position,
        places: &Places,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let point = |site| Point::block(site, self.layer);
        let x = observe(observer, point(Site::ResidPre), x)?;

        let read = self.attention_norms.before(&x)?;
        let y = self.attention.forward(&read, position, places, masks, observer)?;
        let y = observe(observer, point(Site::AttnOut), &self.attention_norms.after(y)?)?;
        let y = dropout::apply(&y, self.dropout, masks, "attention", self.layer)?;

        let x = match &self.mlp {
            None => self.attention_norms.add(&x, &y)?,
            Some((norms, mlp)) => match self.residual {
                Residual::Sequential => {
                    let x = observe(observer, point(Site::ResidMid), &self.attention_norms.add(&x, &y)?)?;
                    let m = self.mlp_output(norms, mlp, &norms.before(&x)?, masks, observer)?;
                    norms.add(&x, &m)?
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

    fn mlp_output<O: Observer>(
        &self,
        norms: &Norms,
        mlp: &MultiLayerPerceptron,
        read: &Tensor,
        masks: Option<&Dropout>,
        observer: &mut O,
    ) -> Result<Tensor> {
        let m = norms.after(mlp.forward(read, observer)?)?;
        let m = observe(observer, Point::block(Site::MlpOut, self.layer), &m)?;
        dropout::apply(&m, self.dropout, masks, "mlp", self.layer)
    }
}
