//! Softmax that is sharpened where it is spread, once the model is trained.

use attnlab_ops::{self as ops, composed};
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Place, Rows, Weights, visible, where_visible};
use crate::error::Result;

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "adaptive",
        title: "adaptive temperature",
        formula: "A_i = softmax(β·s_i), β = max(−0.037H⁴ + 0.481H³ − 2.3H² + 4.917H − 1.791, 1) where the entropy H of \
                  softmax(s_i) is above 0.5 nat, else 1; in training β = 1",
        cost: "a second softmax; holds T×T maps here",
        effect: "less dispersion with length, without training",
        source: "Veličković et al. 2024 (arXiv 2410.01104)",
        example: "attention.weights = \"adaptive\"\n",
        fused: false,
    };

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Adaptive))
    }
}

/// Of the polynomial in H, highest power first.
const COEFFICIENTS: [f64; 5] = [-0.037, 0.481, -2.3, 4.917, -1.791];
/// Rows with less entropy are left alone.
const SPREAD: f64 = 0.5;

struct Adaptive;

impl Weights for Adaptive {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        let scores = &scores[0];
        let plain = ops::softmax(scores)?;
        if of.training {
            return Ok(plain);
        }
        let beta = sharpness(&plain)?;
        let visible = visible(scores)?;
        // −∞ times β has no gradient that is a number.
        let sharpened = where_visible(&visible, scores)?.broadcast_mul(&beta)?;
        let hidden = (scores.zeros_like()? + f64::NEG_INFINITY)?;
        Ok(ops::softmax(&visible.where_cond(&sharpened, &hidden)?)?)
    }
}

/// β of every row, (B, H, R, 1), from softmax weights (B, H, R, T).
fn sharpness(weights: &Tensor) -> Result<Tensor> {
    // p ln p is 0 at 0; the least number keeps the logarithm finite.
    let entropy = (weights * (weights + 1e-30)?.log()?)?.sum_keepdim(D::Minus1)?.neg()?;
    let mut beta = (entropy.zeros_like()? + COEFFICIENTS[0])?;
    for coefficient in &COEFFICIENTS[1..] {
        beta = ((beta * &entropy)? + *coefficient)?;
    }
    let beta = (composed::relu(&(beta - 1.0)?)? + 1.0)?;
    Ok(entropy.gt(SPREAD)?.where_cond(&beta, &beta.ones_like()?)?)
}
