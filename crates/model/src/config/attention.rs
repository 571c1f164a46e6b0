//! The form of attention: what its weights are, and what stands around them. By default plain softmax and nothing.

use serde::{Deserialize, Serialize};

use super::kind::{Nothing, kinds};
use super::{Architecture, ConfigError, NullOption, is_default};
use crate::attention::gate::Bias;
use crate::attention::ssmax::Ssmax;
use crate::attention::weights::WeightsConfig;

/// The form of attention, the `[model.attention]` table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AttentionForm {
    /// How scores become weights.
    #[serde(skip_serializing_if = "is_default")]
    pub weights: WeightsConfig,
    /// What scores are multiplied by besides.
    #[serde(skip_serializing_if = "is_default")]
    pub score_scale: ScoreScale,
    /// A learned key that every query sees, and that belongs to no token.
    #[serde(skip_serializing_if = "is_default")]
    pub extra_key: ExtraKey,
    /// A gate on what each head gives.
    #[serde(skip_serializing_if = "is_default")]
    pub gate: Gate,
    /// The matrices of attention and MLP are Ŵ = (γ/σ(W))·W, σ the largest singular value and γ learned (Zhai et al.
    /// 2023, arXiv 2303.06296).
    #[serde(skip_serializing_if = "is_default")]
    pub sigma_reparam: bool,
}

impl AttentionForm {
    /// Number of trainable scalars that a layer has for it, but for the numbers γ of `sigma_reparam`.
    pub fn parameter_count(&self, a: &Architecture) -> usize {
        let (d, h) = (a.d_model, a.n_heads);
        let gate = match self.gate {
            Gate::None(_) => 0,
            Gate::Head(_) => h * (d + 1),
            Gate::Element(_) => h * a.head_width() * (d + 1),
        };
        let extra = match self.extra_key {
            ExtraKey::None => 0,
            ExtraKey::Key => a.kv_heads() * a.head_width(),
            ExtraKey::KeyValue => 2 * a.kv_heads() * a.head_width(),
        };
        let scale = if matches!(self.score_scale, ScoreScale::Ssmax(_)) { h } else { 0 };
        self.weights.parameter_count(a).saturating_add(gate + extra + scale)
    }

    /// Refuses what no attention can be built from.
    pub(super) fn validate(&self, a: &Architecture) -> Result<(), ConfigError> {
        self.weights.validate(a)?;
        self.score_scale.validate()?;
        if a.null_option != NullOption::None && self.weights != WeightsConfig::default() {
            let problem = format!(
                "weights \"{}\" have no null option of their own to set; use softmax, or null_option = \"none\"",
                self.weights.kind()
            );
            return Err(ConfigError { field: "attention.weights", problem });
        }
        if self.extra_key == ExtraKey::Key && self.weights.weighs_alone() {
            let problem = format!(
                "weights \"{}\" of the tokens do not change with another key, and this one has no value; use \"key_value\"",
                self.weights.kind()
            );
            return Err(ConfigError { field: "attention.extra_key", problem });
        }
        if let Gate::Head(Bias { bias }) | Gate::Element(Bias { bias }) = &self.gate
            && !bias.is_finite()
        {
            return Err(ConfigError {
                field: "attention.gate",
                problem: format!("bias {bias} is not finite"),
            });
        }
        Ok(())
    }
}

/// What scores are multiplied by besides 1/√K.
#[derive(Clone, Debug, PartialEq)]
pub enum ScoreScale {
    /// Nothing.
    None(Nothing),
    /// A learned factor of each head times the logarithm of the number of keys seen.
    Ssmax(Ssmax),
}

kinds!(ScoreScale { "none" => None, "ssmax" => Ssmax });

impl Default for ScoreScale {
    fn default() -> Self {
        Self::None(Nothing {})
    }
}

/// A learned key, one for each key/value head, that every query sees and no encoding turns (Gu et al. 2024, arXiv
/// 2410.10781).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtraKey {
    /// None.
    #[default]
    None,
    /// A key whose value is zero.
    Key,
    /// A key with a learned value.
    KeyValue,
}

/// A gate on what each head gives, before the output projection.
#[derive(Clone, Debug, PartialEq)]
pub enum Gate {
    /// None.
    None(Nothing),
    /// One number for each head.
    Head(Bias),
    /// One number for each dimension of each head.
    Element(Bias),
}

kinds!(Gate { "none" => None, "head" => Head, "element" => Element });

impl Default for Gate {
    fn default() -> Self {
        Self::None(Nothing {})
    }
}
