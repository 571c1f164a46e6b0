//! The seven languages of Tomita over {0, 1}. Example of the fourth, no 000: after 1 0 0 the only symbol that may come
//! is 1.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::automaton::{Automaton, Language, LanguageLabels};
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::binary;
use crate::{Protocol, Rng, Symbol, Task, TaskError};

/// How the words of a length are distributed: two tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strings {
    /// All alike.
    Uniform,
    /// Of the third language, run by run as published: a fair symbol, then a uniform number of it up to what is left,
    /// even for zeros where an odd run of ones would forbid odd ones.
    Runs,
}

/// Options of `tomita`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which language, 1 to 7 (default 1).
    pub n: u32,
    /// What is said of a prefix; by default what is published: `next` for 1, 2, 4 and 7, `accepted` for 3,
    /// `membership` for 5 and 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LanguageLabels>,
    /// How words are distributed: `uniform` (the default) or, for 3, `runs`.
    pub strings: Strings,
}

impl Default for Config {
    fn default() -> Self {
        Config { n: 1, labels: None, strings: Strings::Uniform }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "tomita",
        title: "Tomita languages",
        class: Class::Periodic,
        protocols: &[Protocol::Prefix],
        definition: "A word of the language `n`, uniform among those of its length (see `strings`): 1: 1*; 2: (10)*; 3: no odd run of \
                     ones directly before an odd run of zeros; 4: no 000; 5: an even number of zeros and of ones; 6: \
                     #0 ≡ #1 modulo 3; 7: 0*1*0*1*. Labels of a prefix x: `next`, the set of symbols s such that some \
                     word begins with xs; `accepted`, the set of s such that xs is a word; `membership`, whether x \
                     is a word. The published sets of 3 are `accepted`, although its code calls them legal symbols: \
                     it takes every state that is not accepting for dead, and so 0 for illegal after an odd run of \
                     ones. Published strings are words too, but uniform among those of a length in 5 and 6 only (1 \
                     and 2 have one word of each length at most); those of 3 have far longer runs: `strings` = \
                     \"runs\" is their law.",
        expected: "Published with learned positions and random offsets / without an encoding, whole strings up to 100: \
                   1 and 2 100 / 100 %, 4 100 / 100, 7 100 / 100, 3 60 / 21, 5 54 / 7, 6 60 / 2; from 101 to 150 4 \
                   85 / 17, 7 94 / 88, 3, 5 and 6 at most 8.",
        source: "Tomita 1982; labels and strings: Bhattamishra et al. 2020 (arXiv 2009.11264), code; numbers: Huang et \
                 al. 2024 (arXiv 2410.02140); the sampler is this project's",
        example: "kind = \"tomita\"\nprotocol = \"prefix\"\nn = 4\nlabels = \"next\"\nstrings = \"uniform\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("tomita", "n", self.n, 1..=7)?;
        let language = tomita(self.n, self.labels, self.strings);
        if self.strings == Strings::Runs && self.n != 3 {
            return Err(TaskError::Config {
                kind: "tomita",
                field: "strings",
                found: "\"runs\"".to_owned(),
                expected: format!("\"uniform\" for n = {}", self.n),
                remedy: "remove it, or set n = 3, whose published strings are drawn by runs".to_owned(),
            });
        }
        Ok(setting.pose(language))
    }
}

fn tomita(n: u32, labels: Option<LanguageLabels>, strings: Strings) -> Language {
    let published = match n {
        3 => LanguageLabels::Accepted,
        5 | 6 => LanguageLabels::Membership,
        _ => LanguageLabels::Next,
    };
    let labels = labels.unwrap_or(published);
    let variants = [
        (labels != published).then_some(labels.name()),
        (strings == Strings::Runs).then_some("strings by runs"),
    ];
    let variants: Vec<&str> = variants.into_iter().flatten().collect();
    let label = match variants.is_empty() {
        true => format!("tomita {n}"),
        false => format!("tomita {n} ({})", variants.join(", ")),
    };
    let language = Language::new(label, binary(), automaton(n), labels);
    match strings {
        Strings::Uniform => language,
        Strings::Runs => language.with_law(by_runs),
    }
}

/// A word of the third language by runs. A run of no symbols changes nothing, and runs of the same symbol add up.
fn by_runs(length: usize, rng: &mut Rng) -> Vec<Symbol> {
    let mut x = Vec::with_capacity(length);
    // The last run of ones, whether zeros came after it or not.
    let mut ones = 0;
    while x.len() < length {
        let left = (length - x.len()) as u64;
        let symbol: Symbol = rng.random_range(0..2);
        let run = match symbol {
            0 if ones % 2 == 1 => 2 * rng.random_range(0..=left / 2),
            _ => rng.random_range(0..=left),
        };
        if symbol == 1 && run > 0 {
            ones = if x.last() == Some(&0) { run } else { ones + run };
        }
        x.resize(x.len() + run as usize, symbol);
    }
    x
}

