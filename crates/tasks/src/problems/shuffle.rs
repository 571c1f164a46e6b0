//! Shuffle-2: two kinds of brackets, each well nested by itself, interleaved at will, labelled with the brackets that
//! may come next. Example: after ( [ ) the legal set is ( [ ].
//!
//! Words are drawn uniformly among those of their length. The grammar of Bhattamishra et al. (see `dyck`) yields
//! properly nested words, in which no bracket crosses one of the other kind, and has to be drawn until the length fits;
//! the uniform law crosses brackets and is exact at every length. Scores are not comparable with those on words of the
//! grammar.

use serde::{Deserialize, Serialize};

use crate::nesting::opens;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::places;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `shuffle`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "shuffle",
        title: "Shuffle-2",
        class: Class::Counter,
        protocols: &[Protocol::Prefix],
        definition: "A string of ( ) [ ], even n, of which the round brackets alone and the square ones alone are well \
                     nested, uniform among those of its length → after every symbol the set of symbols that may come \
                     next: both opening brackets, and each closing one whose kind is open.",
        expected: "Two counters, which should pass; unlike in Dyck-2 it does not matter which bracket is innermost.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264), language and labels; the sampler is this project's",
        example: "kind = \"shuffle\"\nprotocol = \"prefix\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Shuffle2))
    }
}

/// The problem; symbol 2k opens kind k, symbol 2k + 1 closes it.
struct Shuffle2;

/// A uniform Dyck word of one kind of bracket, symbol by symbol: true where it opens.
struct Word {
    remaining: u64,
    depth: u64,
}

impl Word {
    fn new(length: usize) -> Self {
        Word { remaining: length as u64, depth: 0 }
    }

    fn next(&mut self, rng: &mut Rng) -> bool {
        let open = opens(self.remaining, self.depth, rng);
        self.remaining = self.remaining.saturating_sub(1);
        self.depth = if open { self.depth + 1 } else { self.depth.saturating_sub(1) };
        open
    }
}

/// How many of m pairs are round in a uniform word. Of all words, binom(2m, 2k) Cₖ Cₘ₋ₖ have k (C the Catalan numbers),
/// which is Cₘ times the Narayana number N(m + 1, k + 1): the number of Dyck words of m + 1 pairs with k + 1 peaks. So a
/// uniform one of those is drawn and its peaks are counted.
fn round_pairs(m: usize, rng: &mut Rng) -> usize {
    let length = 2 * (m + 1);
    let mut word = Word::new(length);
    let (mut peaks, mut rises) = (0usize, false);
    for _ in 0..length {
        let open = word.next(rng);
        peaks += usize::from(rises && !open);
        rises = open;
    }
    peaks.saturating_sub(1).min(m)
}

impl Problem for Shuffle2 {
    fn label(&self) -> String {
        "shuffle-2".into()
    }

    fn alphabet(&self) -> Vec<String> {
        ["(", ")", "[", "]"].map(str::to_owned).to_vec()
    }

    fn answers(&self) -> Vec<String> {
        self.alphabet()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 2 && length.is_multiple_of(2)
    }

    fn lengths(&self) -> String {
        "even and at least 2".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let round = 2 * round_pairs(length / 2, rng);
        let (mut round_word, mut square_word) = (Word::new(round), Word::new(length - round));
        let kinds = places(length, round, rng);
        let draw = |is_round: bool| {
            let (word, first) = if is_round { (&mut round_word, 0) } else { (&mut square_word, 2) };
            first + Symbol::from(!word.next(rng))
        };
        kinds.into_iter().map(draw).collect()
    }

    fn labels_are_sets(&self) -> bool {
        true
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut depths = [0i64; 2];
        let mut sets = Vec::with_capacity(4 * x.len());
        for symbol in x {
            let depth = depths.get_mut(*symbol as usize / 2)?;
            *depth += if symbol % 2 == 0 { 1 } else { -1 };
            sets.extend([true, depths[0] > 0, true, depths[1] > 0]);
        }
        Some(PrefixLabels::Sets(sets))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// Each kind alone vanishes when its adjacent pairs are deleted.
    fn is_word(x: &[Symbol]) -> bool {
        [0, 2].into_iter().all(|opening| {
            let mut rest = x.to_vec();
            rest.retain(|symbol| symbol - symbol % 2 == opening);
            while let Some(i) = rest.windows(2).position(|w| w == [opening, opening + 1]) {
                rest.drain(i..i + 2);
            }
            rest.is_empty()
        })
    }

    fn words(length: usize) -> Vec<Vec<Symbol>> {
        let mut all = strings(4, length);
        all.retain(|x| is_word(x));
        all
    }

    #[test]
    fn a_symbol_is_legal_if_some_word_goes_on_with_it() {
        // Long enough to complete any prefix of four symbols of a word of four and one symbol more.
        let longer: Vec<_> = [2, 4, 6, 8].into_iter().flat_map(words).collect();
        for x in [2, 4].into_iter().flat_map(words) {
            let Some(PrefixLabels::Sets(sets)) = Shuffle2.prefix_labels(&x) else { panic!("no sets") };
            for (end, set) in (1..=x.len()).zip(sets.chunks(4)) {
                for symbol in 0..4 {
                    let prefix = [&x[..end], &[symbol]].concat();
                    let exists = longer.iter().any(|w| w.starts_with(&prefix));
                    assert_eq!(set[symbol as usize], exists, "{prefix:?}");
                }
            }
        }
    }

    #[test]
    fn every_word_of_a_length_is_equally_likely() {
        // C₁C₂ = 2, C₂C₃ = 10, C₃C₄ = 70 words, crossing ones among them.
        for (length, number) in [(2, 2), (4, 10), (6, 70)] {
            let all = words(length);
            assert_eq!(all.len(), number);
            let mut rng = Rng::seed_from_u64(12);
            let mut seen = BTreeMap::new();
            for _ in 0..500 * number {
                *seen.entry(Shuffle2.sample(length, &mut rng)).or_insert(0usize) += 1;
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), all);
            assert!(seen.values().all(|count| count.abs_diff(500) < 110), "{seen:?}");
        }
        assert!(words(4).contains(&vec![0, 2, 1, 3]));
    }

    #[test]
    fn long_words_are_words_of_both_kinds() {
        let mut rng = Rng::seed_from_u64(13);
        let mut round = 0;
        for _ in 0..20 {
            let x = Shuffle2.sample(2000, &mut rng);
            assert!(x.len() == 2000 && is_word(&x));
            round += x.iter().filter(|symbol| **symbol < 2).count();
        }
        assert!(round.abs_diff(20_000) < 2_000, "{round}");
    }
}
