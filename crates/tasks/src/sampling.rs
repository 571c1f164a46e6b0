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
    if 2 * length > count as usize {
        // The first places of a random permutation (Fisher and Yates), in memory of the order of the string.
        let mut x: Vec<Symbol> = (0..count).collect();
        for place in 0..length {
            let other = rng.random_range(place as u32..count) as usize;
            x.swap(place, other);
        }
        x.truncate(length);
        return x;
    }
    // At least half of the symbols are free at every draw, so two draws a symbol suffice on average.
    let mut taken = Taken::new(length, count);
    let mut x = Vec::with_capacity(length);
    while x.len() < length {
        let symbol = rng.random_range(0..count);
        if taken.insert(symbol, &x) {
            x.push(symbol);
        }
    }
    x
}

/// The symbols of a string so far: looked for in the string itself while it is short, in a bit a symbol otherwise.
struct Taken {
    bits: Option<Vec<u64>>,
}

impl Taken {
    fn new(length: usize, count: u32) -> Self {
        Taken { bits: (length > 16).then(|| vec![0; count as usize / 64 + 1]) }
    }

    /// Whether the symbol is new to the string `x`; it counts as taken from now on.
    fn insert(&mut self, symbol: Symbol, x: &[Symbol]) -> bool {
        let Some(bits) = &mut self.bits else { return !x.contains(&symbol) };
        let (word, bit) = (symbol as usize / 64, 1u64 << (symbol % 64));
        let new = bits[word] & bit == 0;
        bits[word] |= bit;
        new
    }
}

/// A uniformly random set of `count` of the places 0..length: true where a place belongs. `count` must not exceed
/// `length`.
pub(crate) fn places(length: usize, count: usize, rng: &mut Rng) -> Vec<bool> {
    let mut wanted = count as u64;
    let belongs = |left: u64| {
        // Of `left` places to come `wanted` belong, all alike.
        let belongs = rng.random_range(0..left) < wanted;
        wanted -= u64::from(belongs);
        belongs
    };
    (1..=length as u64).rev().map(belongs).collect()
}

/// The printed names 0, 1, 2 …
pub(crate) fn numerals(count: u32) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

/// The binary alphabet.
pub(crate) fn binary() -> Vec<String> {
    numerals(2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;

    /// How often each value comes in `draws` draws.
    fn counts<T: Ord>(draws: u32, mut draw: impl FnMut(&mut Rng) -> T) -> BTreeMap<T, u32> {
        let mut rng = Rng::seed_from_u64(9);
        let mut counts = BTreeMap::new();
        for _ in 0..draws {
            *counts.entry(draw(&mut rng)).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn every_arrangement_of_distinct_symbols_is_equally_likely_however_many_are_free() {
        // (length, count) on both sides of one half; count! / (count − length)! arrangements, 500 of each expected.
        for (length, count, arrangements) in [(2, 5, 20), (2, 4, 12), (3, 4, 24), (4, 4, 24), (1, 9, 9)] {
            let seen = counts(500 * arrangements, |rng| distinct(length, count, rng));
            assert_eq!(seen.len() as u32, arrangements);
            assert!(seen.values().all(|c| c.abs_diff(500) < 110), "{length} of {count}: {seen:?}");
        }
    }

    #[test]
    fn long_strings_of_distinct_symbols_never_repeat_and_use_every_symbol() {
        for (length, count) in [(17, 100), (50, 100), (51, 100), (100, 100), (64, 8192)] {
            let mut seen = vec![false; count as usize];
            let mut rng = Rng::seed_from_u64(10);
            for _ in 0..2000 {
                let mut x = distinct(length, count, &mut rng);
                x.iter().for_each(|s| seen[*s as usize] = true);
                x.sort_unstable();
                x.dedup();
                assert_eq!(x.len(), length);
            }
            assert!(seen.iter().all(|s| *s), "{length} of {count}");
        }
    }

    #[test]
    fn every_set_of_places_is_equally_likely() {
        for (length, count, sets) in [(4, 2, 6), (5, 1, 5), (5, 4, 5), (3, 3, 1), (3, 0, 1)] {
            let seen = counts(500 * sets, |rng| places(length, count, rng));
            assert_eq!(seen.len() as u32, sets);
            assert!(seen.keys().all(|set| set.iter().filter(|b| **b).count() == count));
            assert!(seen.values().all(|c| c.abs_diff(500) < 110), "{count} of {length}: {seen:?}");
        }
    }
}
