//! Majority of letters: the commonest letter. Example: b a q b → b.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `letter_majority`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of letters, 2 to 26 (default 26).
    pub letters: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { letters: 26 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "letter_majority",
        title: "Majority of letters",
        class: Class::Counter,
        protocols: &[Protocol::Language, Protocol::Encoder],
        definition: "x of n independent uniform letters → the commonest one. Strings where two letters share the first \
                     place are drawn again.",
        expected: "Nothing: the order does not matter, and every encoding should pass. Published at three times the \
                   training length: learned with random offsets 97.8 % of whole answers, no encoding 98.5 %.",
        source: "Huang et al. 2024 (arXiv 2410.02140), `majority`",
        example: "kind = \"letter_majority\"\nprotocol = \"language\"\nletters = 26\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("letter_majority", "letters", self.letters, 2..=26)?;
        Ok(setting.pose(LetterMajority { letters: self.letters }))
    }
}

/// The problem.
struct LetterMajority {
    letters: u32,
}

/// The letter with the highest count; None if two share it.
fn commonest(counts: &[u32]) -> Option<Symbol> {
    let most = counts.iter().max()?;
    let mut first = counts.iter().enumerate().filter(|(_, count)| *count == most);
    let (letter, _) = first.next()?;
    first.next().is_none().then_some(letter as Symbol)
}

impl Problem for LetterMajority {
    fn label(&self) -> String {
        match self.letters {
            26 => "majority of letters".into(),
            k => format!("majority of letters ({k})"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        ('a'..='z').take(self.letters as usize).map(String::from).collect()
    }

    fn answers(&self) -> Vec<String> {
        self.alphabet()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = vec![0; length];
        // One draw in 26 is kept at length 2, one in 9 at length 3, about one in two at length 20.
        loop {
            let mut counts = [0u32; 26];
            for symbol in &mut x {
                *symbol = rng.random_range(0..self.letters);
                counts[*symbol as usize] += 1;
            }
            if commonest(&counts).is_some() {
                return x;
            }
        }
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let mut counts = [0u32; 26];
        for symbol in x {
            *counts.get_mut(*symbol as usize)? += 1;
        }
        commonest(&counts).map(|letter| vec![letter])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// The letter left after taking one of each letter present away until one letter is left; None if none is.
    fn slow(x: &[Symbol]) -> Option<Symbol> {
        let mut rest = x.to_vec();
        loop {
            let mut present = rest.clone();
            present.sort_unstable();
            present.dedup();
            if present.len() <= 1 {
                return present.pop();
            }
            for letter in present {
                let at = rest.iter().position(|other| *other == letter).unwrap();
                rest.remove(at);
            }
        }
    }

    #[test]
    fn every_short_string_has_the_letter_that_outlasts_the_others() {
        let problem = LetterMajority { letters: 4 };
        for x in (1..=7).flat_map(|length| strings(4, length)) {
            assert_eq!(problem.answer(&x), slow(&x).map(|letter| vec![letter]), "{x:?}");
        }
    }

    #[test]
    fn every_string_without_a_tie_is_equally_likely() {
        let problem = LetterMajority { letters: 3 };
        let mut expected = strings(3, 4);
        expected.retain(|x| slow(x).is_some());
        let mut rng = Rng::seed_from_u64(2);
        let mut seen = BTreeMap::new();
        for _ in 0..400 * expected.len() {
            *seen.entry(problem.sample(4, &mut rng)).or_insert(0u32) += 1;
        }
        assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), expected);
        assert!(seen.values().all(|count| count.abs_diff(400) < 100), "{seen:?}");
    }

    #[test]
    fn the_letters_are_a_to_z() {
        let alphabet = LetterMajority { letters: 26 }.alphabet();
        assert_eq!((alphabet.len(), alphabet[0].as_str(), alphabet[25].as_str()), (26, "a", "z"));
    }
}
