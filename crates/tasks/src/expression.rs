//! Arithmetic expressions in brackets modulo m, grown and evaluated: (−3) + ((1 × 4)) and the like.
//!
//! The generator is that of Delétang et al. 2022 (arXiv 2207.02098): of length 1 to 4 a digit d, −d, (d) or (−d); from
//! length 5 `(` left operator right `)`, where the left side's length is uniform and the operator too.

use rand::Rng as _;

use crate::sampling::numerals;
use crate::{Rng, Symbol};

/// Expressions modulo a number; the symbols are the digits 0..m, then + − [×] ( ) and, for an equation, x =.
pub(crate) struct Expressions {
    pub(crate) modulus: u32,
    /// Whether × is an operator.
    pub(crate) multiplication: bool,
}

/// What is still to be written.
enum Todo {
    Symbol(Symbol),
    /// An expression of this length.
    Expression(usize),
}

/// One level of brackets while evaluating: `value` so far, the operator that waits for its right side, and whether a
/// minus sign waits for its operand.
#[derive(Default)]
struct Level {
    value: Option<u32>,
    operator: Option<Symbol>,
    negative: bool,
}

impl Expressions {
    fn operators(&self) -> u32 {
        if self.multiplication { 3 } else { 2 }
    }

    fn minus(&self) -> Symbol {
        self.modulus + 1
    }

    fn open(&self) -> Symbol {
        self.modulus + self.operators()
    }

    fn close(&self) -> Symbol {
        self.open() + 1
    }

    /// The unknown, which no expression that is grown contains.
    pub(crate) fn unknown(&self) -> Symbol {
        self.open() + 2
    }

    /// The symbol between the sides of an equation.
    pub(crate) fn equals(&self) -> Symbol {
        self.open() + 3
    }

    /// Printed names of the symbols of an expression.
    pub(crate) fn alphabet(&self) -> Vec<String> {
        let mut names = numerals(self.modulus);
        let times = if self.multiplication { "*" } else { "" };
        names.extend(
            ["+", "-", times, "(", ")"].iter().filter(|name| !name.is_empty()).map(|s| s.to_string()),
        );
        names
    }

    /// A random expression of a length of at least 1.
    pub(crate) fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = Vec::with_capacity(length);
        // A list and no recursion: an unlucky long expression is nested as deeply as it is long.
        let mut todo = vec![Todo::Expression(length)];
        while let Some(next) = todo.pop() {
            let length = match next {
                Todo::Symbol(symbol) => {
                    x.push(symbol);
                    continue;
                }
                Todo::Expression(length) => length,
            };
            if length >= 5 {
                let left = rng.random_range(1..=length as u64 - 4) as usize;
                let operator = self.modulus + rng.random_range(0..self.operators());
                x.push(self.open());
                todo.push(Todo::Symbol(self.close()));
                todo.push(Todo::Expression(length - left - 3));
                todo.push(Todo::Symbol(operator));
                todo.push(Todo::Expression(left));
            } else {
                let digit = rng.random_range(0..self.modulus);
                let (open, minus) = (length >= 3, length == 2 || length == 4);
                x.extend(open.then_some(self.open()));
                x.extend(minus.then_some(self.minus()));
                x.push(digit);
                x.extend(open.then_some(self.close()));
            }
        }
        x
    }

    /// The value of an expression in which x stands for `unknown`; None if it is not well formed. Operators have no
    /// precedence, and need none: an expression that is grown has at most one between two brackets.
    pub(crate) fn value(&self, x: &[Symbol], unknown: u32) -> Option<u32> {
        let mut outer = Vec::new();
        let mut level = Level::default();
        for symbol in x.iter().copied() {
            let wants = level.value.is_none() || level.operator.is_some();
            if symbol < self.modulus {
                self.operand(&mut level, symbol)?;
            } else if symbol == self.unknown() {
                self.operand(&mut level, unknown)?;
            } else if symbol == self.open() {
                if !wants {
                    return None;
                }
                outer.push(std::mem::take(&mut level));
            } else if symbol == self.close() {
                let inner = level.done()?;
                level = outer.pop()?;
                self.operand(&mut level, inner)?;
            } else if !wants {
                level.operator = Some(symbol);
            } else if symbol == self.minus() && !level.negative {
                level.negative = true;
            } else {
                return None;
            }
        }
        if outer.is_empty() { level.done() } else { None }
    }

    /// Takes an operand into a level.
    fn operand(&self, level: &mut Level, value: u32) -> Option<()> {
        let m = u64::from(self.modulus);
        let minus = |a: u64| (m - a % m) % m;
        let value = u64::from(value);
        let right = if level.negative { minus(value) } else { value % m };
        let result = match (level.value.map(u64::from), level.operator.map(|o| o - self.modulus)) {
            (None, None) => right,
            (Some(left), Some(0)) => left + right,
            (Some(left), Some(1)) => left + minus(right),
            (Some(left), Some(_)) => left * right,
            _ => return None,
        };
        *level = Level { value: Some((result % m) as u32), operator: None, negative: false };
        Some(())
    }
}

