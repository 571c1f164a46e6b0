//! Dyck words: well-nested brackets, labelled with the symbols that may come next. Example: after ( [ the legal set
//! is every opening bracket and ].
//!
//! The grammar S → (S) with p = 1/2, SS with q = 1/4 of Bhattamishra et al. has to be drawn until the length fits and
//! weighs words by their derivations; the laws here are exact at every length. Scores are not comparable with those on
//! words of the grammar.

use serde::{Deserialize, Serialize};

use crate::nesting::{self, Law, Words};
use crate::registry::{Class, Info, Kind, Setting};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `dyck`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of bracket types, 1 to 1000 (default 2).
    pub brackets: u32,
    /// The deepest nesting, 1 to 1000; none by default. At this depth no opening bracket is legal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// How words are weighed: `uniform`, the default, or with a `max_depth` the `walk` of Yao et al.
    #[serde(skip_serializing_if = "is_default")]
    pub law: Law,
}

impl Default for Config {
    fn default() -> Self {
        Config { brackets: 2, max_depth: None, law: Law::Uniform }
    }
}

/// So that configurations from before `law` are written as they were.
fn is_default(law: &Law) -> bool {
    *law == Law::default()
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "dyck",
        title: "Dyck words",
        class: Class::Hierarchical,
        protocols: &[Protocol::Prefix],
        definition: "A word of well-nested brackets of `brackets` types, even n, of depth at most `max_depth`, drawn \
                     by `law` among those of its length → after every symbol the set of symbols that may come next: \
                     every opening bracket above the depth bound, and the closing one of the innermost open bracket.",
        expected: "One type is a counter and passes. Two or more need the type of the innermost open bracket: depth \
                   beyond training fails, bounded depth is within reach of two layers. Depth beyond a trained bound \
                   is the kind `which_closes`, whose labels do not name the bound.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264), labels; Yao et al. 2021 (arXiv 2105.11115), bounded \
                 depth and the walk; the uniform law is this project's",
        example: "kind = \"dyck\"\nprotocol = \"prefix\"\nbrackets = 2\nmax_depth = 10\nlaw = \"uniform\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        nesting::check("dyck", self.brackets, 1, self.max_depth, self.law)?;
        Ok(setting.pose(Dyck::new(self)))
    }
}

/// The problem.
struct Dyck {
    words: Words,
}

impl Dyck {
    fn new(config: &Config) -> Self {
        Dyck { words: Words::new(config.brackets, config.max_depth, config.law) }
    }
}

impl Problem for Dyck {
    fn label(&self) -> String {
        self.words.label()
    }

    fn alphabet(&self) -> Vec<String> {
        self.words.alphabet()
    }

    fn answers(&self) -> Vec<String> {
        self.words.alphabet()
    }

    fn admits(&self, length: usize) -> bool {
        nesting::admits(length)
    }

    fn lengths(&self) -> String {
        nesting::lengths()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        self.words.sample(length, rng)
    }

    fn labels_are_sets(&self) -> bool {
        true
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let count = self.words.brackets() as usize;
        let max_depth = self.words.max_depth().unwrap_or(usize::MAX);
        let mut sets = vec![false; x.len() * 2 * count];
        let mut stack = Vec::with_capacity(x.len());
        for (symbol, set) in x.iter().map(|s| *s as usize).zip(sets.chunks_mut(2 * count)) {
            if symbol < count {
                stack.push(symbol);
            } else {
                stack.pop();
            }
            set[..count].fill(stack.len() < max_depth);
            if let Some(innermost) = stack.last() {
                set[count + innermost] = true;
            }
        }
        Some(PrefixLabels::Sets(sets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nesting::tests::words;

    #[test]
    fn a_symbol_is_legal_if_some_word_goes_on_with_it() {
        for (brackets, max_depth) in [(1, None), (2, None), (2, Some(1)), (2, Some(2))] {
            let problem = Dyck::new(&Config { brackets, max_depth, law: Law::Uniform });
            // Long enough to complete any prefix of four symbols that is a prefix of a word of four.
            let longer: Vec<_> = [2, 4, 6, 8].iter().flat_map(|n| words(*n, brackets, max_depth)).collect();
            for x in [2, 4].iter().flat_map(|n| words(*n, brackets, max_depth)) {
                let Some(PrefixLabels::Sets(sets)) = problem.prefix_labels(&x) else {
                    panic!("no sets for {x:?}")
                };
                for (end, set) in (1..=x.len()).zip(sets.chunks(2 * brackets as usize)) {
                    for (symbol, legal) in set.iter().enumerate() {
                        let longer_prefix = [&x[..end], &[symbol as Symbol]].concat();
                        let exists = longer.iter().any(|w| w.starts_with(&longer_prefix));
                        assert_eq!(*legal, exists, "{longer_prefix:?}, depth {max_depth:?}");
                    }
                }
            }
        }
    }
}
