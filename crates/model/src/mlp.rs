//! The MLP of a block: down(f(up(x))), or down(f(gate(x)) · up(x)) when gated.

use attnlab_hooks::{Observer, Point, Site, Want, observe};
use attnlab_ops::{self as ops, Activation};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{Architecture, Mlp};
use crate::error::Result;
use crate::projection::{Projection, Role};

pub(crate) struct MultiLayerPerceptron {
    activation: Activation,
    layer: usize,
    gate: Option<Projection>,
    up: Projection,
    down: Projection,
}

impl MultiLayerPerceptron {
    /// `None` for an attention-only model.
    pub(crate) fn new(layer: usize, architecture: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let kind = architecture.mlp;
        let activation = match kind {
            Mlp::None => return Ok(None),
            Mlp::Relu => Activation::Relu,
            Mlp::Gelu | Mlp::Geglu => Activation::Gelu,
            Mlp::GeluErf => Activation::GeluErf,
            Mlp::Silu | Mlp::Swiglu => Activation::Silu,
        };
        let (d, m) = (architecture.d_model, architecture.mlp_width());
        let project = |from_to, role, name: &str| {
            Projection::new(from_to, architecture.mlp_bias, role, architecture, vb.pp(name))
        };
        let gate = if kind.is_gated() { Some(project((d, m), Role::Inner, "gate")?) } else { None };
        let up = project((d, m), Role::Inner, "up")?;
        let down = project((m, d), Role::ToStream, "down")?;
        Ok(Some(Self { activation, layer, gate, up, down }))
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(&self, x: &Tensor, observer: &mut O) -> Result<Tensor> {
        let point = |site| Point::block(site, self.layer);
        let unseen = matches!(observer.wants(point(Site::MlpPre)), Want::Nothing);
        let inner = match &self.gate {
            None if unseen => self.up.forward_activated(x, self.activation)?, // (B, T, M)
            None => {
                let pre = observe(observer, point(Site::MlpPre), &self.up.forward(x)?)?;
                ops::activate(&pre, self.activation)?
            }
            Some(gate) => {
                let pre = observe(observer, point(Site::MlpPre), &gate.forward(x)?)?;
                ops::gated(&pre, &self.up.forward(x)?, self.activation)?
            }
        };
        let inner = observe(observer, point(Site::MlpPost), &inner)?;
        self.down.forward(&inner) // (B, T, D)
    }
}
