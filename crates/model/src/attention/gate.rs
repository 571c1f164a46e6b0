//! A gate on what each head gives, opened and closed by what the query's token holds.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::registry::Form;
use super::weights::sigmoid::sigmoid;
use crate::config::{Architecture, Gate};
use crate::error::Result;
use crate::projection::{Projection, Role};

pub(super) const HEAD: Form = Form {
    name: "gate_head",
    title: "a gate for each head",
    formula: "z_h ← z_h · σ(x·W_g + b)_h; b starts at `bias`",
    cost: "D + 1 numbers a head",
    effect: "a head can write nothing without a sink: the first token's weight falls, and large activations with it",
    source: "Qiu et al. 2025 (arXiv 2505.06708); Bondarenko et al. 2023 (arXiv 2306.12929)",
    example: "attention.gate = { kind = \"head\", bias = 0.0 }\n",
    fused: true,
};

pub(super) const ELEMENT: Form = Form {
    name: "gate_element",
    title: "a gate for each dimension of each head",
    formula: "z ← z ⊙ σ(x·W_g + b); b starts at `bias`",
    cost: "a matrix as large as that of the queries",
    effect: "as a gate for each head, and somewhat better losses in the paper",
    source: "Qiu et al. 2025 (arXiv 2505.06708)",
    example: "attention.gate = { kind = \"element\", bias = 0.0 }\n",
    fused: true,
};

/// Options of a gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bias {
    /// What the biases start with. 0, the default, starts with gates half open, like the paper's, which have no bias; with
    /// 2 they start 88 % open.
    pub bias: f64,
}

/// The gate of one layer.
pub(super) struct OutputGate {
    projection: Projection,
    /// Numbers a head: 1 or K.
    width: usize,
}

impl OutputGate {
    pub(super) fn new(a: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let (width, start) = match &a.attention.gate {
            Gate::None(_) => return Ok(None),
            Gate::Head(Bias { bias }) => (1, *bias),
            Gate::Element(Bias { bias }) => (a.head_width(), *bias),
        };
        let sizes = (a.d_model, a.n_heads * width);
        let projection = Projection::biased(sizes, start, Role::Inner, a, vb.pp("gate"))?;
        Ok(Some(Self { projection, width }))
    }

    /// z (B, T, H, K), gated by x (B, T, D).
    pub(super) fn apply(&self, z: &Tensor, x: &Tensor) -> Result<Tensor> {
        let (b, t, h, _) = z.dims4()?;
        let open = sigmoid(&self.projection.forward(x)?)?; // (B, T, H) or (B, T, H·K)
        Ok(z.broadcast_mul(&ops::reshape(&open, (b, t, h, self.width))?)?)
    }
}
