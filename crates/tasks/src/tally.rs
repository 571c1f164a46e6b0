//! Counting what was right.

use serde::{Deserialize, Serialize};

use crate::{Batch, TaskError};

/// Counts of right labels and of right sequences.
///
/// A label is one labelled position (of a set: the whole set). A sequence is right if and only if every labelled
/// position of it is; with token accuracy p a sequence of n labels is right about pⁿ of the time, so both are kept.
/// Under the protocol language `<eos>` is one of the labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Labelled positions seen.
    pub labels: u64,
    /// Labelled positions that were right.
    pub labels_right: u64,
    /// Sequences with at least one label seen.
    pub sequences: u64,
    /// Sequences of which every label was right.
    pub sequences_right: u64,
}

impl Tally {
    /// The tally of one sequence with so many labels, so many of them right. One without labels does not count.
    pub fn of_sequence(labels: u64, labels_right: u64) -> Self {
        let sequences = u64::from(labels > 0);
        let sequences_right = u64::from(labels > 0 && labels_right == labels);
        Tally { labels, labels_right, sequences, sequences_right }
    }

    /// Counts one batch; see [`Batch::right`] for the form of `predictions`.
    pub fn add(&mut self, batch: &Batch, predictions: &[u32]) -> Result<(), TaskError> {
        let right = batch.right(predictions)?;
        for row in right.chunks(batch.len.max(1)) {
            let labels = row.iter().flatten().count() as u64;
            let labels_right = row.iter().flatten().filter(|r| **r).count() as u64;
            self.merge(&Tally::of_sequence(labels, labels_right));
        }
        Ok(())
    }

    /// Adds the counts of another tally.
    pub fn merge(&mut self, other: &Tally) {
        self.labels += other.labels;
        self.labels_right += other.labels_right;
        self.sequences += other.sequences;
        self.sequences_right += other.sequences_right;
    }

    /// Fraction of labels right, in 0..=1; NaN if nothing was counted.
    pub fn token_accuracy(&self) -> f64 {
        self.labels_right as f64 / self.labels as f64
    }

    /// Fraction of sequences right, in 0..=1; NaN if nothing was counted.
    pub fn exact_match(&self) -> f64 {
        self.sequences_right as f64 / self.sequences as f64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{IGNORE, Labels};

    #[test]
    fn a_sequence_is_right_only_if_every_label_is() {
        let labels = Labels::Classes(vec![IGNORE, 1, 2, IGNORE, 0, 0]);
        let batch = Batch { rows: 2, len: 3, tokens: vec![0; 6], labels };
        let mut tally = Tally::default();
        tally.add(&batch, &[9, 1, 2, 7, 0, 1]).unwrap();
        assert_eq!(tally, Tally { labels: 4, labels_right: 3, sequences: 2, sequences_right: 1 });
        assert_eq!((tally.token_accuracy(), tally.exact_match()), (0.75, 0.5));
        let mut twice = tally;
        twice.merge(&tally);
        assert_eq!(twice.labels, 8);
        assert_eq!(twice.sequences_right, 2);
    }

    #[test]
    fn a_set_is_right_only_if_it_is_the_whole_set() {
        let labels = Labels::Sets {
            classes: 2,
            values: vec![1.0, 0.0, 0.0, 0.0, 1.0, 1.0],
            mask: vec![1.0, 0.0, 1.0],
        };
        let batch = Batch { rows: 1, len: 3, tokens: vec![0; 3], labels };
        let mut tally = Tally::default();
        tally.add(&batch, &[1, 0, 1, 1, 1, 0]).unwrap();
        assert_eq!(tally, Tally { labels: 2, labels_right: 1, sequences: 1, sequences_right: 0 });
        assert_eq!(batch.labelled(), 2);
    }

    #[test]
    fn predictions_of_another_shape_are_an_error() {
        let labels = Labels::Classes(vec![0; 4]);
        let batch = Batch { rows: 2, len: 2, tokens: vec![0; 4], labels };
        let error = Tally::default().add(&batch, &[0; 3]).unwrap_err().to_string();
        assert!(error.contains("3 predictions") && error.contains("needs 4"), "{error}");
    }
}
