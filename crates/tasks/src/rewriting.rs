//! Problems whose answer is the symbols of the input again, in another order or number: copy, reverse, sort and the like.

use crate::sampling::{distinct, numerals, symbols};
use crate::{Problem, Rng, Symbol};

/// Random strings over the numerals, and what becomes of them.
pub(crate) struct Rewriting {
    /// The key of the kind, for error messages.
    pub(crate) kind: &'static str,
    /// The precise name with its variant.
    pub(crate) label: String,
    /// Size of the alphabet.
    pub(crate) symbols: u32,
    /// Whether the symbols of a string all differ, in uniformly random order; else they are independent and uniform.
    pub(crate) distinct: bool,
    /// How many times longer the answer is than the input.
    pub(crate) times: usize,
    /// The answer.
    pub(crate) rewrite: fn(&[Symbol]) -> Vec<Symbol>,
}

/// A name, with the size of the alphabet if it is not the usual one.
pub(crate) fn named(name: &str, symbols: u32, usual: u32) -> String {
    if symbols == usual { name.to_owned() } else { format!("{name} ({symbols} symbols)") }
}

/// The symbols in increasing order.
pub(crate) fn in_order(x: &[Symbol]) -> Vec<Symbol> {
    let mut y = x.to_vec();
    y.sort_unstable();
    y
}

impl Problem for Rewriting {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn alphabet(&self) -> Vec<String> {
        numerals(self.symbols)
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.symbols)
    }

    fn max_length(&self) -> Option<usize> {
        self.distinct.then_some(self.symbols as usize)
    }

    fn lengths(&self) -> String {
        match self.max_length() {
            Some(max) => format!("1 to {max}, the number of distinct symbols (`task.{}.symbols`)", self.kind),
            None => "at least 1".to_owned(),
        }
    }

    fn answer_len(&self, length: usize) -> usize {
        length.saturating_mul(self.times)
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        if self.distinct { distinct(length, self.symbols, rng) } else { symbols(length, self.symbols, rng) }
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some((self.rewrite)(x))
    }
}
