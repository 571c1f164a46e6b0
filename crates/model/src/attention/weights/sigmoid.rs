//! Each key is weighed alone, by the logistic function.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Mass, Place, Rows, Weights, visible, where_visible};
use crate::error::Result;

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "sigmoid",
        title: "sigmoid attention",
        formula: "A_ij = σ(s_ij − ln n_i), n_i: the keys that query i sees",
        cost: "holds T×T maps here",
        effect: "no sink: a row need not give anything; with rows that are normalised the sink is back (Gu et al. 2024)",
        source: "Ramapuram et al. 2024 (arXiv 2409.04431)",
        example: "attention.weights = \"sigmoid\"\n",
        fused: false,
    };

    fn weighs_alone(&self) -> bool {
        true
    }

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Sigmoid))
    }
}

struct Sigmoid;

impl Weights for Sigmoid {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        let visible = visible(&scores[0])?;
        let weights = sigmoid(&scores[0].broadcast_sub(&of.of_seen(f64::ln, &scores[0])?)?)?;
        where_visible(&visible, &weights)
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}

/// 1/(1 + e^−x).
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    /// Below it the result is nothing in f32, while e^−x would overflow and its gradient be no number.
    const LEAST: f64 = -80.0;
    let x = x.lt(LEAST)?.where_cond(&(x.zeros_like()? + LEAST)?, x)?;
    Ok((x.neg()?.exp()? + 1.0)?.recip()?)
}
