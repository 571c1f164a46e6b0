//! Induction: the symbol that followed last time. Example: 4 => 7 1 => → 7.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{numerals, symbols};
use crate::{IGNORE, PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Where it is asked: two tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Once, at the end, of a symbol `=>` that occurs twice.
    #[default]
    Last,
    /// At every symbol, of this symbol.
    Every,
}

/// Options of `induction`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of symbols, `=>` not counted, 2 to 10000 (default 18).
    pub symbols: u32,
    /// Where it is asked: `last` (the default) or `every`.
    pub asked: Asked,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 18, asked: Asked::Last }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "induction",
        title: "Induction",
        class: Class::Recall,
        protocols: &[Protocol::Prefix],
        definition: "asked = \"last\": n − 1 independent uniform symbols, one of which (uniform among all but the last \
                     two) is replaced by `=>`, then `=>` again → there, and only there, the symbol after the first \
                     `=>`. asked = \"every\": n independent uniform symbols → at every symbol the one that followed its \
                     last earlier occurrence, or none.",
        expected: "One layer of attention is not enough: a second has to find what the first has marked with its \
                   predecessor. Absolute positions are expected to fail beyond the training lengths.",
        source: "last: Fu et al. 2022 (arXiv 2212.14052), where n = 31, and the loss in training (not the score) is \
                 on every symbol; every: one hop of the task of Sanford et al. 2024 (arXiv 2402.09268), on independent \
                 symbols; the head: Olsson et al. 2022 (arXiv 2209.11895)",
        example: "kind = \"induction\"\nprotocol = \"prefix\"\nsymbols = 18\nasked = \"last\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("induction", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(Induction { symbols: self.symbols, asked: self.asked }))
    }
}

/// The problem; the symbol after the others is `=>` in the alphabet, and none among the answers of `every`.
struct Induction {
    symbols: u32,
    asked: Asked,
}

impl Problem for Induction {
    fn label(&self) -> String {
        match (self.asked, self.symbols) {
            (Asked::Last, 18) => "induction (last)".into(),
            (Asked::Every, 18) => "induction (every)".into(),
            (Asked::Last, k) => format!("induction (last, {k} symbols)"),
            (Asked::Every, k) => format!("induction (every, {k} symbols)"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        let mut alphabet = numerals(self.symbols);
        alphabet.extend((self.asked == Asked::Last).then(|| "=>".to_owned()));
        alphabet
    }

    fn answers(&self) -> Vec<String> {
        let mut answers = numerals(self.symbols);
        answers.extend((self.asked == Asked::Every).then(|| "none".to_owned()));
        answers
    }

    fn admits(&self, length: usize) -> bool {
        match self.asked {
            Asked::Last => length >= 4,
            Asked::Every => length >= 1,
        }
    }

    fn lengths(&self) -> String {
        match self.asked {
            Asked::Last => "at least 4".to_owned(),
            Asked::Every => "at least 1".to_owned(),
        }
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = symbols(length, self.symbols, rng);
        if self.asked == Asked::Last {
            // The published generator keeps clear of the place just before the symbol that the end would follow.
            let first = rng.random_range(0..length as u64 - 3) as usize;
            x[first] = self.symbols;
            x[length - 1] = self.symbols;
        }
        x
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut labels = vec![IGNORE; x.len()];
        match self.asked {
            Asked::Last => {
                let first = x.iter().position(|symbol| *symbol == self.symbols)?;
                *labels.last_mut()? = *x.get(first + 1)?;
            }
            Asked::Every => {
                let mut followed = vec![self.symbols; self.symbols as usize];
                let mut previous = None;
                for (symbol, label) in x.iter().zip(&mut labels) {
                    // A symbol that equals its predecessor is what followed it.
                    if let Some(previous) = previous {
                        *followed.get_mut(previous as usize)? = *symbol;
                    }
                    *label = *followed.get(*symbol as usize)?;
                    previous = Some(*symbol);
                }
            }
        }
        Some(PrefixLabels::Classes(labels))
    }

    fn prefixes_alike(&self) -> bool {
        self.asked == Asked::Every
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::{prefixes_are, strings};

    #[test]
    fn every_symbol_of_every_short_string_is_followed_as_at_its_latest_pair() {
        let problem = Induction { symbols: 3, asked: Asked::Every };
        prefixes_are(&problem, 7, |x| {
            let last = x[x.len() - 1];
            let latest = x.windows(2).rev().find(|pair| pair[0] == last);
            latest.map_or(3, |pair| pair[1])
        });
    }

    /// Every string of the task of a length with its answer, by writing `=>` over each place allowed.
    fn all(count: u32, length: usize) -> BTreeMap<Vec<Symbol>, Symbol> {
        let mut all = BTreeMap::new();
        for (place, body) in
            (0..length - 3).flat_map(|p| strings(count, length - 1).into_iter().map(move |b| (p, b)))
        {
            let mut x = body.clone();
            x[place] = count;
            x.push(count);
            all.insert(x, body[place + 1]);
        }
        all
    }

    #[test]
    fn the_last_symbol_alone_is_labelled_with_what_followed_the_arrow() {
        let problem = Induction { symbols: 3, asked: Asked::Last };
        for length in 4..=7 {
            for (x, answer) in all(3, length) {
                let mut expected = vec![IGNORE; length];
                expected[length - 1] = answer;
                assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(expected)), "{x:?}");
            }
        }
    }

    #[test]
    fn every_string_with_an_arrow_is_equally_likely() {
        for length in [4, 6] {
            let problem = Induction { symbols: 2, asked: Asked::Last };
            let expected = all(2, length);
            let mut rng = Rng::seed_from_u64(8);
            let mut seen = BTreeMap::new();
            for _ in 0..400 * expected.len() {
                *seen.entry(problem.sample(length, &mut rng)).or_insert(0u32) += 1;
            }
            assert!(seen.keys().eq(expected.keys()), "{seen:?}");
            assert!(seen.values().all(|count| count.abs_diff(400) < 100), "{seen:?}");
        }
    }
}
