//! Odds first: every second symbol, then the others. Example: 0 0 1 1 0 1 0 1 → 0 1 1 1 0 1 0 0.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::{Rewriting, named};
use crate::{Protocol, Symbol, Task, TaskError};

/// Options of `odds_first`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of the alphabet, 2 to 10000 (default 2).
    pub symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 2 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "odds_first",
        title: "Odds first",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "x of n independent uniform symbols → x₂x₄… x₁x₃…: the odd indices first, counted from 0, as the \
                     published code has it. The paper's text counts from 1, which exchanges the two parts.",
        expected: "Absolute encodings fall to chance beyond the training lengths: the i-th answer lies at 2i, and at \
                   2(i − ⌊n/2⌋) in the second part.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"odds_first\"\nprotocol = \"encoder\"\nsymbols = 2\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("odds_first", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.symbols)))
    }
}

/// The problem.
fn rewriting(symbols: u32) -> Rewriting {
    let label = named("odds first", symbols, 2);
    Rewriting { kind: "odds_first", label, symbols, distinct: false, times: 1, rewrite: odds_first }
}

/// The symbols at odd indices, counted from 0, then the others.
fn odds_first(x: &[Symbol]) -> Vec<Symbol> {
    let odd = x.iter().skip(1).step_by(2);
    odd.chain(x.iter().step_by(2)).copied().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Problem;
    use crate::problems::exhaustive::strings;

    #[test]
    fn every_short_string_is_dealt_into_its_odd_and_its_even_places() {
        for (count, max) in [(2, 9), (3, 5)] {
            let problem = rewriting(count);
            for x in (1..=max).flat_map(|length| strings(count, length)) {
                // Deals the symbols one by one onto two piles.
                let (mut even, mut odd) = (vec![], vec![]);
                for (i, symbol) in x.iter().enumerate() {
                    if i % 2 == 1 { odd.push(*symbol) } else { even.push(*symbol) }
                }
                odd.extend(even);
                assert_eq!(odd.len(), problem.answer_len(x.len()));
                assert_eq!(problem.answer(&x).unwrap(), odd, "{x:?}");
            }
        }
    }

    #[test]
    fn the_symbol_at_index_one_comes_first_as_in_the_published_code() {
        let problem = rewriting(5);
        assert_eq!(problem.answer(&[0, 1, 2, 3, 4]).unwrap(), [1, 3, 0, 2, 4]);
    }
}
