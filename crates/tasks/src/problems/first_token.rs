//! First token: the first symbol of a binary string. Example: 1 0 0 → 1.

use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{binary, bits};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `first_token`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "first_token",
        title: "First token",
        class: Class::Recall,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "x ∈ {0,1}ⁿ (fair bits) → x₁.",
        expected: "Confidence falls with n, as one token's share of the attention does; \
                   scaling the logits by log n restores it.",
        source: "Chiang & Cholak 2022 (arXiv 2202.12172), language FIRST",
        example: "kind = \"first_token\"\nprotocol = \"encoder\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(FirstToken))
    }
}

/// The problem.
struct FirstToken;

impl Problem for FirstToken {
    fn label(&self) -> String {
        "first token".into()
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        binary()
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        bits(length, rng)
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(x.iter().take(1).copied().collect())
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let first = x.first()?;
        Some(PrefixLabels::Classes(vec![*first; x.len()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are};

    #[test]
    fn every_short_string_is_answered_by_its_first_symbol() {
        let slow = |x: &[Symbol]| x.iter().copied().reduce(|first, _| first).unwrap_or(9);
        answers_are(&FirstToken, 8, slow);
        prefixes_are(&FirstToken, 8, slow);
    }
}
