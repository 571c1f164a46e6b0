//! The unary periodic languages (aᵏ)*, of which (aa)* is the first. Example with k = 2: a a a → out in out.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `aa_star`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The period k, 2 to 1000: 2 is (aa)*, the default, and 4 is (aaaa)*.
    pub period: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { period: 2 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "aa_star",
        title: "(aa)*",
        class: Class::Periodic,
        protocols: &[Protocol::Prefix],
        definition: "aⁿ → for every prefix whether it is in (aᵏ)*, that is, whether its length is 0 modulo `period`. \
                     There is one string of each length, so the number of independent test strings is the number of \
                     lengths. Published strings are words, of whole periods only.",
        expected: "Published for (aa)* within the training lengths and in two bins beyond: no encoding 100/0/0 % of \
                   whole strings, learned with random offsets 100/100/100. Not in the paper, but expected: learned \
                   without offsets and rotary memorise the training lengths and collapse beyond; a periodic encoding \
                   is trivially right.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264); Huang et al. 2024 (arXiv 2410.02140)",
        example: "kind = \"aa_star\"\nprotocol = \"prefix\"\nperiod = 2\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("aa_star", "period", self.period, 2..=1000)?;
        Ok(setting.pose(AaStar { period: self.period }))
    }
}

/// The problem.
struct AaStar {
    period: u32,
}

impl Problem for AaStar {
    fn label(&self) -> String {
        match self.period {
            k @ 2..=4 => format!("({})*", "a".repeat(k as usize)),
            k => format!("(a^{k})*"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        vec!["a".into()]
    }

    fn answers(&self) -> Vec<String> {
        vec!["out".into(), "in".into()]
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, _rng: &mut Rng) -> Vec<Symbol> {
        vec![0; length]
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let period = self.period as usize;
        let inside = |length: usize| Symbol::from(length.is_multiple_of(period));
        Some(PrefixLabels::Classes((1..=x.len()).map(inside).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::prefixes_are;

    #[test]
    fn a_prefix_is_in_if_it_is_a_number_of_whole_words() {
        for period in [2, 4, 5] {
            let word = vec![0; period as usize];
            prefixes_are(&AaStar { period }, 20, |x| {
                let mut rest = x;
                while let Some(shorter) = rest.strip_prefix(word.as_slice()) {
                    rest = shorter;
                }
                Symbol::from(rest.is_empty())
            });
        }
        assert_eq!(AaStar { period: 2 }.label(), "(aa)*");
        assert_eq!(AaStar { period: 4 }.label(), "(aaaa)*");
        assert_eq!(AaStar { period: 10 }.label(), "(a^10)*");
    }
}