/// The states as numbers: what each counts is said beside it.
fn automaton(n: u32) -> Automaton {
    const DEAD: u32 = 9;
    let step = move |state: &u32, symbol: Symbol| match (n, *state, symbol) {
        (_, DEAD, _) => DEAD,
        (1, 0, 1) => 0,
        // Ones less zeros.
        (2, 0, 1) => 1,
        (2, 1, 0) => 0,
        // 0: nothing odd is at stake; 1: an odd run of ones; after one, 2: an odd run of zeros, 3: an even one.
        (3, 0, 0) => 0,
        (3, 0 | 3, 1) => 1,
        (3, 1, 1) => 0,
        (3, 1 | 3, 0) => 2,
        (3, 2, 0) => 3,
        // Zeros at the end.
        (4, zeros @ 0..=1, 0) => zeros + 1,
        (4, _, 1) => 0,
        // Bit 0: zeros modulo 2; bit 1: ones modulo 2.
        (5, parities, symbol) => parities ^ (1 + symbol),
        // Zeros less ones modulo 3.
        (6, difference, symbol) => (difference + 1 + symbol) % 3,
        // Changes of the symbol, the first from 0.
        (7, changes, symbol) if changes % 2 == symbol => changes,
        (7, changes @ 0..=2, _) => changes + 1,
        _ => DEAD,
    };
    let accepts = move |state: &u32| match n {
        2 | 5 | 6 => *state == 0,
        3 => [0, 1, 3].contains(state),
        _ => *state != DEAD,
    };
    Automaton::new(2, 0, step, accepts)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::Problem;
    use crate::problems::exhaustive::language;

    /// The lengths of the runs of equal symbols, with the symbol.
    fn runs(x: &[Symbol]) -> Vec<(Symbol, usize)> {
        x.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
    }

    fn is_word(n: u32, x: &[Symbol]) -> bool {
        let count = |symbol| x.iter().filter(|s| **s == symbol).count();
        match n {
            1 => !x.contains(&0),
            2 => x.chunks(2).all(|pair| pair == [1, 0]),
            3 => !runs(x).windows(2).any(|two| two[0].0 == 1 && two[0].1 % 2 == 1 && two[1].1 % 2 == 1),
            4 => !runs(x).iter().any(|(symbol, length)| *symbol == 0 && *length >= 3),
            5 => count(0) % 2 == 0 && count(1) % 2 == 0,
            6 => count(0).abs_diff(count(1)) % 3 == 0,
            _ => runs(x).len() + usize::from(x.first() == Some(&1)) <= 4,
        }
    }

    #[test]
    fn every_short_string_is_labelled_by_the_words_there_are() {
        for n in 1..=7 {
            for labels in [LanguageLabels::Next, LanguageLabels::Accepted, LanguageLabels::Membership] {
                language::labels_are(&tomita(n, Some(labels), Strings::Uniform), labels, 9, 4, |x| is_word(n, x));
            }
        }
    }

    #[test]
    fn every_word_of_a_length_is_equally_likely() {
        for n in 1..=7 {
            language::words_are_uniform(&tomita(n, None, Strings::Uniform), 6, |x| is_word(n, x));
            language::words_are_uniform(&tomita(n, None, Strings::Uniform), 7, |x| is_word(n, x));
        }
    }

    #[test]
    fn the_labels_are_the_published_ones_unless_others_are_asked_for() {
        for (n, labels) in [
            (1, LanguageLabels::Next),
            (3, LanguageLabels::Accepted),
            (4, LanguageLabels::Next),
            (6, LanguageLabels::Membership),
        ] {
            language::labels_are(&tomita(n, None, Strings::Uniform), labels, 6, 4, |x| is_word(n, x));
        }
    }

    #[test]
    fn a_label_names_what_is_not_the_default() {
        let label = |labels, strings| tomita(3, labels, strings).label();
        assert_eq!(label(None, Strings::Uniform), "tomita 3");
        assert_eq!(label(Some(LanguageLabels::Accepted), Strings::Uniform), "tomita 3");
        assert_eq!(label(Some(LanguageLabels::Next), Strings::Uniform), "tomita 3 (next)");
        assert_eq!(label(Some(LanguageLabels::Next), Strings::Runs), "tomita 3 (next, strings by runs)");
    }

    #[test]
    fn strings_by_runs_are_words_with_the_chances_of_their_runs() {
        let problem = tomita(3, None, Strings::Runs);
        let mut rng = Rng::seed_from_u64(9);
        let (mut seen, mut long) = (BTreeMap::new(), 0);
        for _ in 0..4000 {
            *seen.entry(problem.sample(2, &mut rng)).or_insert(0usize) += 1;
            let x = problem.sample(60, &mut rng);
            assert!(x.len() == 60 && is_word(3, &x), "{x:?}");
            long += usize::from(runs(&x).len() <= 10);
        }
        // The first run is 0, 00, 1 or 11 alike; after 0 both symbols are as likely, after 1 only 1 can end the word.
        let near = |x: [Symbol; 2], count: usize| seen[x.as_slice()].abs_diff(count) < 150;
        assert!(seen.len() == 3 && near([1, 1], 2000) && near([0, 0], 1500) && near([0, 1], 500), "{seen:?}");
        // Uniform words of 60 symbols have a few dozen runs.
        assert!(long > 3000, "{long}");
    }
}
