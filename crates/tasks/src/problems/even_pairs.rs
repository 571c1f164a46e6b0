//! Even pairs: whether the number of adjacent unequal pairs is even. Example: 0 1 1 0 → two pairs, even.

use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{binary, bits};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `even_pairs`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "even_pairs",
        title: "Even pairs",
        class: Class::Recall,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "x ∈ {0,1}ⁿ (fair bits) → even or odd: the number of places with xᵢ ≠ xᵢ₊₁ modulo 2. It looks \
                     periodic but is even if and only if x₁ = xₙ.",
        expected: "Encoders without an encoding or with an absolute one are reported at chance beyond the training \
                   lengths, relative ones above it; causal prefixes barely tell encodings apart.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"even_pairs\"\nprotocol = \"encoder\"\nbos = false\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(EvenPairs))
    }
}

/// The problem.
struct EvenPairs;

impl Problem for EvenPairs {
    fn label(&self) -> String {
        "even pairs".into()
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        vec!["even".into(), "odd".into()]
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        bits(length, rng)
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(vec![x.first()? ^ x.last()?])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let first = x.first()?;
        Some(PrefixLabels::Classes(x.iter().map(|last| first ^ last).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are};

    #[test]
    fn every_short_string_has_the_parity_of_its_unequal_pairs() {
        let slow = |x: &[Symbol]| {
            let unequal = x.windows(2).filter(|pair| pair[0] != pair[1]);
            unequal.count() as Symbol % 2
        };
        answers_are(&EvenPairs, 8, slow);
        prefixes_are(&EvenPairs, 8, slow);
    }
}