impl Level {
    /// The value, if nothing waits.
    fn done(&self) -> Option<u32> {
        self.value.filter(|_| self.operator.is_none() && !self.negative)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// The value by the grammar, read from the left: e → [−] (digit | `(` e [op e] `)`). None if no whole expression.
    pub(crate) fn slow(text: &str, modulus: i64) -> Option<i64> {
        fn operand(text: &str) -> Option<(i64, &str)> {
            if let Some(rest) = text.strip_prefix('-') {
                let (value, rest) = if rest.starts_with('-') { None } else { operand(rest) }?;
                return Some((-value, rest));
            }
            if let Some(inside) = text.strip_prefix('(') {
                let (value, rest) = expression(inside)?;
                return Some((value, rest.strip_prefix(')')?));
            }
            let digit = text.chars().next()?.to_digit(10)?;
            Some((i64::from(digit), &text[1..]))
        }
        fn expression(text: &str) -> Option<(i64, &str)> {
            let (mut value, mut rest) = operand(text)?;
            while let Some(operator) = rest.chars().next().filter(|c| "+-*".contains(*c)) {
                let (right, after) = operand(&rest[1..])?;
                value = match operator {
                    '+' => value + right,
                    '-' => value - right,
                    _ => value * right,
                };
                rest = after;
            }
            Some((value, rest))
        }
        let (value, rest) = expression(text)?;
        rest.is_empty().then(|| value.rem_euclid(modulus))
    }

    pub(crate) fn print(names: &[String], x: &[Symbol]) -> String {
        x.iter().map(|s| names[*s as usize].as_str()).collect()
    }

    #[test]
    fn every_short_string_has_the_value_the_grammar_gives_or_none() {
        for (modulus, multiplication, max) in [(2, true, 6), (3, false, 5)] {
            let expressions = Expressions { modulus, multiplication };
            let names = expressions.alphabet();
            let mut some = 0;
            for x in (1..=max).flat_map(|length| strings(names.len() as u32, length)) {
                let text = print(&names, &x);
                let value = expressions.value(&x, 0).map(i64::from);
                assert_eq!(value, slow(&text, i64::from(modulus)), "{text}");
                some += usize::from(value.is_some());
            }
            assert!(some > 100);
        }
    }

    #[test]
    fn expressions_of_every_length_have_it_and_a_value() {
        let expressions = Expressions { modulus: 5, multiplication: true };
        let names = expressions.alphabet();
        let mut rng = Rng::seed_from_u64(1);
        for length in (1..40).chain([500]) {
            let x = expressions.sample(length, &mut rng);
            let text = print(&names, &x);
            assert_eq!(x.len(), length);
            assert_eq!(expressions.value(&x, 0).map(i64::from), slow(&text, 5), "{text}");
            assert!(slow(&text, 5).is_some(), "{text}");
        }
    }

    #[test]
    fn short_expressions_come_as_the_published_generator_makes_them() {
        let expressions = Expressions { modulus: 2, multiplication: true };
        let names = expressions.alphabet();
        let mut rng = Rng::seed_from_u64(2);
        for (length, forms) in [
            (1, vec!["d"]),
            (2, vec!["-d"]),
            (3, vec!["(d)"]),
            (4, vec!["(-d)"]),
            (5, vec!["(dod)"]),
            (6, vec!["(do-d)", "(-dod)"]),
            (7, vec!["(do(d))", "(-do-d)", "((d)od)"]),
        ] {
            let mut seen = BTreeMap::new();
            let mut digits_and_operators = BTreeMap::new();
            for _ in 0..6000 {
                let text = print(&names, &expressions.sample(length, &mut rng));
                // A minus that is not after a bracket or at the start is an operator, unless an operator precedes it.
                let mut form = String::new();
                for c in text.chars() {
                    let after_value = form.ends_with(['d', ')']);
                    form.push(match c {
                        '0' | '1' => 'd',
                        '+' | '*' => 'o',
                        '-' if after_value => 'o',
                        other => other,
                    });
                }
                *seen.entry(form).or_insert(0u32) += 1;
                *digits_and_operators.entry(text).or_insert(0u32) += 1;
            }
            assert_eq!(
                seen.keys().map(String::as_str).collect::<std::collections::BTreeSet<_>>(),
                forms.iter().copied().collect()
            );
            let each = 6000 / forms.len() as u32;
            assert!(seen.values().all(|count| count.abs_diff(each) < 200), "{seen:?}");
            // Digits, and operators where there are some, are uniform.
            let each = 6000 / digits_and_operators.len() as u32;
            assert!(
                digits_and_operators.values().all(|c| c.abs_diff(each) < 20 + each / 4),
                "{digits_and_operators:?}"
            );
        }
    }
}
