//! The languages D_n = (a D_{n−1} b)*, D_0 = {ε}. Example of D_2: after a b a the symbols that may come are a and b,
//! after a b a a only b.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::automaton::{Automaton, Language, LanguageLabels};
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Protocol, Symbol, Task, TaskError};

/// Options of `d_n`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The depth n, 1 to 100 (default 2).
    pub n: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { n: 2 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "d_n",
        title: "Bounded nesting D_n",
        class: Class::Hierarchical,
        protocols: &[Protocol::Prefix],
        definition: "A word of D_n = (a D_{n−1} b)*, even length, uniform among those of its length → after every \
                     symbol the set of symbols that may come next: a below depth n, b above depth 0. D_n is star-free, \
                     of dot-depth n, and the same as one type of brackets nested at most n deep. Published words are \
                     drawn by recursion, an inner word about three quarters as long as the outer one may be, and reach \
                     depth n more often.",
        expected: "Nothing: published for n = 2, 3, 4 and 12 at up to three times the training lengths, 100 % of \
                   whole strings, learned with random offsets and without an encoding.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264), labels; Huang et al. 2024 (arXiv 2410.02140), numbers; \
                 the sampler is this project's",
        example: "kind = \"d_n\"\nprotocol = \"prefix\"\nn = 4\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("d_n", "n", self.n, 1..=100)?;
        Ok(setting.pose(d_n(self.n)))
    }
}

fn d_n(n: u32) -> Language {
    // The depth, None beyond the bounds.
    let step = |depth: &Option<u32>, symbol: Symbol| match (*depth, symbol) {
        (Some(depth), 0) if depth < n => Some(depth + 1),
        (Some(depth), 1) => depth.checked_sub(1),
        _ => None,
    };
    let automaton = Automaton::new(2, Some(0), step, |depth| *depth == Some(0));
    Language::new(format!("D-{n}"), vec!["a".into(), "b".into()], automaton, LanguageLabels::Next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::language;

    /// By the definition: a word of D_n is cut into parts a w b with w in D_{n−1}, at the b that closes the first a.
    fn is_word(n: u32, x: &[Symbol]) -> bool {
        if x.is_empty() {
            return true;
        }
        let closes = |end: &usize| {
            let part = &x[..*end];
            part.first() == Some(&0) && part.last() == Some(&1) && is_word(n - 1, &part[1..end - 1])
        };
        n > 0 && (2..=x.len()).filter(closes).any(|end| is_word(n, &x[end..]))
    }

    #[test]
    fn every_short_string_is_labelled_by_the_words_there_are() {
        for n in [1, 2, 3, 4] {
            language::labels_are(&d_n(n), LanguageLabels::Next, 8, n as usize + 1, |x| is_word(n, x));
        }
    }

    #[test]
    fn every_word_of_a_length_is_equally_likely() {
        for (n, length) in [(1, 6), (2, 8), (3, 8), (12, 8)] {
            language::words_are_uniform(&d_n(n), length, |x| is_word(n, x));
        }
    }
}
