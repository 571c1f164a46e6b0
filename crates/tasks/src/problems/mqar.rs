//! Multi-query associative recall: pairs of keys and values, then the keys again, far apart; each is answered by its
//! value. Example with 2 pairs and zeros between: 2 8 4 7 0 0 4 0 2 0 → 7 at the second 4, 8 at the second 2.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{distinct, numerals, symbols};
use crate::{IGNORE, PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// What stands between the queries: two tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filler {
    /// Independent uniform tokens.
    #[default]
    Random,
    /// Token 0, which is neither a key nor a value.
    Zero,
}

/// Options of `mqar`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of pairs, 1 to vocabulary/2 − 1 (default 4).
    pub pairs: u32,
    /// Number of tokens, 4 to 65536 (default 8192): 0 is neither, those below half are keys, the others values.
    pub vocabulary: u32,
    /// The power a of the gaps, above 0 and at most 1 (default 0.01): gap g has weight g^(a − 1).
    pub power: f64,
    /// What stands between the queries: `random` (the default) or `zero`.
    pub filler: Filler,
}

impl Default for Config {
    fn default() -> Self {
        Config { pairs: 4, vocabulary: 8192, power: 0.01, filler: Filler::Random }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "mqar",
        title: "Multi-query associative recall",
        class: Class::Recall,
        protocols: &[Protocol::Prefix],
        definition: "k₁v₁…kₚvₚ with p = `pairs` distinct keys of 1..V/2 and distinct values of V/2..V, V = \
                     `vocabulary`, then n − 2p filler tokens with every key once among them → at this second \
                     occurrence, and only there, the value. Key i takes the 2(g − 1)-th place of the filler, with the \
                     gap g drawn from those left in proportion to g^(a − 1), a = `power`; the first keys draw first. \
                     n is even and at least 4p. Filler tokens are uniform among all that are not keys of the string; \
                     the published generator may repeat a key there, without a label.",
        expected: "Attention of two layers solves it where training mixes lengths; training on long strings only is \
                   reported to fail.",
        source: "Arora et al. 2023 (arXiv 2312.04927); the placement as in HazyResearch/zoology, `multiquery_ar`. \
                 Published sizes (n, pairs): (64, 4), (128, 8), (256, 16)",
        example: "kind = \"mqar\"\nprotocol = \"prefix\"\npairs = 4\nvocabulary = 8192\n\
                  power = 0.01\nfiller = \"random\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("mqar", "vocabulary", self.vocabulary, 4..=65_536)?;
        in_range("mqar", "pairs", self.pairs, 1..=self.vocabulary / 2 - 1)?;
        if !(self.power > 0.0 && self.power <= 1.0) {
            return Err(TaskError::Config {
                kind: "mqar",
                field: "power",
                found: self.power.to_string(),
                expected: "above 0 and at most 1".to_owned(),
                remedy: "set power within that range: 1 makes all gaps alike".to_owned(),
            });
        }
        Ok(setting.pose(Mqar(self.clone())))
    }
}

/// The problem.
struct Mqar(Config);

/// The pairs of a string, by key.
struct Pairs(Vec<(Symbol, Symbol)>);

impl Pairs {
    /// Of the first 2 · `count` symbols.
    fn of(x: &[Symbol], count: usize) -> Self {
        let pairs = x.chunks_exact(2).take(count);
        let mut pairs: Vec<_> = pairs.map(|pair| (pair[0], pair[1])).collect();
        pairs.sort_unstable();
        Pairs(pairs)
    }

    fn value(&self, key: Symbol) -> Option<Symbol> {
        let at = self.0.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.0.get(at).map(|(_, value)| *value)
    }
}

/// `count` distinct gaps of 1..=space, one after the other in proportion to g^(power − 1) among those left.
fn gaps(space: usize, count: usize, power: f64, rng: &mut Rng) -> Vec<usize> {
    // Whole multiples of 2⁻³², so that a power that differs in its last bit between machines draws the same gaps.
    let weight = |gap: usize| ((gap as f64).powf(power - 1.0) * 2f64.powi(32)).round().max(1.0) as u64;
    let mut weights: Vec<u64> = (1..=space).map(weight).collect();
    let mut left: u64 = weights.iter().sum();
    let mut draw = |_| {
        let mut mark = rng.random_range(0..left);
        for (gap, weight) in (1..).zip(&mut weights) {
            if mark < *weight {
                left -= std::mem::take(weight);
                return gap;
            }
            mark -= *weight;
        }
        // The mark is below the sum of the weights, so a gap was found.
        space
    };
    (0..count).map(&mut draw).collect()
}

impl Mqar {
    fn pairs(&self) -> usize {
        self.0.pairs as usize
    }
}

impl Problem for Mqar {
    fn label(&self) -> String {
        let Config { pairs, vocabulary, power, filler } = &self.0;
        let mut label = format!("mqar ({pairs} pairs, {vocabulary} tokens");
        if *power != 0.01 {
            label += &format!(", power {power}");
        }
        if *filler == Filler::Zero {
            label += ", zero filler";
        }
        label + ")"
    }

    fn alphabet(&self) -> Vec<String> {
        numerals(self.0.vocabulary)
    }

    // All tokens and not the values alone, as published.
    fn answers(&self) -> Vec<String> {
        numerals(self.0.vocabulary)
    }

    fn admits(&self, length: usize) -> bool {
        length.is_multiple_of(2) && length >= 4 * self.pairs()
    }

