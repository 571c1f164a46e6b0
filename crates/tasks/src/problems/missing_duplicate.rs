//! Missing duplicate: the symbol that is hidden in a string written twice. Example: 0 1 1 0 0 ? 1 0 → 1.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{binary, bits};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `missing_duplicate`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "missing_duplicate",
        title: "Missing duplicate",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "w w with w ∈ {0,1}^⌊n/2⌋ (fair bits), one symbol of the 2⌊n/2⌋ (uniform) hidden as `?`, and `_` \
                     at the end if n is odd → the hidden symbol. The published code writes 2 and 3 for `?` and `_` \
                     and has a constant string at n = 1; here n is at least 2.",
        expected: "Near chance beyond the training lengths unless positions are relative: the twin lies n/2 places \
                   away, a distance that no symbol marks.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"missing_duplicate\"\nprotocol = \"encoder\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(MissingDuplicate))
    }
}

const HOLE: Symbol = 2;
const PAD: Symbol = 3;

/// The problem.
struct MissingDuplicate;

impl Problem for MissingDuplicate {
    fn label(&self) -> String {
        "missing duplicate".into()
    }

    fn alphabet(&self) -> Vec<String> {
        ["0", "1", "?", "_"].map(str::to_owned).to_vec()
    }

    fn answers(&self) -> Vec<String> {
        binary()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 2
    }

    fn lengths(&self) -> String {
        "at least 2".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = bits(length / 2, rng);
        x.extend_from_within(..);
        let hole = rng.random_range(0..x.len() as u64) as usize;
        x[hole] = HOLE;
        x.resize(length, PAD);
        x
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let half = x.len() / 2;
        let hole = x.iter().position(|symbol| *symbol == HOLE)?;
        let twin = if hole < half { hole + half } else { hole - half };
        x.get(twin).map(|symbol| vec![*symbol])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// Every string of the task of a length with its answer, by hiding each symbol of every doubled word.
    fn all(length: usize) -> BTreeMap<Vec<Symbol>, Symbol> {
        let mut all = BTreeMap::new();
        for w in strings(2, length / 2) {
            for hole in 0..2 * w.len() {
                let mut x = w.repeat(2);
                let hidden = std::mem::replace(&mut x[hole], HOLE);
                x.resize(length, PAD);
                all.insert(x, hidden);
            }
        }
        all
    }

    #[test]
    fn the_answer_is_the_one_bit_that_makes_two_equal_halves() {
        for length in 2..=11 {
            for (x, hidden) in all(length) {
                assert_eq!(MissingDuplicate.answer(&x), Some(vec![hidden]), "{x:?}");
            }
        }
    }

    #[test]
    fn every_word_and_every_hole_is_equally_likely() {
        for length in [2, 3, 6, 7] {
            let expected = all(length);
            let mut rng = Rng::seed_from_u64(1);
            let mut seen = BTreeMap::new();
            for _ in 0..400 * expected.len() {
                *seen.entry(MissingDuplicate.sample(length, &mut rng)).or_insert(0u32) += 1;
            }
            assert!(seen.keys().eq(expected.keys()), "{seen:?}");
            assert!(seen.values().all(|count| count.abs_diff(400) < 100), "{seen:?}");
        }
    }
}
