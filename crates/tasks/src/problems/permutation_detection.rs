//! Permutation detection: whether the second half is the first or a permutation of it. Example: 7 3 5 3 7 5 → permuted.

use rand::Rng as _;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{distinct, numerals};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// How the second half differs from the first: two tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// By a permutation uniform among all but the identity. In long strings nearly every place differs.
    #[default]
    Shuffle,
    /// By two symbols that have changed places, whichever: every place has to be compared.
    Swap,
}

/// Options of `permutation_detection`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of the alphabet, 2 to 10000 (default 150). Strings are no longer than twice that.
    pub symbols: u32,
    /// How the second half differs: `shuffle` (the default) or `swap`.
    pub change: Change,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 150, change: Change::Shuffle }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "permutation_detection",
        title: "Permutation detection",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "u u or u π(u), each half of the time, with u of n/2 distinct symbols of `symbols` and π(u) ≠ u → \
                     same or permuted. π is uniform among the permutations but the identity, or with `change = \
                     \"swap\"` among the exchanges of two places. Both classes have the same bags of symbols.",
        expected: "An encoder without an encoding is exactly at chance, whatever it learns, as it sees the bag only.",
        source: "this project",
        example: "kind = \"permutation_detection\"\nprotocol = \"encoder\"\nsymbols = 150\nchange = \"shuffle\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("permutation_detection", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(PermutationDetection { symbols: self.symbols, change: self.change }))
    }
}

/// The problem.
struct PermutationDetection {
    symbols: u32,
    change: Change,
}

impl Problem for PermutationDetection {
    fn label(&self) -> String {
        let change = match self.change {
            Change::Shuffle => "shuffle",
            Change::Swap => "swap",
        };
        match self.symbols {
            150 => format!("permutation detection ({change})"),
            k => format!("permutation detection ({change}, {k} symbols)"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        numerals(self.symbols)
    }

    fn answers(&self) -> Vec<String> {
        vec!["same".into(), "permuted".into()]
    }

    fn max_length(&self) -> Option<usize> {
        Some(2 * self.symbols as usize)
    }

    fn admits(&self, length: usize) -> bool {
        length >= 4 && length.is_multiple_of(2) && length <= 2 * self.symbols as usize
    }

    fn lengths(&self) -> String {
        let max = 2 * self.symbols;
        format!("even and 4 to {max}, twice the number of symbols (`task.permutation_detection.symbols`)")
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let half = length / 2;
        let mut x = distinct(half, self.symbols, rng);
        x.extend_from_within(..);
        if rng.random::<bool>() {
            return x;
        }
        let (first, second) = x.split_at_mut(half);
        match self.change {
            // The identity has probability 1/2 at most (two symbols), so this ends soon.
            Change::Shuffle => {
                while first == second {
                    second.shuffle(rng);
                }
            }
            Change::Swap => {
                let one = rng.random_range(0..half as u64) as usize;
                let other = rng.random_range(1..half as u64) as usize;
                second.swap(one, (one + other) % half);
            }
        }
        x
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let (first, second) = x.split_at(x.len() / 2);
        Some(vec![Symbol::from(first != second)])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    #[test]
    fn every_short_string_is_the_same_if_each_symbol_has_its_twin_half_a_string_on() {
        let problem = PermutationDetection { symbols: 3, change: Change::Shuffle };
        for x in [4, 6, 8].into_iter().flat_map(|length| strings(3, length)) {
            let half = x.len() / 2;
            let twins = (0..half).all(|i| x[i] == x[i + half]);
            assert_eq!(problem.answer(&x).unwrap(), [Symbol::from(!twins)], "{x:?}");
        }
    }

    #[test]
    fn half_are_the_same_and_the_permutations_share_the_other_half_alike() {
        for (change, symbols, half, others) in
            [(Change::Shuffle, 3, 3, 5), (Change::Swap, 4, 4, 6), (Change::Swap, 2, 2, 1)]
        {
            let problem = PermutationDetection { symbols, change };
            let mut rng = Rng::seed_from_u64(5);
            let mut seen = BTreeMap::new();
            for _ in 0..12_000 {
                let x = problem.sample(2 * half, &mut rng);
                // Where each symbol of the second half stood in the first: the permutation itself.
                let from = |s: &Symbol| x[..half].iter().position(|other| other == s).unwrap();
                let places: Vec<usize> = x[half..].iter().map(from).collect();
                *seen.entry(places).or_insert(0u32) += 1;
            }
            let same = seen.remove(&(0..half).collect::<Vec<_>>()).unwrap();
            assert!(same.abs_diff(6_000) < 250, "{same}");
            assert_eq!(seen.len(), others);
            let each = 6_000 / others as u32;
            assert!(seen.values().all(|count| count.abs_diff(each) < 250), "{seen:?}");
        }
    }

    #[test]
    fn only_even_lengths_that_the_alphabet_fills_are_admitted() {
        let problem = PermutationDetection { symbols: 4, change: Change::Shuffle };
        let admitted: Vec<usize> = (0..12).filter(|n| problem.admits(*n)).collect();
        assert_eq!(admitted, [4, 6, 8]);
    }
}