    fn lengths(&self) -> String {
        format!("even and at least {}, four times `task.mqar.pairs`", 4 * self.pairs())
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let (pairs, vocabulary) = (self.pairs(), self.0.vocabulary);
        let half = vocabulary / 2;
        let keys = distinct(pairs, half - 1, rng).into_iter().map(|key| key + 1);
        let values = distinct(pairs, vocabulary - half, rng).into_iter().map(|value| value + half);
        let mut x = Vec::with_capacity(length);
        x.extend(keys.zip(values).flat_map(|(key, value)| [key, value]));
        let bound = Pairs::of(&x, pairs);
        match self.0.filler {
            Filler::Zero => x.resize(length, 0),
            Filler::Random => {
                x.extend(symbols(length - 2 * pairs, vocabulary, rng));
                for token in &mut x[2 * pairs..] {
                    // Fewer than half of the tokens are keys, so this ends soon.
                    while bound.value(*token).is_some() {
                        *token = rng.random_range(0..vocabulary);
                    }
                }
            }
        }
        let gaps = gaps((length - 2 * pairs) / 2, pairs, self.0.power, rng);
        for (pair, gap) in gaps.into_iter().enumerate() {
            x[2 * pairs + 2 * (gap - 1)] = x[2 * pair];
        }
        x
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let bound = Pairs::of(x, self.pairs());
        let asked = x.iter().enumerate().map(|(place, token)| {
            let value = if place < 2 * self.pairs() { None } else { bound.value(*token) };
            value.unwrap_or(IGNORE)
        });
        Some(PrefixLabels::Classes(asked.collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, HashMap, HashSet};

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    fn mqar(pairs: u32, vocabulary: u32, filler: Filler) -> Mqar {
        Mqar(Config { pairs, vocabulary, filler, ..Config::default() })
    }

    #[test]
    fn every_token_is_labelled_by_the_value_that_a_dictionary_has_for_it() {
        let problem = mqar(2, 6, Filler::Random);
        // Keys 1 and 2 in both orders, with every pair of values of 3 4 5, then any four tokens.
        for pairs in strings(6, 4) {
            if ![[1, 2], [2, 1]].contains(&[pairs[0], pairs[2]]) || pairs[1] < 3 || pairs[3] < 3 {
                continue;
            }
            let bound = HashMap::from([(pairs[0], pairs[1]), (pairs[2], pairs[3])]);
            for rest in strings(6, 4) {
                let x = [pairs.as_slice(), &rest].concat();
                let label = |token: &Symbol| bound.get(token).copied().unwrap_or(IGNORE);
                let expected = [vec![IGNORE; 4], rest.iter().map(label).collect()].concat();
                assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(expected)), "{x:?}");
            }
        }
    }

    #[test]
    fn strings_are_pairs_of_distinct_keys_and_values_then_every_key_once_at_an_even_place() {
        for (pairs, vocabulary, length) in [(4, 8192, 64), (16, 8192, 256), (3, 8, 12), (1, 4, 4)] {
            for filler in [Filler::Random, Filler::Zero] {
                let problem = mqar(pairs, vocabulary, filler);
                let mut rng = Rng::seed_from_u64(9);
                for _ in 0..200 {
                    let x = problem.sample(length, &mut rng);
                    assert_eq!(x.len(), length);
                    let context = 2 * pairs as usize;
                    let keys: HashSet<_> = x[..context].iter().step_by(2).copied().collect();
                    let values: HashSet<_> = x[1..context].iter().step_by(2).copied().collect();
                    assert!(keys.len() == pairs as usize && values.len() == keys.len());
                    assert!(keys.iter().all(|key| (1..vocabulary / 2).contains(key)));
                    assert!(values.iter().all(|value| (vocabulary / 2..vocabulary).contains(value)));
                    let asked = x[context..].iter().enumerate().filter(|(_, token)| keys.contains(token));
                    let (places, tokens): (Vec<usize>, HashSet<Symbol>) = asked.unzip();
                    assert_eq!(places.len(), pairs as usize);
                    assert_eq!(tokens.len(), places.len());
                    assert!(places.iter().all(|place| place % 2 == 0));
                    let others = x[context..].iter().filter(|token| !keys.contains(token));
                    assert!(filler == Filler::Random || others.clone().all(|token| *token == 0));
                    let labels = problem.prefix_labels(&x).unwrap();
                    let PrefixLabels::Classes(labels) = labels else { panic!("sets") };
                    assert_eq!(labels.iter().filter(|label| **label != IGNORE).count(), pairs as usize);
                }
            }
        }
    }

    #[test]
    fn gaps_are_drawn_one_by_one_in_proportion_to_their_powers() {
        for power in [0.01, 0.5, 1.0] {
            let mut rng = Rng::seed_from_u64(10);
            let mut seen = BTreeMap::new();
            for _ in 0..40_000 {
                *seen.entry(gaps(4, 2, power, &mut rng)).or_insert(0.0) += 1.0 / 40_000.0;
            }
            let weight = |gap: usize| (gap as f64).powf(power - 1.0);
            let sum: f64 = (1..=4).map(weight).sum();
            for (first, second) in (1..=4).flat_map(|f| (1..=4).map(move |s| (f, s))).filter(|(f, s)| f != s)
            {
                let expected = weight(first) / sum * weight(second) / (sum - weight(first));
                let found = seen[&vec![first, second]];
                assert!(
                    (found - expected).abs() < 0.012,
                    "{power}, {first} {second}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn all_places_can_be_taken() {
        let mut all = gaps(500, 500, 0.01, &mut Rng::seed_from_u64(11));
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=500));
        let problem = mqar(2, 8192, Filler::Random);
        assert!(problem.admits(8) && !problem.admits(6) && !problem.admits(9));
    }
}
