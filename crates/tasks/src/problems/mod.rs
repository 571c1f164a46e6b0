//! What can be asked: one kind a file, one line a kind.

use crate::registry::{Info, Kind, Setting, registry};
use crate::{Task, TaskError};

registry! {
    reverse => Reverse,
    copy => Copy,
    duplicate => Duplicate,
    missing_duplicate => MissingDuplicate,
    odds_first => OddsFirst,
    sort => Sort,
    order_detection => OrderDetection,
    permutation_detection => PermutationDetection,
    selective_copy => SelectiveCopy,
    induction => Induction,
    mqar => Mqar,
    max_retrieval => MaxRetrieval,
    even_pairs => EvenPairs,
    first_token => FirstToken,
    parity => Parity,
    aa_star => AaStar,
    abab_star => AbabStar,
    alternation => Alternation,
    position_mod => PositionMod,
    cycle_navigation => CycleNavigation,
    modular_arithmetic => ModularArithmetic,
    interleaved_majority => InterleavedMajority,
    tomita => Tomita,
    d_n => DN,
    flip_flop => FlipFlop,
    regular => Regular,
    dyck => Dyck,
    which_closes => WhichCloses,
    bracket_depth => BracketDepth,
    stack_manipulation => StackManipulation,
    modular_arithmetic_brackets => ModularArithmeticBrackets,
    solve_equation => SolveEquation,
    addition => Addition,
    majority => Majority,
    letter_majority => LetterMajority,
    bucket_sort => BucketSort,
    a_n_b_n => ANBN,
    a_n_b_n_c_n => ANBNCN,
    shuffle => Shuffle,
    bigram_backcopy => BigramBackcopy,
    text => Text,
}

/// Refuses a number outside `range`.
pub(crate) fn in_range(
    kind: &'static str,
    field: &'static str,
    found: u32,
    range: std::ops::RangeInclusive<u32>,
) -> Result<(), TaskError> {
    if range.contains(&found) {
        return Ok(());
    }
    Err(TaskError::Config {
        kind,
        field,
        found: found.to_string(),
        expected: format!("{} to {}", range.start(), range.end()),
        remedy: format!("set {field} within that range"),
    })
}

#[cfg(test)]
pub(crate) mod exhaustive {
    #![allow(clippy::unwrap_used)]
    //! Comparison with a slow definition on every string up to a length.

    use crate::{PrefixLabels, Problem, Symbol};

    /// Every string of the given length over `count` symbols.
    pub(crate) fn strings(count: u32, length: usize) -> Vec<Vec<Symbol>> {
        let mut all = vec![vec![]];
        for _ in 0..length {
            let longer =
                |x: &Vec<Symbol>| (0..count).map(|s| [x.as_slice(), &[s]].concat()).collect::<Vec<_>>();
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    /// Checks that the problem answers every string of lengths 1..=max with the one symbol `slow` gives.
    pub(crate) fn answers_are(problem: &dyn Problem, max: usize, slow: impl Fn(&[Symbol]) -> Symbol) {
        for length in 1..=max {
            assert_eq!(problem.answer_len(length), 1);
            for x in strings(problem.alphabet().len() as u32, length) {
                assert_eq!(problem.answer(&x).unwrap(), [slow(&x)], "{x:?}");
            }
        }
    }

    /// Checks that the problem labels every prefix of every string of lengths 1..=max with what `slow` gives for it.
    pub(crate) fn prefixes_are(problem: &dyn Problem, max: usize, slow: impl Fn(&[Symbol]) -> Symbol) {
        for length in 1..=max {
            for x in strings(problem.alphabet().len() as u32, length) {
                let expected = (1..=length).map(|end| slow(&x[..end])).collect();
                let labels = problem.prefix_labels(&x).unwrap();
                assert_eq!(labels, PrefixLabels::Classes(expected), "{x:?}");
            }
        }
    }

    /// Comparison with a language given as a predicate.
    pub(crate) mod language {
        use std::collections::{BTreeMap, HashSet};

        use rand::SeedableRng;

        use super::strings;
        use crate::{LanguageLabels, PrefixLabels, Problem, Rng, Symbol};

        /// Checks the labels of every prefix of every string up to length `max` against what the words say that are
        /// up to `more` symbols longer; `more` has to complete every prefix that can be completed and the next symbol.
        pub(crate) fn labels_are(
            problem: &dyn Problem,
            labels: LanguageLabels,
            max: usize,
            more: usize,
            is_word: impl Fn(&[Symbol]) -> bool,
        ) {
            let symbols = problem.alphabet().len() as Symbol;
            let words: Vec<_> =
                (0..=max + more).flat_map(|n| strings(symbols, n)).filter(|x| is_word(x)).collect();
            let begin: HashSet<&[Symbol]> =
                words.iter().flat_map(|x| (0..=x.len()).map(|n| &x[..n])).collect();
            assert_eq!(problem.labels_are_sets(), labels != LanguageLabels::Membership);
            for x in strings(symbols, max) {
                let next = |end: usize, symbol| [&x[..end], &[symbol]].concat();
                let set = |holds: &dyn Fn(&[Symbol]) -> bool| {
                    let row = |end| (0..symbols).map(move |symbol| (end, symbol));
                    let places = (1..=x.len()).flat_map(row);
                    PrefixLabels::Sets(places.map(|(end, symbol)| holds(&next(end, symbol))).collect())
                };
                let expected = match labels {
                    LanguageLabels::Next => set(&|x| begin.contains(x)),
                    LanguageLabels::Accepted => set(&is_word),
                    LanguageLabels::Membership => PrefixLabels::Classes(
                        (1..=x.len()).map(|end| Symbol::from(is_word(&x[..end]))).collect(),
                    ),
                };
                assert_eq!(problem.prefix_labels(&x), Some(expected), "{} on {x:?}", problem.label());
            }
        }

        /// Checks that the problem admits a length if and only if there are words of it, and then draws them alike.
        pub(crate) fn words_are_uniform(
            problem: &dyn Problem,
            length: usize,
            is_word: impl Fn(&[Symbol]) -> bool,
        ) {
            let mut words = strings(problem.alphabet().len() as Symbol, length);
            words.retain(|x| is_word(x));
            assert_eq!(problem.admits(length), !words.is_empty(), "{} at {length}", problem.label());
            let mut rng = Rng::seed_from_u64(7);
            let mut seen = BTreeMap::new();
            let each = 400;
            for _ in 0..each * words.len() {
                *seen.entry(problem.sample(length, &mut rng)).or_insert(0usize) += 1;
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), words);
            // Five standard deviations.
            assert!(seen.values().all(|count| count.abs_diff(each) < 100), "{}: {seen:?}", problem.label());
        }
    }
}
