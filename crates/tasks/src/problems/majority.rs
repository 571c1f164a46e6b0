//! Binary majority: the commoner bit. Example: 1 0 1 → 1.

use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{Ones, binary};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `majority`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the ones are distributed before ties are redrawn: `uniform` (Huang et al., the default) or `iid`.
    pub ones: Ones,
}

impl Default for Config {
    fn default() -> Self {
        Config { ones: Ones::Uniform }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "majority",
        title: "Binary majority (bag control)",
        class: Class::Control,
        protocols: &[Protocol::Language, Protocol::Encoder, Protocol::Prefix],
        definition: "x ∈ {0,1}ⁿ → the commoner bit. The number of ones is uniform on 0..=n (or the bits fair, with \
                     `ones = \"iid\"`); strings with a tie are drawn again. A tied prefix is labelled 0: the label \
                     is 1 where ones outnumber zeros.",
        expected: "Nothing: the order does not matter and one uniform head counts, so every encoding should pass.",
        source: "Huang et al. 2024 (arXiv 2410.02140), `bin_majority`",
        example: "kind = \"majority\"\nprotocol = \"language\"\nones = \"uniform\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Majority { ones: self.ones }))
    }
}

/// The problem.
struct Majority {
    ones: Ones,
}

fn ones_of(x: &[Symbol]) -> usize {
    x.iter().sum::<Symbol>() as usize
}

impl Problem for Majority {
    fn label(&self) -> String {
        format!("majority ({})", self.ones.name())
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        binary()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        // A tie has probability 1/2 at most (two fair bits), so this ends soon.
        loop {
            let x = self.ones.sample(length, rng);
            if 2 * ones_of(&x) != length {
                return x;
            }
        }
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(vec![Symbol::from(2 * ones_of(x) > x.len())])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let running = x.iter().scan(0i64, |balance, bit| {
            *balance += if *bit == 1 { 1 } else { -1 };
            Some(Symbol::from(*balance > 0))
        });
        Some(PrefixLabels::Classes(running.collect()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are};

    #[test]
    fn every_short_string_has_the_bit_that_is_left_after_cancelling_pairs() {
        // Cancels one 0 against one 1 until one kind is left; a tie counts as 0.
        let slow = |x: &[Symbol]| {
            let (mut zeros, mut ones) = (x.to_vec(), x.to_vec());
            zeros.retain(|bit| *bit == 0);
            ones.retain(|bit| *bit == 1);
            while zeros.pop().is_some() && !ones.is_empty() {
                ones.pop();
            }
            Symbol::from(!ones.is_empty())
        };
        let problem = Majority { ones: Ones::Uniform };
        answers_are(&problem, 8, slow);
        prefixes_are(&problem, 8, slow);
    }

    #[test]
    fn no_sampled_string_is_a_tie_and_the_other_counts_are_even() {
        let mut rng = Rng::seed_from_u64(3);
        for ones in [Ones::Uniform, Ones::Iid] {
            let mut counts = [0u32; 5];
            for _ in 0..8_000 {
                counts[ones_of(&Majority { ones }.sample(4, &mut rng))] += 1;
            }
            assert_eq!(counts[2], 0);
            let expected = match ones {
                Ones::Uniform => [2000, 2000, 0, 2000, 2000],
                Ones::Iid => [800, 3200, 0, 3200, 800],
            };
            assert!(counts.iter().zip(expected).all(|(c, e)| c.abs_diff(e) < 200), "{counts:?}");
        }
    }
}
