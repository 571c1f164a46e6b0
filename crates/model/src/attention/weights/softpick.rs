//! A softmax that is rectified, and so has exact zeros and need not give everything away.

use attnlab_ops::composed;
use candle_core::{D, Tensor};
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
        name: "softpick",
        title: "softpick",
        formula: "A_ij = max(exp(s_ij) − 1, 0) / (Σ_j |exp(s_ij) − 1| + ε)",
        cost: "holds T×T maps here",
        effect: "no sink; about half of the weights are exact zeros",
        source: "Zuhri et al. 2025 (arXiv 2504.20966)",
        example: "attention.weights = \"softpick\"\n",
        fused: false,
    };

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Softpick))
    }
}

/// ε: a row of zeros has no weights.
const EPSILON: f64 = 1e-6;

struct Softpick;

impl Weights for Softpick {
    /// With m = max(max s, 0), all terms times exp(−m): exp(s) − 1 is exp(s − m) − exp(−m), and nothing overflows.
    #[expect(
        clippy::disallowed_methods,
        reason = "the result does not depend on the shift by the maximum, so neither does its gradient"
    )]
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let scores = &scores[0];
        if scores.elem_count() == 0 {
            return Ok(scores.clone()); // Candle has no maximum of nothing
        }
        let max = composed::relu(&scores.detach().max_keepdim(D::Minus1)?)?; // (B, H, R, 1)
        let one = max.neg()?.exp()?;
        let above = scores.broadcast_sub(&max)?.exp()?.broadcast_sub(&one)?;
        let above = where_visible(&visible(scores)?, &above)?;
        let (picked, rest) = (composed::relu(&above)?, composed::relu(&above.neg()?)?);
        let sum = ((&picked + rest)?.sum_keepdim(D::Minus1)? + (one * EPSILON)?)?;
        Ok(picked.broadcast_div(&sum)?)
    }

    fn mass(&self) -> Mass {
        Mass::Free
    }
}
