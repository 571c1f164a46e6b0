//! Order detection: which of the factors ab and ba comes first. Example: c a a b a → ab.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::symbols;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Where the first factor lies: two tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// At every place alike, so that the whole string has to be read.
    #[default]
    Uniform,
    /// Where independent uniform symbols put it: near the start, whatever the length.
    Iid,
}

/// Options of `order_detection`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the first factor lies: `uniform` (the default) or `iid`.
    pub first: First,
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "order_detection",
        title: "ab before ba",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "x ∈ {a,b,c}ⁿ with at least one of the factors ab and ba → the one that comes first; each half of \
                     the time. With `first = \"uniform\"` the first factor lies at each of the n − 1 places alike, all \
                     strings with it there alike; with `iid` x is uniform among all strings that have a factor. A \
                     prefix without a factor is labelled none.",
        expected: "A neighbour has to be told from a symbol further off: expected to be weak without an encoding, and \
                   to pass with any that gives the offset −1.",
        source: "this project",
        example: "kind = \"order_detection\"\nprotocol = \"encoder\"\nfirst = \"uniform\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(OrderDetection { first: self.first }))
    }
}

const A: Symbol = 0;
const B: Symbol = 1;
const C: Symbol = 2;
const NONE: Symbol = 2;

/// The problem.
struct OrderDetection {
    first: First,
}

/// The factor that two neighbours are: 0 for ab, 1 for ba.
fn factor(pair: &[Symbol]) -> Option<Symbol> {
    match pair {
        [A, B] => Some(0),
        [B, A] => Some(1),
        _ => None,
    }
}

/// Of the strings of length m without a factor, those that end in c over those that end in a (as many end in b):
/// r₁ = 1, rₘ₊₁ = (2 + rₘ)/(1 + rₘ), for m = 1, 2 …; from the 32nd on it is √2 in f64.
const RATIOS: [f64; 32] = {
    let mut ratios = [1.0; 32];
    let mut m = 1;
    while m < ratios.len() {
        ratios[m] = (2.0 + ratios[m - 1]) / (1.0 + ratios[m - 1]);
        m += 1;
    }
    ratios
};

/// A string whose first factor is `end` (0 for ab, 1 for ba) at place `at` and at − 1: backwards from there, every
/// string without a factor alike, then independent symbols.
fn with_factor(length: usize, at: usize, end: Symbol, rng: &mut Rng) -> Vec<Symbol> {
    let mut x = symbols(length, 3, rng);
    let (before, after) = if end == 0 { (A, B) } else { (B, A) };
    x[at] = after;
    x[at - 1] = before;
    let mut next = before;
    for place in (0..at - 1).rev() {
        let ratio = RATIOS[place.min(RATIOS.len() - 1)];
        let u: f64 = rng.random();
        next = match next {
            // Before c every symbol may stand, with weights 1, 1, r; before a or b itself or c, with 1, r.
            C if u * (2.0 + ratio) < ratio => C,
            C => Symbol::from(rng.random::<bool>()),
            same if u * (1.0 + ratio) < 1.0 => same,
            _ => C,
        };
        x[place] = next;
    }
    x
}

impl Problem for OrderDetection {
    fn label(&self) -> String {
        match self.first {
            First::Uniform => "ab before ba (first uniform)".into(),
            First::Iid => "ab before ba (iid)".into(),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }

    fn answers(&self) -> Vec<String> {
        ["ab", "ba", "none"].map(str::to_owned).to_vec()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 2
    }

    fn lengths(&self) -> String {
        "at least 2".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        match self.first {
            First::Uniform => {
                let at = rng.random_range(1..length as u64) as usize;
                let end = Symbol::from(rng.random::<bool>());
                with_factor(length, at, end, rng)
            }
            // Two strings in nine have a factor at length 2, more at greater lengths.
            First::Iid => loop {
                let x = symbols(length, 3, rng);
                if x.windows(2).any(|pair| factor(pair).is_some()) {
                    return x;
                }
            },
        }
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let first = x.windows(2).find_map(factor);
        Some(vec![first.unwrap_or(NONE)])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut label = NONE;
        let mut labels = Vec::with_capacity(x.len());
        // A single symbol has no factor.
        labels.extend(x.first().map(|_| NONE));
        for pair in x.windows(2) {
            if label == NONE {
                label = factor(pair).unwrap_or(NONE);
            }
            labels.push(label);
        }
        Some(PrefixLabels::Classes(labels))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are, strings};

    /// The place where a factor ends first, by looking for each in the printed string.
    fn slow(x: &[Symbol]) -> (Option<usize>, Symbol) {
        let text: String = x.iter().map(|s| ["a", "b", "c"][*s as usize]).collect();
        match (text.find("ab"), text.find("ba")) {
            (Some(ab), Some(ba)) if ab < ba => (Some(ab + 1), 0),
            (Some(ab), None) => (Some(ab + 1), 0),
            (_, Some(ba)) => (Some(ba + 1), 1),
            (None, None) => (None, 2),
        }
    }

    #[test]
    fn every_short_string_has_the_factor_found_first_in_its_text() {
        let problem = OrderDetection { first: First::Iid };
        answers_are(&problem, 8, |x| slow(x).1);
        prefixes_are(&problem, 8, |x| slow(x).1);
    }

    fn seen(first: First, length: usize, draws: u32) -> BTreeMap<Vec<Symbol>, f64> {
        let mut rng = Rng::seed_from_u64(3);
        let mut seen = BTreeMap::new();
        for _ in 0..draws {
            let x = OrderDetection { first }.sample(length, &mut rng);
            *seen.entry(x).or_insert(0.0) += 1.0 / f64::from(draws);
        }
        seen
    }

    #[test]
    fn strings_come_as_often_as_their_law_says() {
        for (length, draws) in [(2, 4_000), (3, 8_000), (5, 100_000)] {
            let mut all: BTreeMap<_, _> =
                strings(3, length).into_iter().map(|x| (x.clone(), slow(&x))).collect();
            all.retain(|_, (at, _)| at.is_some());
            for first in [First::Uniform, First::Iid] {
                let seen = seen(first, length, draws);
                for (x, class) in &all {
                    let alike = all.values().filter(|other| *other == class).count();
                    let expected = match first {
                        First::Uniform => 1.0 / (2 * (length - 1) * alike) as f64,
                        First::Iid => 1.0 / all.len() as f64,
                    };
                    let found = seen.get(x).copied().unwrap_or(0.0);
                    let sd = (expected / f64::from(draws)).sqrt();
                    assert!((found - expected).abs() < 5.0 * sd, "{first:?} {x:?}: {found}, not {expected}");
                }
                assert!(seen.keys().all(|x| all.contains_key(x)));
            }
        }
    }

    #[test]
    fn in_long_strings_the_first_factor_lies_anywhere_and_is_each_half_of_the_time() {
        let mut rng = Rng::seed_from_u64(4);
        let (mut mean, mut ba) = (0.0, 0.0);
        for _ in 0..4_000 {
            let x = OrderDetection { first: First::Uniform }.sample(100, &mut rng);
            let (at, class) = slow(&x);
            mean += at.map_or(f64::NAN, |at| at as f64) / 4_000.0;
            ba += f64::from(class) / 4_000.0;
        }
        assert!((mean - 50.0).abs() < 2.5 && (ba - 0.5).abs() < 0.04, "{mean} {ba}");
    }
}
