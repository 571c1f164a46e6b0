//! Random strings that several problems share.

use rand::seq::SliceRandom;
use rand::{Rng as _, RngCore};
use serde::{Deserialize, Serialize};

use crate::{Rng, Symbol};

/// How the ones of a binary string are distributed: two different tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ones {
    /// Every bit is a fair coin, so that the number of ones is nearly n/2 in long strings.
    Iid,
    /// The number of ones is uniform on 0..=n, their places too.
    Uniform,
}

impl Ones {
    /// A binary string of the given length.
    pub(crate) fn sample(self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        match self {
            Ones::Iid => bits(length, rng),
            Ones::Uniform => {
                let ones = rng.random_range(0..=length as u64) as usize;
                let mut x = vec![0; length];
                x[..ones].fill(1);
                x.shuffle(rng);
                x
            }
        }
    }

    /// The name in labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ones::Iid => "ones iid",
            Ones::Uniform => "ones uniform",
        }
    }
}

/// Fair coins, 64 of them from each draw.
pub(crate) fn bits(length: usize, rng: &mut Rng) -> Vec<Symbol> {
    let mut x = Vec::with_capacity(length);
    while x.len() < length {
        let word = rng.next_u64();
        let take = (length - x.len()).min(64);
        x.extend((0..take).map(|i| (word >> i) as u32 & 1));
    }
    x
}

/// Independent symbols, uniform on 0..count. `count` must not be 0, which the configurations refuse.
pub(crate) fn symbols(length: usize, count: u32, rng: &mut Rng) -> Vec<Symbol> {
    if count == 2 {
        return bits(length, rng);
    }
    (0..length).map(|_| rng.random_range(0..count)).collect()
}

/// Distinct symbols of 0..count in uniformly random order; `length` must not exceed `count`.
pub(crate) fn distinct(length: usize, count: u32, rng: &mut Rng) -> Vec<Symbol> {
    let chosen = rand::seq::index::sample(rng, count as usize, length);
    chosen.into_iter().map(|i| i as Symbol).collect()
}

/// The printed names 0, 1, 2 …
pub(crate) fn numerals(count: u32) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

/// The binary alphabet.
pub(crate) fn binary() -> Vec<String> {
    numerals(2)
}
