//! The option to attend to nothing: a key that every query sees, without a token and with the value zero.

use attnlab_ops::Null;
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::maps::pick;
use super::registry::Form;
use crate::config::{Architecture, NullOption};
use crate::error::Result;

pub(super) const ZERO: Form = Form {
    name: "null_zero",
    title: "softmax off by one",
    formula: "A_ij = exp(s_ij) / (1 + Σ_j exp(s_ij))",
    cost: "none",
    effect: "a head for which nothing is relevant may write nothing; with sinks all the same (Xiao et al. 2024)",
    source: "Miller 2023",
    example: "null_option = \"zero\"\n",
    fused: true,
};

pub(super) const LEARNED: Form = Form {
    name: "null_learned",
    title: "learned sink logit",
    formula: "A_ij = exp(s_ij) / (exp(S_h) + Σ_j exp(s_ij)), S_h learned, 0 at first",
    cost: "a number a head",
    effect: "as softmax off by one, and each head sets how much it takes to be heard",
    source: "OpenAI 2025 (gpt-oss)",
    example: "null_option = \"learned\"\n",
    fused: true,
};

/// The score of the option.
pub(super) enum NullScore {
    None,
    Zero,
    Learned(Tensor), // (H)
}

impl NullScore {
    pub(super) fn new(a: &Architecture, vb: VarBuilder) -> Result<Self> {
        Ok(match a.null_option {
            NullOption::None => Self::None,
            NullOption::Zero => Self::Zero,
            NullOption::Learned => Self::Learned(vb.get_with_hints(a.n_heads, "null", Init::Const(0.0))?),
        })
    }

    pub(super) fn as_null(&self) -> Option<Null<'_>> {
        match self {
            Self::None => None,
            Self::Zero => Some(Null::Zero),
            Self::Learned(scores) => Some(Null::Learned(scores)),
        }
    }

    /// That of some heads.
    pub(super) fn of_heads(&self, heads: &[usize]) -> Result<Self> {
        Ok(match self {
            Self::None => Self::None,
            Self::Zero => Self::Zero,
            Self::Learned(scores) => Self::Learned(pick(scores, 0, heads)?),
        })
    }
}
