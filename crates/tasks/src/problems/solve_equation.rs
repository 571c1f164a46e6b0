//! Solve an equation: the x that makes it true modulo m. Example modulo 5: ( 3 - x ) = 4 → 4.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::expression::Expressions;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `solve_equation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The modulus, 2 to 1000 (default 5).
    pub modulus: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { modulus: 5 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "solve_equation",
        title: "Solve an equation",
        class: Class::Hierarchical,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "An expression of n − 2 symbols with brackets, + and - (as in `modular_arithmetic_brackets`), of \
                     which one digit is replaced by x, then = and its value → the digit. The digit is the first at \
                     or after a uniform place, from the end on again from the start.",
        expected: "Fails beyond the training lengths under every encoding.",
        source: "Delétang et al. 2022 (arXiv 2207.02098), generator as in their code, which fills lengths below 3 \
                 with zeros; here there are none",
        example: "kind = \"solve_equation\"\nprotocol = \"encoder\"\nmodulus = 5\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("solve_equation", "modulus", self.modulus, 2..=1000)?;
        Ok(setting.pose(SolveEquation(Expressions { modulus: self.modulus, multiplication: false })))
    }
}

/// The problem. Without products x has the factor 1 or −1, so there is one solution.
struct SolveEquation(Expressions);

impl Problem for SolveEquation {
    fn label(&self) -> String {
        format!("solve equation (mod {})", self.0.modulus)
    }

    fn alphabet(&self) -> Vec<String> {
        let mut names = self.0.alphabet();
        names.extend(["x".to_owned(), "=".to_owned()]);
        names
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.0.modulus)
    }

    fn admits(&self, length: usize) -> bool {
        length >= 3
    }

    fn lengths(&self) -> String {
        "at least 3".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = self.0.sample(length - 2, rng);
        // Every expression has a value and a digit.
        let value = self.0.value(&x, 0).unwrap_or(0);
        let from = rng.random_range(0..x.len() as u64) as usize;
        let is_digit = |place: &usize| x[*place] < self.0.modulus;
        if let Some(place) = (from..x.len()).chain(0..from).find(is_digit) {
            x[place] = self.0.unknown();
        }
        x.extend([self.0.equals(), value]);
        x
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let (value, left) = x.split_last()?;
        let (_, left) = left.split_last()?;
        let m = self.0.modulus;
        // left = at_zero + factor · x
        let at_zero = self.0.value(left, 0)?;
        let factor = (self.0.value(left, 1)? + m - at_zero) % m;
        let rest = (value + m - at_zero) % m;
        Some(vec![if factor == 1 { rest } else { (m - rest) % m }])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::expression::tests::{print, slow};

    #[test]
    fn of_all_digits_the_answer_alone_makes_a_sampled_equation_true() {
        let mut rng = Rng::seed_from_u64(4);
        for modulus in [2, 5, 7] {
            let problem = SolveEquation(Expressions { modulus, multiplication: false });
            for length in (3..60).flat_map(|length| [length; 5]) {
                let x = problem.sample(length, &mut rng);
                assert_eq!(x.len(), length);
                let text = print(&problem.alphabet(), &x);
                assert_eq!(text.matches('x').count(), 1, "{text}");
                let (left, value) = text.split_once('=').unwrap();
                let holds = |digit: &u32| {
                    let left = slow(&left.replace('x', &digit.to_string()), i64::from(modulus));
                    left == Some(value.parse().unwrap())
                };
                let solutions: Vec<u32> = (0..modulus).filter(holds).collect();
                assert_eq!(solutions, problem.answer(&x).unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn every_digit_may_be_the_unknown() {
        let problem = SolveEquation(Expressions { modulus: 5, multiplication: false });
        let mut rng = Rng::seed_from_u64(5);
        let mut places = [0u32; 7];
        for _ in 0..5000 {
            let x = problem.sample(7, &mut rng);
            places[x.iter().position(|s| *s == problem.0.unknown()).unwrap()] += 1;
        }
        // (d+d): from places 0, 1 and 4 on the first digit is the left one, from 2 and 3 the right one.
        assert!(places[1].abs_diff(3000) < 150 && places[3].abs_diff(2000) < 150, "{places:?}");
        assert_eq!(places[1] + places[3], 5000);
    }
}
