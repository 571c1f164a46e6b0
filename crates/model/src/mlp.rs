//! The MLP of a block: down(f(up(x))), or down(f(gate(x)) · up(x)) when gated.

use attnlab_hooks::{Observer, Point, Site, Want, observe};
use attnlab_ops::{self as ops, Activation};
use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::config::{Architecture, Clamp, Mlp};
use crate::error::Result;
use crate::projection::{Projection, Role};

/// What the inner layer computes from the projections.
#[derive(Clone, Copy)]
enum Inside {
    Activation(Activation),
    /// gpt-oss's gate.
    Clamped(Clamp),
}

pub(crate) struct MultiLayerPerceptron {
    inside: Inside,
    layer: usize,
    gate: Option<Projection>,
    up: Projection,
    down: Projection,
}

impl MultiLayerPerceptron {
    /// `None` for an attention-only model.
    pub(crate) fn new(layer: usize, architecture: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let kind = architecture.mlp;
        let inside = match activation(kind) {
            Some(activation) => Inside::Activation(activation),
            None if kind == Mlp::ClampedSwiglu => Inside::Clamped(architecture.clamp),
            None => return Ok(None),
        };
        let (d, m) = (architecture.d_model, architecture.mlp_width());
        let project = |from_to, role, name: &str| {
            Projection::in_block(from_to, architecture.mlp_bias, role, architecture, vb.pp(name))
        };
        let gate = if kind.is_gated() { Some(project((d, m), Role::Inner, "gate")?) } else { None };
        let up = project((d, m), Role::Inner, "up")?;
        let down = project((m, d), Role::ToStream, "down")?;
        Ok(Some(Self { inside, layer, gate, up, down }))
    }

    /// (B, T, D) → (B, T, D).
    pub(crate) fn forward<O: Observer>(&self, x: &Tensor, observer: &mut O) -> Result<Tensor> {
        let point = |site| Point::block(site, self.layer);
        let unseen = matches!(observer.wants(point(Site::MlpPre)), Want::Nothing);
        let inner = match (&self.gate, self.inside) {
            (None, Inside::Activation(activation)) if unseen => {
                self.up.forward_activated(x, activation)? // (B, T, M)
            }
            (gate, inside) => {
                let pre = gate.as_ref().unwrap_or(&self.up).forward(x)?;
                let pre = observe(observer, point(Site::MlpPre), &pre)?;
                match (gate, inside) {
                    (None, Inside::Activation(activation)) => ops::activate(&pre, activation)?,
                    (_, Inside::Activation(activation)) => {
                        ops::gated(&pre, &self.up.forward(x)?, activation)?
                    }
                    (_, Inside::Clamped(clamp)) => clamped(&pre, &self.up.forward(x)?, clamp)?,
                }
            }
        };
        let inner = observe(observer, point(Site::MlpPost), &inner)?;
        self.down.forward(&inner) // (B, T, D)
    }
}

/// The activation of an MLP, gated or not, if it has a common one.
pub(crate) fn activation(kind: Mlp) -> Option<Activation> {
    match kind {
        Mlp::None | Mlp::ClampedSwiglu => None,
        Mlp::Relu | Mlp::Reglu => Some(Activation::Relu),
        Mlp::Gelu | Mlp::Geglu => Some(Activation::Gelu),
        Mlp::GeluErf | Mlp::GegluErf => Some(Activation::GeluErf),
        Mlp::Silu | Mlp::Swiglu => Some(Activation::Silu),
        Mlp::QuickGelu => Some(Activation::QuickGelu),
        Mlp::ReluSquared => Some(Activation::ReluSquared),
        Mlp::Tanh => Some(Activation::Tanh),
    }
}

/// g·σ(a·g)·(u + 1) with g bounded above and u on both sides (OpenAI 2025, gpt-oss).
fn clamped(gate: &Tensor, up: &Tensor, Clamp { limit, gain }: Clamp) -> Result<Tensor> {
    let gate = gate.minimum(limit)?;
    let up = (up.clamp(-limit, limit)? + 1.0)?;
    // g·σ(a·g) = silu(a·g)/a
    Ok(((ops::activate(&(gate * gain)?, Activation::Silu)? / gain)? * up)?)
}
