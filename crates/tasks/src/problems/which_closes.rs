//! Which bracket closes: the type of the innermost open bracket. Example: ( [ ] → ) ] ).
//!
//! Where no bracket is open there is no label. This is the closing accuracy of Yao et al. 2021: their language model
//! is right at such a position if the right bracket has more than 0.8 of the chance of all closing ones; here the model
//! is trained on the closing bracket itself and right if it says it, so a guess is right once in `brackets`.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::nesting::{self, Law, Words};
use crate::registry::{Class, Info, Kind, Setting};
use crate::{IGNORE, PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `which_closes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of bracket types, 2 to 1000 (default 8).
    pub brackets: u32,
    /// The deepest nesting, 1 to 1000; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// How words are weighed: `uniform`, the default, or with a `max_depth` the `walk` of Yao et al.
    pub law: Law,
    /// Deeper words for the test. Yao et al. train at depth 10 up to length 700 and test to depth 15 at 701 to 1400:
    /// `test_depth = { from = 702, max = 15 }`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_depth: Option<TestDepth>,
}

/// Where test words are deeper than those for training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestDepth {
    /// The least length at which they are; shorter test words are as those for training, so that it can be told
    /// whether the training words were learned.
    pub from: u32,
    /// Their deepest nesting, above `max_depth` and at most 1000.
    pub max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { brackets: 8, max_depth: None, law: Law::Uniform, test_depth: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "which_closes",
        title: "Which bracket closes",
        class: Class::Hierarchical,
        protocols: &[Protocol::Prefix],
        definition: "A word of well-nested brackets of `brackets` types, even n, of depth at most `max_depth`, drawn \
                     by `law` among those of its length → after every symbol the bracket that closes the innermost \
                     open one; no label where none is open. With `test_depth` the test words of length `from` and \
                     more have depth at most its `max`.",
        expected: "Bounded depth is within reach of two layers; depth beyond training fails. A guess is right once \
                   in `brackets`.",
        source: "Yao et al. 2021 (arXiv 2105.11115), closing accuracy, without their threshold of 0.8; limit: Hahn \
                 2020 (arXiv 1906.06755)",
        example: "kind = \"which_closes\"\nprotocol = \"prefix\"\nbrackets = 8\nmax_depth = 10\nlaw = \"walk\"\n\
                  test_depth = { from = 702, max = 15 }\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        nesting::check("which_closes", self.brackets, 2, self.max_depth, self.law)?;
        if let Some(test) = &self.test_depth {
            let Some(max_depth) = self.max_depth else {
                return Err(TaskError::Config {
                    kind: "which_closes",
                    field: "test_depth",
                    found: "set without `max_depth`".into(),
                    expected: "a depth beyond that of training".into(),
                    remedy: "set `max_depth`, or remove `test_depth`".into(),
                });
            };
            in_range("which_closes", "test_depth.max", test.max, max_depth.saturating_add(1)..=1000)?;
            in_range("which_closes", "test_depth.from", test.from, 2..=u32::MAX)?;
        }
        Ok(setting.pose(WhichCloses::new(self)))
    }
}

/// The problem.
struct WhichCloses {
    words: Words,
    /// The words of the test from a length on.
    deeper: Option<(usize, Words)>,
}

impl WhichCloses {
    fn new(config: &Config) -> Self {
        let words = |max_depth| Words::new(config.brackets, max_depth, config.law);
        let deeper = config.test_depth.as_ref().map(|test| (test.from as usize, words(Some(test.max))));
        WhichCloses { words: words(config.max_depth), deeper }
    }
}

impl Problem for WhichCloses {
    fn label(&self) -> String {
        let deeper = match &self.deeper {
            Some((from, words)) => format!("; depth {} from {from}", words.max_depth().unwrap_or(0)),
            None => String::new(),
        };
        format!("which closes ({}{deeper})", self.words.label())
    }

    fn alphabet(&self) -> Vec<String> {
        self.words.alphabet()
    }

    fn answers(&self) -> Vec<String> {
        self.words.alphabet().split_off(self.words.brackets() as usize)
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

    fn sample_test(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        match &self.deeper {
            Some((from, words)) if length >= *from => words.sample(length, rng),
            _ => self.words.sample(length, rng),
        }
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut stack = Vec::with_capacity(x.len());
        let innermost = x.iter().map(|symbol| {
            if *symbol < self.words.brackets() {
                stack.push(*symbol);
            } else {
                stack.pop();
            }
            stack.last().copied().unwrap_or(IGNORE)
        });
        Some(PrefixLabels::Classes(innermost.collect()))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::nesting::tests::{depths, open, words};
    use crate::{Split, TaskConfig};

    #[test]
    fn the_bracket_that_closes_is_that_of_the_last_open_one_left_after_deleting_pairs() {
        let problem = WhichCloses::new(&Config { brackets: 2, ..Config::default() });
        for x in [2, 4, 6].iter().flat_map(|n| words(*n, 2, None)) {
            let innermost = |end| open(&x[..end], 2).last().copied().unwrap_or(IGNORE);
            let expected = PrefixLabels::Classes((1..=x.len()).map(innermost).collect());
            assert_eq!(problem.prefix_labels(&x), Some(expected), "{x:?}");
        }
    }

    fn deepest(problem: &WhichCloses, length: usize, split: Split) -> usize {
        let mut rng = Rng::seed_from_u64(4);
        let word = |_| match split {
            Split::Train => problem.sample(length, &mut rng),
            Split::Test => problem.sample_test(length, &mut rng),
        };
        (0..200).map(word).flat_map(|x| depths(&x, 2)).max().unwrap_or(0)
    }

    #[test]
    fn test_words_are_deeper_from_a_length_on_and_training_words_never() {
        let test_depth = Some(TestDepth { from: 40, max: 5 });
        let config = Config { brackets: 2, max_depth: Some(3), test_depth, ..Config::default() };
        let problem = WhichCloses::new(&config);
        assert_eq!([38, 40].map(|n| deepest(&problem, n, Split::Test)), [3, 5]);
        assert_eq!([38, 40].map(|n| deepest(&problem, n, Split::Train)), [3, 3]);
        assert_eq!(problem.label(), "which closes (dyck-(2,3); depth 5 from 40)");
    }

    #[test]
    fn a_test_depth_that_is_not_deeper_is_refused() {
        let config = |max_depth, max| {
            let test_depth = Some(TestDepth { from: 40, max });
            let config = Config { max_depth, test_depth, ..Config::default() };
            TaskConfig::new(crate::ProblemConfig::WhichCloses(config)).build().err().map(|e| e.to_string())
        };
        assert_eq!(config(Some(10), 15), None);
        for (max_depth, max, reason) in [
            (Some(10), 10, "task.which_closes.test_depth.max is 10, expected 11 to 1000"),
            (None, 10, "set without `max_depth`"),
        ] {
            let error = config(max_depth, max).unwrap_or_default();
            assert!(error.contains(reason), "{error}");
        }
    }
}
