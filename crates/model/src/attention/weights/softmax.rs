//! Softmax, with a null option if the model has one.

use attnlab_ops::{self as ops, Null, composed};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::{Form, Kind, Place, Rows, Softmax as Term, Weights};
use crate::attention::null_option::NullScore;
use crate::error::Result;

/// Softmax has no options here: `null_option` is a key of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Kind for Config {
    const FORM: Form = Form {
        name: "softmax",
        title: "softmax",
        formula: "A_ij = exp(s_ij) / Σ_j exp(s_ij)",
        cost: "the reference",
        effect: "every row gives all its weight away, to whatever there is",
        source: "Vaswani et al. 2017 (arXiv 1706.03762)",
        example: "attention.weights = \"softmax\"\n",
        fused: true,
    };

    fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(Softmax { null: NullScore::new(place.architecture, vb)? }))
    }
}

struct Softmax {
    null: NullScore,
}

impl Weights for Softmax {
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor> {
        let null = self.null.of_heads(of.heads)?;
        softmax(&scores[0], null.as_null())
    }

    fn softmaxes(&self) -> Result<Option<Vec<Term<'_>>>> {
        Ok(Some(vec![Term { factor: None, null: self.null.as_null() }]))
    }
}

fn softmax(scores: &Tensor, null: Option<Null<'_>>) -> Result<Tensor> {
    Ok(match null {
        None => ops::softmax(scores)?,
        null => composed::pattern(scores, null)?,
    })
}
