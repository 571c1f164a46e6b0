//! Modular arithmetic with brackets: the value of an expression modulo m. Example modulo 5: ( - 3 + ( 4 ) ) → 1.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::expression::Expressions;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `modular_arithmetic_brackets`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The modulus, 2 to 1000 (default 5).
    pub modulus: u32,
    /// Whether × is an operator (default true, as in the published experiments), or + and − alone.
    pub multiplication: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { modulus: 5, multiplication: true }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "modular_arithmetic_brackets",
        title: "Modular arithmetic with brackets",
        class: Class::Hierarchical,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "An expression of n symbols → its value modulo `modulus`. Of length 1 to 4 it is a digit d, -d, \
                     (d) or (-d); from 5 on (l o r), where the length of l is uniform on 1..n−4 and o is +, - or * \
                     (without `multiplication` + or -).",
        expected: "Fails under every encoding, but scores above 1/`modulus` are no sign of success: a product is 0 \
                   more often than a sum, so the commonest class alone is right about 31 % of the time.",
        source: "Delétang et al. 2022 (arXiv 2207.02098), generator as in their code",
        example: "kind = \"modular_arithmetic_brackets\"\nprotocol = \"encoder\"\nmodulus = 5\n\
                  multiplication = true\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("modular_arithmetic_brackets", "modulus", self.modulus, 2..=1000)?;
        let Config { modulus, multiplication } = *self;
        Ok(setting.pose(ModularArithmeticBrackets(Expressions { modulus, multiplication })))
    }
}

/// The problem.
struct ModularArithmeticBrackets(Expressions);

impl Problem for ModularArithmeticBrackets {
    fn label(&self) -> String {
        let operators = if self.0.multiplication { "" } else { ", + and - only" };
        format!("modular arithmetic with brackets (mod {}{operators})", self.0.modulus)
    }

    fn alphabet(&self) -> Vec<String> {
        self.0.alphabet()
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.0.modulus)
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        self.0.sample(length, rng)
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        self.0.value(x, 0).map(|value| vec![value])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::expression::tests::{print, slow};

    #[test]
    fn every_sampled_expression_is_answered_by_its_value() {
        let mut rng = Rng::seed_from_u64(3);
        for (modulus, multiplication) in [(5, true), (7, false)] {
            let problem = ModularArithmeticBrackets(Expressions { modulus, multiplication });
            for length in 1..60 {
                let x = problem.sample(length, &mut rng);
                let text = print(&problem.alphabet(), &x);
                let value = slow(&text, i64::from(modulus)).unwrap();
                assert_eq!(problem.answer(&x).unwrap(), [value as Symbol], "{text}");
                assert!(multiplication || !text.contains('*'));
            }
        }
    }
}
