//! Parity: whether the number of ones is even. Example: 1 0 1 1 → odd.

use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{Ones, binary};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `parity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the ones are distributed: `iid` (Delétang et al., the default) or `uniform` (Huang et al.).
    pub ones: Ones,
}

impl Default for Config {
    fn default() -> Self {
        Config { ones: Ones::Iid }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "parity",
        title: "Parity",
        class: Class::Periodic,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "x ∈ {0,1}ⁿ → even or odd: the number of ones modulo 2. `ones` is iid (fair bits) or uniform \
                     (their number uniform on 0..=n); these are two tasks.",
        expected: "Fails beyond the training lengths under every common encoding: one bit moves a head's output by \
                   O(1/n) only.",
        source: "Hahn 2020 (arXiv 1906.06755); iid: Delétang et al. 2022 (arXiv 2207.02098); uniform: Huang et al. \
                 2024 (arXiv 2410.02140)",
        example: "kind = \"parity\"\nprotocol = \"language\"\nones = \"uniform\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Parity { ones: self.ones }))
    }
}

/// The problem.
struct Parity {
    ones: Ones,
}

impl Problem for Parity {
    fn label(&self) -> String {
        format!("parity ({})", self.ones.name())
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        vec!["even".into(), "odd".into()]
    }

    // Uniform counts too: they are those of coins whose common bias is itself uniform.
    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        self.ones.sample(length, rng)
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(vec![x.iter().sum::<Symbol>() % 2])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let running = x.iter().scan(0, |parity, bit| {
            *parity ^= bit;
            Some(*parity)
        });
        Some(PrefixLabels::Classes(running.collect()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are};

    /// The parity by pairing ones off.
    fn slow(x: &[Symbol]) -> Symbol {
        let mut ones: Vec<_> = x.iter().filter(|bit| **bit == 1).collect();
        while ones.len() >= 2 {
            ones.pop();
            ones.pop();
        }
        ones.len() as Symbol
    }

    #[test]
    fn every_short_string_has_the_parity_of_its_ones() {
        let problem = Parity { ones: Ones::Iid };
        answers_are(&problem, 8, slow);
        prefixes_are(&problem, 8, slow);
    }

    /// How often each number of ones occurs in strings of length 4.
    fn counts(ones: Ones) -> [f64; 5] {
        let mut rng = Rng::seed_from_u64(1);
        let mut counts = [0.0; 5];
        for _ in 0..20_000 {
            let x = Parity { ones }.sample(4, &mut rng);
            counts[x.iter().sum::<Symbol>() as usize] += 1.0 / 20_000.0;
        }
        counts
    }

    #[test]
    fn iid_ones_are_binomial_and_uniform_ones_are_uniform() {
        let near = |a: [f64; 5], b: [f64; 5]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.015);
        assert!(near(counts(Ones::Iid), [1.0, 4.0, 6.0, 4.0, 1.0].map(|c| c / 16.0)));
        assert!(near(counts(Ones::Uniform), [0.2; 5]));
    }

    #[test]
    fn uniform_ones_are_as_likely_at_every_place() {
        let mut rng = Rng::seed_from_u64(2);
        let mut places = [0.0; 5];
        for _ in 0..20_000 {
            let x = Parity { ones: Ones::Uniform }.sample(5, &mut rng);
            x.iter().zip(&mut places).for_each(|(bit, p)| *p += f64::from(*bit) / 20_000.0);
        }
        assert!(places.iter().all(|p| (p - 0.5).abs() < 0.015), "{places:?}");
    }
}
