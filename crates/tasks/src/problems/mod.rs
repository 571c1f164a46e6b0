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
    even_pairs => EvenPairs,
    first_token => FirstToken,
    parity => Parity,
    aa_star => AaStar,
    position_mod => PositionMod,
    cycle_navigation => CycleNavigation,
    dyck => Dyck,
    majority => Majority,
    letter_majority => LetterMajority,
    bucket_sort => BucketSort,
    a_n_b_n => ANBN,
    a_n_b_n_c_n => ANBNCN,
    shuffle_2 => Shuffle2,
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
}
