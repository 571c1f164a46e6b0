//! Addition: the digits of a sum. Example in base 10: 9 7 + 5 → 1 0 2.
//!
//! The input is `a+b`; under the protocol language `<sep>` stands for the equals sign. Published lengths that count an
//! equals sign are one more than those here. The digits 0 to 9 are the first ten symbols whatever the base, so that
//! positions by the place of a digit in its number (Abacus) can tell digits by their ids.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{numerals, symbols};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `addition`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The base, 2 to 10 (default 2).
    pub base: u32,
    /// Whether all numbers have their least significant digit first (default false).
    pub reversed: bool,
    /// Whether both numbers are filled with zeros to (n − 1)/2 digits, and the sum to one more (default false).
    pub padded: bool,
}

impl Default for Config {
    fn default() -> Self {
        Config { base: 2, reversed: false, padded: false }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "addition",
        title: "Addition",
        class: Class::Order,
        protocols: &[Protocol::Language],
        definition: "a+b of n symbols in all → the digits of the sum in `base`. The number of digits of a is uniform \
                     on 1..n−2, the first digit is not 0 unless it is the only one, the others are uniform. With \
                     `padded` n is odd, both have (n − 1)/2 uniform digits and the sum has (n + 1)/2. With `reversed` \
                     the least significant digit comes first in all three numbers.",
        expected: "Fails beyond the training lengths: digits of equal weight must be found by counting from the \
                   ends. Reversed with positions by the place within the number, it is reported to pass.",
        source: "Huang et al. 2024 (arXiv 2410.02140), base 2, whose lengths count the equals sign, which here is \
                 <sep>; reversed: McLeish et al. 2024 (arXiv 2405.17399)",
        example: "kind = \"addition\"\nprotocol = \"language\"\nbase = 10\nreversed = true\npadded = false\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("addition", "base", self.base, 2..=10)?;
        Ok(setting.pose(Addition(self.clone())))
    }
}

/// The problem; symbols below ten are digits.
struct Addition(Config);

const PLUS: Symbol = 10;

impl Addition {
    /// A number of a given number of digits, the most significant first.
    fn number(&self, digits: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut number = symbols(digits, self.0.base, rng);
        if !self.0.padded && digits > 1 {
            number[0] = rng.random_range(1..self.0.base);
        }
        number
    }

    /// The digits of a number from the least significant on.
    fn least_first<'a>(&self, number: &'a [Symbol]) -> Box<dyn Iterator<Item = &'a Symbol> + 'a> {
        if self.0.reversed { Box::new(number.iter()) } else { Box::new(number.iter().rev()) }
    }
}

impl Problem for Addition {
    fn label(&self) -> String {
        let reversed = if self.0.reversed { ", reversed" } else { "" };
        let padded = if self.0.padded { ", padded" } else { "" };
        format!("addition (base {}{reversed}{padded})", self.0.base)
    }

    fn alphabet(&self) -> Vec<String> {
        let mut names = numerals(10);
        names.push("+".to_owned());
        names
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.0.base)
    }

    fn admits(&self, length: usize) -> bool {
        length >= 3 && !(self.0.padded && length.is_multiple_of(2))
    }

    fn lengths(&self) -> String {
        if self.0.padded { "odd and at least 3".to_owned() } else { "at least 3".to_owned() }
    }

    fn answer_len(&self, length: usize) -> usize {
        // One more than the longer number.
        if self.0.padded { length / 2 + 1 } else { length.saturating_sub(1) }
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let first = match self.0.padded {
            true => length / 2,
            false => rng.random_range(1..=length as u64 - 2) as usize,
        };
        let mut x = Vec::with_capacity(length);
        for digits in [first, length - 1 - first] {
            let mut number = self.number(digits, rng);
            if self.0.reversed {
                number.reverse();
            }
            x.append(&mut number);
            if x.len() == first {
                x.push(PLUS);
            }
        }
        x
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let plus = x.iter().position(|s| *s == PLUS)?;
        let (mut a, mut b) = (self.least_first(&x[..plus]), self.least_first(&x[plus + 1..]));
        let mut sum = Vec::with_capacity(x.len());
        let mut carry = 0;
        loop {
            let (a, b) = (a.next(), b.next());
            if a.is_none() && b.is_none() {
                break;
            }
            let digit = a.unwrap_or(&0) + b.unwrap_or(&0) + carry;
            sum.push(digit % self.0.base);
            carry = digit / self.0.base;
        }
        if carry > 0 || self.0.padded {
            sum.push(carry);
        }
        if !self.0.reversed {
            sum.reverse();
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;

    const EVERY: [(bool, bool); 4] = [(false, false), (true, false), (false, true), (true, true)];

    /// A number in digits, the most significant first unless reversed.
    fn digits(mut number: u64, base: u32, least: usize, reversed: bool) -> Vec<Symbol> {
        let mut digits = Vec::new();
        while number > 0 || digits.len() < least {
            digits.push((number % u64::from(base)) as Symbol);
            number /= u64::from(base);
        }
        if !reversed {
            digits.reverse();
        }
        digits
    }

    #[test]
    fn every_sum_of_small_numbers_has_its_digits() {
        for ((reversed, padded), base) in EVERY.into_iter().flat_map(|way| [2, 3, 10].map(|base| (way, base))) {
            let problem = Addition(Config { base, reversed, padded });
            for (a, b) in (0..70u64).flat_map(|a| (0..70).map(move |b| (a, b))) {
                // Seven digits hold any of them in any base.
                let least = if padded { 7 } else { 1 };
                let x = [digits(a, base, least, reversed), vec![PLUS], digits(b, base, least, reversed)].concat();
                let y = digits(a + b, base, if padded { 8 } else { 1 }, reversed);
                assert_eq!(problem.answer(&x).unwrap(), y, "{a} + {b} in base {base}");
                assert!(y.len() <= problem.answer_len(x.len()) && problem.admits(x.len()));
            }
        }
    }

    #[test]
    fn sampled_numbers_are_uniform_among_those_of_their_digits() {
        for (reversed, padded) in EVERY {
            let problem = Addition(Config { base: 3, reversed, padded });
            let mut rng = Rng::seed_from_u64(6);
            let mut seen = BTreeMap::new();
            for _ in 0..8100 {
                *seen.entry(problem.sample(5, &mut rng)).or_insert(0u32) += 1;
            }
            // Padded: 9 · 9 numbers. Else a third each: 3 · 18, 6 · 6 and 18 · 3 numbers.
            assert_eq!(seen.len(), if padded { 81 } else { 54 + 36 + 54 });
            for (x, count) in seen {
                let first = x.iter().position(|s| *s == PLUS).unwrap();
                let mean = if padded { 100 } else if first == 2 { 75 } else { 50 };
                assert!(count.abs_diff(mean) < 45, "{x:?}: {count}");
                let leading = if reversed { (x[first - 1], x[4]) } else { (x[0], x[first + 1]) };
                assert!(padded || first == 1 || leading.0 > 0, "{x:?}");
                assert!(padded || first == 3 || leading.1 > 0, "{x:?}");
            }
        }
    }

    #[test]
    fn padded_numbers_have_odd_lengths_only() {
        let admitted = |padded| {
            let problem = Addition(Config { padded, ..Config::default() });
            (0..8).filter(|n| problem.admits(*n)).collect::<Vec<usize>>()
        };
        assert_eq!(admitted(true), [3, 5, 7]);
        assert_eq!(admitted(false), [3, 4, 5, 6, 7]);
    }
}
