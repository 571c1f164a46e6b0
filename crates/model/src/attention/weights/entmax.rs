//! Between softmax and sparsemax.

use attnlab_ops::composed;
use candle_core::{D, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::support::{shifted, support};
use super::{Form, Kind, Place, Rows, Weights};
use crate::error::Result;

/// No options: α is 1.5.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "entmax",
        title: "1.5-entmax",
        formula: "A_ij = max(s_ij/2 − τ_i, 0)², τ_i such that the row sums to 1",
        cost: "a sort of every row; holds T×T maps here",
        effect: "fewer keys with weight than softmax, smoother than sparsemax",
        source: "Peters et al. 2019 (arXiv 1905.05702); in attention: Correia et al. 2019 (arXiv 1909.00015)",
        example: "attention.weights = \"entmax\"\n",
        fused: false,
    };

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Entmax))
    }
}

/// Below it the root under τ has no slope in f32; reached only where keys enter the support.
const LEAST: f64 = 1e-12;

struct Entmax;

impl Weights for Entmax {
    /// With x = s/2 over the k keys with weight: τ = mean x − √((1 − Σ(x − mean x)²)/k).
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let support = support(&scores[0], size)?;
        let x = (shifted(&scores[0], &support)? * 0.5)?;
        let count = (composed::relu(&(support.sum_keepdim(D::Minus1)? - 1.0)?)? + 1.0)?;
        let mean = x.sum_keepdim(D::Minus1)?.broadcast_div(&count)?;
        let spread = (x.broadcast_sub(&mean)? * &support)?.sqr()?.sum_keepdim(D::Minus1)?;
        let under = (1.0 - spread)?.broadcast_div(&count)?;
        let root = (composed::relu(&(under - LEAST)?)? + LEAST)?.sqrt()?;
        let above = composed::relu(&x.broadcast_sub(&(mean - root)?)?)?;
        Ok((above.sqr()? * support)?)
    }
}

/// The largest k whose threshold lies below x_(k).
fn size(sorted: &[f64]) -> usize {
    let Some(&top) = sorted.first() else { return 0 };
    let (mut sum, mut squares) = (0.0, 0.0);
    let inside = sorted.iter().enumerate().take_while(|&(at, s)| {
        let (x, k) = ((s - top) / 2.0, (at + 1) as f64);
        sum += x;
        squares += x * x;
        let mean = sum / k;
        let under = (1.0 - (squares - k * mean * mean)) / k;
        under >= 0.0 && x > mean - under.sqrt()
    });
    inside.count().max(1)
}
