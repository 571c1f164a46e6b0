//! Bracket depth: how many brackets are open. Example: ( ( ) ( ) ) → 1 2 1 2 1 0.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::nesting::{self, Law, Words};
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `bracket_depth`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of bracket types, 1 to 1000 (default 1); the type does not matter to the depth.
    pub brackets: u32,
    /// The largest depth told apart, 1 to 1000 (default 10): deeper places are labelled with it.
    pub cap: u32,
    /// The deepest nesting, 1 to 1000; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// How words are weighed: `uniform`, the default, or with a `max_depth` the `walk` of Yao et al.
    pub law: Law,
}

impl Default for Config {
    fn default() -> Self {
        Config { brackets: 1, cap: 10, max_depth: None, law: Law::Uniform }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "bracket_depth",
        title: "Bracket depth",
        class: Class::Hierarchical,
        protocols: &[Protocol::Prefix],
        definition: "A word of well-nested brackets of `brackets` types, even n, of depth at most `max_depth`, drawn \
                     by `law` among those of its length → after every symbol the number of open brackets, at most \
                     `cap`.",
        expected: "The easy half of nesting: a count, which a head that averages opening and closing brackets holds \
                   as depth/n, so that neighbouring depths come closer as n grows.",
        source: "this project, on the words of Yao et al. 2021 (arXiv 2105.11115)",
        example: "kind = \"bracket_depth\"\nprotocol = \"prefix\"\nbrackets = 2\ncap = 10\nmax_depth = 10\n\
                  law = \"walk\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        nesting::check("bracket_depth", self.brackets, 1, self.max_depth, self.law)?;
        in_range("bracket_depth", "cap", self.cap, 1..=1000)?;
        let words = Words::new(self.brackets, self.max_depth, self.law);
        Ok(setting.pose(BracketDepth { words, cap: self.cap }))
    }
}

/// The problem.
struct BracketDepth {
    words: Words,
    cap: u32,
}

impl Problem for BracketDepth {
    fn label(&self) -> String {
        format!("bracket depth ({}, capped at {})", self.words.label(), self.cap)
    }

    fn alphabet(&self) -> Vec<String> {
        self.words.alphabet()
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.cap + 1)
    }

    fn admits(&self, length: usize) -> bool {
        nesting::admits(length)
    }

    fn lengths(&self) -> String {
        nesting::lengths()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        self.words.sample(length, rng)
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let depth = x.iter().scan(0u32, |depth, symbol| {
            let opens = *symbol < self.words.brackets();
            *depth = if opens { *depth + 1 } else { depth.saturating_sub(1) };
            Some((*depth).min(self.cap))
        });
        Some(PrefixLabels::Classes(depth.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nesting::tests::{depths, words};

    #[test]
    fn every_place_of_a_word_has_the_excess_of_opening_over_closing_brackets() {
        for (brackets, cap) in [(1, 10), (1, 2), (2, 1)] {
            let problem = BracketDepth { words: Words::new(brackets, None, Law::Uniform), cap };
            for x in [2, 4, 6, 8].iter().filter(|n| **n < 8 || brackets == 1).flat_map(|n| words(*n, brackets, None)) {
                let expected = depths(&x, brackets).iter().map(|depth| (*depth as Symbol).min(cap)).collect();
                assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(expected)), "{x:?}");
            }
        }
    }
}
