//! Scalable softmax: scores grow with the logarithm of the number of keys, as much as each head has learned.

use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use super::registry::Form;
use crate::config::{Architecture, ConfigError, ScoreScale};
use crate::error::Result;

pub(super) const FORM: Form = Form {
    name: "ssmax",
    title: "scalable softmax",
    formula: "s_ij = a_h·ln n_i · scale·q_i·k_j, a_h learned, 1/ln(length) at first; n_i: the keys that query i sees. What an \
              encoding adds to the scores is not multiplied",
    cost: "a number a head",
    effect: "less dispersion with length: one key among n can keep its weight however large n gets",
    source: "Nakanishi 2025 (arXiv 2501.19399)",
    example: "attention.score_scale = { kind = \"ssmax\", length = 384 }\n",
    fused: true,
};

/// Options of the scalable softmax.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ssmax {
    /// Of so many keys the scores start as they would be without it, at least 2. Default 384, where the paper's first
    /// factor of 0.168 is 1.
    pub length: usize,
}

impl Default for Ssmax {
    fn default() -> Self {
        Self { length: 384 }
    }
}

/// The factors of one layer.
pub(super) struct Factors {
    heads: Tensor, // (H)
}

impl ScoreScale {
    pub(crate) fn validate(&self) -> std::result::Result<(), ConfigError> {
        match self {
            Self::Ssmax(Ssmax { length }) if *length < 2 => Err(ConfigError {
                field: "attention.score_scale",
                problem: format!("length {length}; expected at least 2, as ln 1 is 0"),
            }),
            _ => Ok(()),
        }
    }
}

impl Factors {
    pub(super) fn new(a: &Architecture, vb: VarBuilder) -> Result<Option<Self>> {
        let ScoreScale::Ssmax(Ssmax { length }) = a.attention.score_scale else { return Ok(None) };
        let start = Init::Const(1.0 / (length as f64).ln());
        Ok(Some(Self { heads: vb.get_with_hints(a.n_heads, "score_scale", start)? }))
    }

    /// Queries (B, Tq, H, K) times a_h·ln n_i.
    pub(super) fn scale(&self, q: &Tensor, seen: &[usize]) -> Result<Tensor> {
        let logs: Vec<f64> = seen.iter().map(|&n| (n.max(1) as f64).ln()).collect();
        let logs = Tensor::from_vec(logs, (1, seen.len(), 1, 1), &Device::Cpu)?;
        let logs = logs.to_dtype(q.dtype())?.to_device(q.device())?;
        let factors = logs.broadcast_mul(&self.heads.reshape((1, 1, (), 1))?)?; // (1, Tq, H, 1)
        Ok(q.broadcast_mul(&factors)?)
    }
}
