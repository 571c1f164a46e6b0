//! Softmax from which a learned share of the even weight is subtracted.

use attnlab_ops::{self as ops, composed};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Mass, Place, Rows, Weights, refuse};
use crate::attention::maps::pick;
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// Options of elastic attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What τ of every head starts with (default −1: keys below the even weight get nothing).
    pub tau: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { tau: -1.0 }
    }
}

impl Kind for Config {
    const FORM: Form = Form {
        name: "elastic",
        title: "elastic softmax",
        formula: "A_ij = max(softmax(s)_ij + τ_h / n_i, 0), τ_h learned, n_i: the keys that query i sees",
        cost: "a number a head; holds T×T maps here",
        effect: "exact zeros; part of a row may go to nothing",
        source: "Lazy Attention (arXiv 2601.00919)",
        example: "attention.weights = { kind = \"elastic\", tau = -1.0 }\n",
        fused: false,
    };

    fn parameter_count(&self, a: &Architecture) -> usize {
        a.n_heads
    }

    fn validate(&self, _: &Architecture) -> std::result::Result<(), ConfigError> {
        finite("tau", self.tau)
    }

    fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Elastic::new(self.tau, place, &vb)?))
    }
}

/// Refuses an option that is no finite number.
pub(super) fn finite(option: &str, value: f64) -> std::result::Result<(), ConfigError> {
    if value.is_finite() { Ok(()) } else { refuse(format!("{option} is {value}, which is not finite")) }
}

/// Elastic softmax of one layer.
pub(super) struct Elastic {
    tau: Tensor, // (H)
}

impl Elastic {
    pub(super) fn new(tau: f64, place: &Place<'_>, vb: &VarBuilder) -> Result<Self> {
        let heads = place.architecture.n_heads;
        Ok(Self { tau: vb.pp("weights").get_with_hints(heads, "tau", Init::Const(tau))? })
    }
}

impl Weights for Elastic {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        let tau = pick(&self.tau, 0, of.heads)?.reshape((1, of.heads.len(), 1, 1))?;
        let offset = tau.broadcast_mul(&of.of_seen(f64::recip, &scores[0])?)?; // (1, H', R, 1)
        let raised = ops::softmax(&scores[0])?.broadcast_add(&offset)?;
        // τ may have become positive: a hidden key has no weight all the same.
        super::where_visible(&super::visible(&scores[0])?, &composed::relu(&raised)?)
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}
