//! Elastic softmax of scores to which every head adds a learned number for each distance.

use attnlab_ops::DistanceBias;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use super::elastic::{Elastic, finite};
use super::{Distances, Form, Kind, Mass, Place, Rows, Weights, refuse};
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// Options of lazy attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What τ of every head starts with (default −1).
    pub tau: f64,
    /// Distances below this have a number of their own (default 512); farther keys have none.
    pub reach: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { tau: -1.0, reach: 512 }
    }
}

impl Kind for Config {
    const FORM: Form = Form {
        name: "lazy",
        title: "lazy attention",
        formula: "A_ij = max(softmax(s + b_h[|i − j|])_ij + τ_h / n_i, 0), b_h of distances below `reach` and τ_h learned; \
                  meant to be used with RoPE",
        cost: "`reach` + 1 numbers a head; holds T×T maps here",
        effect: "sparser attention without a sink: spread and forced weight both less",
        source: "Lazy Attention (arXiv 2601.00919)",
        example: "attention.weights = { kind = \"lazy\", tau = -1.0, reach = 512 }\n",
        fused: false,
    };

    fn parameter_count(&self, a: &Architecture) -> usize {
        a.n_heads.saturating_mul(self.reach.saturating_add(1))
    }

    fn validate(&self, _: &Architecture) -> std::result::Result<(), ConfigError> {
        finite("tau", self.tau)?;
        match self.reach {
            1..=1_048_576 => Ok(()),
            reach => refuse(format!("reach {reach} is not between 1 and 1048576")),
        }
    }

    fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>> {
        let shape = (place.architecture.n_heads, self.reach);
        let bias = vb.pp("weights").get_with_hints(shape, "bias", Init::Const(0.0))?;
        Ok(Box::new(Lazy { elastic: Elastic::new(self.tau, place, &vb)?, bias }))
    }
}

struct Lazy {
    elastic: Elastic,
    bias: Tensor, // (H, reach)
}

impl Weights for Lazy {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        self.elastic.weigh(scores, of)
    }

    fn bias(&self, of: &Distances) -> Result<Option<DistanceBias>> {
        let (heads, reach) = self.bias.dims2()?;
        // One column more, of zeros, for whatever is farther.
        let zeros = Tensor::zeros((heads, 1), self.bias.dtype(), self.bias.device())?;
        let table = Tensor::cat(&[&self.bias, &zeros], 1)?;
        let first = if of.causal { 0 } else { 1 - of.queries as i64 };
        let last = of.keys.saturating_sub(1) as i64;
        let columns: Vec<u32> =
            (first..=last).map(|distance| distance.unsigned_abs().min(reach as u64) as u32).collect();
        let columns = Tensor::from_slice(&columns, columns.len(), self.bias.device())?;
        Ok(Some(DistanceBias { values: table.index_select(&columns, 1)?, first }))
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}
