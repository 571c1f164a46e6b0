//! Scores above zero are the weights.

use attnlab_ops::composed;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Mass, Place, Rows, Weights};
use crate::error::Result;

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "relu",
        title: "ReLU attention",
        formula: "A_ij = max(s_ij, 0) / n_i, n_i: the keys that query i sees",
        cost: "holds T×T maps here",
        effect: "no sink, many exact zeros",
        source: "Wortsman et al. 2023 (arXiv 2309.08586); without sinks: Guo et al. 2024 (arXiv 2410.13835)",
        example: "attention.weights = \"relu\"\n",
        fused: false,
    };

    fn weighs_alone(&self) -> bool {
        true
    }

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Relu))
    }
}

struct Relu;

impl Weights for Relu {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        Ok(composed::relu(&scores[0])?.broadcast_mul(&of.of_seen(f64::recip, &scores[0])?)?)
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}
