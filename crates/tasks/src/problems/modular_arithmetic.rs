//! Modular arithmetic without brackets. Example modulo 5: 1 + 2 * 3 → 2.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{IGNORE, PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `modular_arithmetic`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The modulus, 2 to 1000 (default 5); numbers are single symbols below it.
    pub modulus: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { modulus: 5 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "modular_arithmetic",
        title: "Modular arithmetic (simple)",
        class: Class::Periodic,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "Numbers below `modulus` with +, − or * between them, all uniform → the value modulo `modulus`, \
                     products before sums, from left to right. Lengths are odd; where a published length is even, its \
                     code takes the one below (the paper says above), so the odd lengths of a range are drawn alike. \
                     Prefixes are labelled at numbers only.",
        expected: "As parity: no published encoding is far above chance beyond the training lengths. The value 0 is \
                   the likeliest, as products vanish.",
        source: "Delétang et al. 2022 (arXiv 2207.02098) and its code, for the precedence and the rounding",
        example: "kind = \"modular_arithmetic\"\nprotocol = \"encoder\"\nmodulus = 5\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("modular_arithmetic", "modulus", self.modulus, 2..=1000)?;
        Ok(setting.pose(ModularArithmetic { modulus: self.modulus }))
    }
}

/// The problem; symbols below the modulus are numbers, then come +, − and *.
struct ModularArithmetic {
    modulus: u32,
}

impl ModularArithmetic {
    /// The values of the prefixes that end in a number.
    fn values(&self, x: &[Symbol]) -> impl Iterator<Item = Symbol> {
        let m = self.modulus;
        // The finished terms, and the product that may still grow.
        let (mut sum, mut product) = (0, 0);
        let mut operator = m;
        x.chunks(2).map(move |part| {
            let number = part[0];
            match operator - m {
                0 => (sum, product) = ((sum + product) % m, number),
                1 => (sum, product) = ((sum + product) % m, (m - number) % m),
                _ => product = product * number % m,
            }
            operator = part.get(1).copied().unwrap_or(m);
            (sum + product) % m
        })
    }
}

impl Problem for ModularArithmetic {
    fn label(&self) -> String {
        format!("modular arithmetic (mod {})", self.modulus)
    }

    fn alphabet(&self) -> Vec<String> {
        let operators = ["+", "-", "*"].map(str::to_owned);
        numerals(self.modulus).into_iter().chain(operators).collect()
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.modulus)
    }

    fn admits(&self, length: usize) -> bool {
        !length.is_multiple_of(2)
    }

    fn lengths(&self) -> String {
        "odd".to_owned()
    }

    // A prefix that ends in an operator has no label there, and those of its numbers are those of the prefix before.
    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let m = self.modulus;
        let symbol = |place: usize| match place % 2 {
            0 => rng.random_range(0..m),
            _ => rng.random_range(m..m + 3),
        };
        (0..length).map(symbol).collect()
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        self.values(x).last().map(|value| vec![value])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut labels: Vec<Symbol> = self.values(x).flat_map(|value| [value, IGNORE]).collect();
        labels.truncate(x.len());
        Some(PrefixLabels::Classes(labels))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// By whole numbers: first all products, then the sums.
    fn slow(x: &[Symbol], modulus: u32) -> Symbol {
        let mut numbers: Vec<i64> = x.iter().step_by(2).map(|number| i64::from(*number)).collect();
        let mut operators: Vec<u32> = x.iter().skip(1).step_by(2).map(|operator| operator - modulus).collect();
        while let Some(place) = operators.iter().position(|operator| *operator == 2) {
            operators.remove(place);
            numbers[place] *= numbers.remove(place + 1);
        }
        let signs = operators.iter().map(|operator| if *operator == 0 { 1 } else { -1 });
        let rest: i64 = numbers[1..].iter().zip(signs).map(|(number, sign)| sign * number).sum();
        (numbers[0] + rest).rem_euclid(i64::from(modulus)) as Symbol
    }

    #[test]
    fn every_short_expression_has_the_value_of_its_terms() {
        for (modulus, max) in [(2, 5), (5, 3)] {
            let problem = ModularArithmetic { modulus };
            for n in 1..=max {
                for numbers in strings(modulus, n) {
                    for operators in strings(3, n - 1) {
                        let mut x = vec![numbers[0]];
                        for (number, operator) in numbers[1..].iter().zip(&operators) {
                            x.extend([modulus + operator, *number]);
                        }
                        assert_eq!(problem.answer(&x).unwrap(), [slow(&x, modulus)], "{x:?}");
                        let label =
                            |end: usize| if end.is_multiple_of(2) { IGNORE } else { slow(&x[..end], modulus) };
                        let labels = (1..=x.len()).map(label).collect();
                        assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(labels)));
                    }
                }
            }
        }
    }

    #[test]
    fn the_examples_of_the_source_come_out() {
        let problem = ModularArithmetic { modulus: 5 };
        let names = problem.alphabet();
        for (text, value) in [("1 + 2 * 3", 2), ("1 - 1 - 1", 4), ("0 * 1 + 4 * 3 - 2", 0)] {
            let id = |word| names.iter().position(|name| name == word).unwrap() as Symbol;
            let x: Vec<Symbol> = text.split(' ').map(id).collect();
            assert_eq!(problem.answer(&x).unwrap(), [value], "{text}");
        }
    }

    #[test]
    fn numbers_and_operators_take_turns_and_are_uniform() {
        let problem = ModularArithmetic { modulus: 5 };
        let mut rng = Rng::seed_from_u64(6);
        let mut counts = [0usize; 8];
        for _ in 0..3000 {
            let x = problem.sample(5, &mut rng);
            assert!((0..5).all(|place| (x[place] < 5) == (place % 2 == 0)), "{x:?}");
            x.iter().for_each(|symbol| counts[*symbol as usize] += 1);
        }
        assert!(counts[..5].iter().all(|count| count.abs_diff(1800) < 160), "{counts:?}");
        assert!(counts[5..].iter().all(|count| count.abs_diff(2000) < 160), "{counts:?}");
        let admitted: Vec<usize> = (0..6).filter(|n| problem.admits(*n)).collect();
        assert_eq!(admitted, [1, 3, 5]);
    }
}
