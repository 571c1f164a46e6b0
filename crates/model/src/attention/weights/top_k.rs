//! Softmax over the keys with the largest scores.

use attnlab_ops as ops;
use candle_core::Tensor;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use super::support::support;
use super::{Form, Kind, Place, Rows, Weights, refuse};
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// Options of the k largest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Keys that a query may give weight to (default 8).
    pub k: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { k: 8 }
    }
}

impl Kind for Config {
    const FORM: Form = Form {
        name: "top_k",
        title: "softmax of the k largest scores",
        formula: "A_i = softmax(s_i) over the k largest s_ij; of equal scores the earlier key's",
        cost: "a sort of every row; all T² scores are computed, and T×T maps held",
        effect: "at most k keys with weight",
        source: "Gupta et al. 2021 (arXiv 2106.06899)",
        example: "attention.weights = { kind = \"top_k\", k = 8 }\n",
        fused: false,
    };

    fn validate(&self, _: &Architecture) -> std::result::Result<(), ConfigError> {
        if self.k == 0 { refuse("k is 0; at least one key must be seen".to_string()) } else { Ok(()) }
    }

    fn build(&self, _: &Place<'_>, _: VarBuilder) -> Result<Box<dyn Weights>> {
        Ok(Box::new(TopK(self.k)))
    }
}

struct TopK(usize);

impl Weights for TopK {
    fn weigh(&self, scores: &[Tensor], _: &Rows<'_>) -> Result<Tensor> {
        let scores = &scores[0];
        let support = support(scores, |_| self.0)?.gt(0.0)?;
        let hidden = (scores.zeros_like()? + f64::NEG_INFINITY)?;
        Ok(ops::softmax(&support.where_cond(scores, &hidden)?)?)
    }
}
