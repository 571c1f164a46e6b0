//! A softmax that is stretched beyond 0 and 1 and cut off there.

use attnlab_ops::{self as ops, composed};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::elastic::finite;
use super::{Form, Kind, Mass, Place, Rows, Weights, refuse};
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// Options of the clipped softmax.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// γ, where the stretched softmax begins, at most 0 (default −0.03).
    pub low: f64,
    /// ζ, where it ends, at least 1 (default 1).
    pub high: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { low: -0.03, high: 1.0 }
    }
}

impl Kind for Config {
    const FORM: Form = Form {
        name: "clipped",
        title: "clipped softmax",
        formula: "A_ij = min(max((ζ − γ)·softmax(s)_ij + γ, 0), 1); low: γ, high: ζ",
        cost: "holds T×T maps here",
        effect: "exact zeros without large scores; helped BERT, not OPT",
        source: "Bondarenko et al. 2023 (arXiv 2306.12929)",
        example: "attention.weights = { kind = \"clipped\", low = -0.03, high = 1.0 }\n",
        fused: false,
    };

    fn validate(&self, _: &Architecture) -> std::result::Result<(), ConfigError> {
        finite("low", self.low)?;
        finite("high", self.high)?;
        if self.low > 0.0 || self.high < 1.0 {
            let Self { low, high } = self;
            return refuse(format!(
                "low {low} and high {high}; expected low ≤ 0, or hidden keys had weights, and high ≥ 1"
            ));
        }
        Ok(())
    }

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Clipped { low: self.low, high: self.high }))
    }
}

struct Clipped {
    low: f64,
    high: f64,
}

impl Weights for Clipped {
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let stretched = ((ops::softmax(&scores[0])? * (self.high - self.low))? + self.low)?;
        let positive = composed::relu(&stretched)?;
        Ok(positive.gt(1.0)?.where_cond(&positive.ones_like()?, &positive)?)
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}
