//! The nearest distribution to the scores: many of its weights are exact zeros.

use attnlab_ops::composed;
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::support::{shifted, support};
use super::{Form, Kind, Place, Rows, Weights};
use crate::error::Result;

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "sparsemax",
        title: "sparsemax",
        formula: "A_ij = max(s_ij − τ_i, 0), τ_i such that the row sums to 1",
        cost: "a sort of every row; holds T×T maps here",
        effect: "few keys with weight, however many there are",
        source: "Martins and Astudillo 2016 (arXiv 1602.02068)",
        example: "attention.weights = \"sparsemax\"\n",
        fused: false,
    };

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Sparsemax))
    }
}

struct Sparsemax;

impl Weights for Sparsemax {
    /// τ = (Σ s − 1)/k over the k keys with weight, so that the gradient follows from the support alone.
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let support = support(&scores[0], size)?;
        let s = shifted(&scores[0], &support)?;
        let count = composed::relu(&(support.sum_keepdim(D::Minus1)? - 1.0)?)? + 1.0;
        let tau = (s.sum_keepdim(D::Minus1)? - 1.0)?.broadcast_div(&count?)?;
        Ok((composed::relu(&s.broadcast_sub(&tau)?)? * support)?)
    }
}

/// The largest k with 1 + k·s_(k) > s_(1) + … + s_(k).
fn size(sorted: &[f64]) -> usize {
    let Some(&top) = sorted.first() else { return 0 };
    let mut sum = 0.0;
    let inside = sorted.iter().enumerate().take_while(|&(at, s)| {
        let s = s - top;
        sum += s;
        1.0 + (at + 1) as f64 * s > sum
    });
    inside.count().max(1)
}
