//! The MLP of a block: down(f(up(x))), or down(f(gate(x)) · up(x)) when gated.

use attnlab_hooks::{Observer, Point, Site, observe};
use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{Architecture, Mlp};
use crate::error::Result;
use crate::projection::{Projection, Role};

pub(crate) struct MultiLayerPerceptron {
    kind: Mlp,
    layer: usize,
    gate: Option<Projection>,
    up: Projection,
    down: Projection,
}

impl MultiLayerPerceptron {
    /// `None` for an attention-only model.
    pub(crate) fn new(layer: usize, architecture: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let kind = architecture.mlp;
        if kind == Mlp::None {
            return Ok(None);
        }
        let (d, m) = (architecture.d_model, architecture.mlp_width());
        let project = |from_to, role, name: &str| {
            Projection::new(from_to, architecture.mlp_bias, role, architecture, vb.pp(name))
        };
        let gate = if kind.is_gated() { Some(project((d, m), Role::Inner, "gate")?) } else { None };
        let up = project((d, m), Role::Inner, "up")?;
        let down = project((m, d), Role::ToStream, "down")?;
        Ok(Some(Self { kind, layer, gate, up, down }))
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(&self, x: &Tensor, observer: &mut O) -> Result<Tensor> {
        let point = |site| Point::block(site, self.layer);
        let up = self.up.forward(x)?; // (B, T, M)
        let inner = match &self.gate {
            None => {
                let pre = observe(observer, point(Site::MlpPre), &up)?;
                self.activate(&pre)?
            }
            Some(gate) => {
                let pre = observe(observer, point(Site::MlpPre), &gate.forward(x)?)?;
                (self.activate(&pre)? * up)?
            }
        };
        let inner = observe(observer, point(Site::MlpPost), &inner)?;
        self.down.forward(&inner) // (B, T, D)
    }

    fn activate(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match self.kind {
            Mlp::None => Ok(x.clone()),
            Mlp::Relu => ops::relu(x),
            Mlp::Gelu | Mlp::Geglu => ops::gelu(x),
            Mlp::GeluErf => ops::gelu_erf(x),
            Mlp::Silu | Mlp::Swiglu => ops::silu(x),
        }
    }
}
