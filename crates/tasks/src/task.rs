//! What a training loop samples.

use serde::{Deserialize, Serialize};

use crate::{Batch, Parts, Rng, TaskError};

/// What a batch is for. Algorithmic tasks draw both from one unbounded distribution, apart by their lengths;
/// a text holds its end out for the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// For training.
    Train,
    /// For evaluation.
    Test,
}

/// Whose labels a batch carries: the string's own, or those of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Labelling {
    /// Its own.
    True,
    /// Those of another string of the same length, drawn independently, as is the answer that is fed under the protocol
    /// language: nothing can be learned from such a batch but the distribution of labels, and of answers within
    /// themselves.
    Shuffled,
    /// Its own, while the symbols shown are shuffled within the string (under the protocol language the answer fed
    /// stays): a model that reads the order of its input does worse than on true batches, a bag of symbols as well.
    Permuted,
}

impl std::fmt::Display for Labelling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Labelling::True => "true",
            Labelling::Shuffled => "shuffled",
            Labelling::Permuted => "permuted",
        })
    }
}

/// A source of batches.
pub trait Task: Send + Sync {
    /// The precise name with its variant, such as `parity (ones uniform)` or `copy (unique)`.
    fn label(&self) -> String;

    /// How it is put to the model, in words, such as `prefix, no bos`: part of what a score means.
    fn setting(&self) -> String;

    /// Printed names of the token ids.
    fn vocabulary(&self) -> &[String];

    /// Printed names of what the head can say, in the order of its outputs.
    fn output_names(&self) -> &[String];

    /// Width of the head: classes under the protocols encoder and prefix, the vocabulary for language and text.
    fn outputs(&self) -> usize {
        self.output_names().len()
    }

    /// Whether the labels are sets (independent yes or no for each output) and not one class.
    fn labels_are_sets(&self) -> bool;

    /// Whether the model must not see the tokens to come.
    fn causal(&self) -> bool;

    /// Whether a sequence has an answer that can be wholly right; a text has not.
    fn has_answer(&self) -> bool;

    /// The longest problem length, if anything bounds it.
    fn max_length(&self) -> Option<usize>;

    /// Whether there are sequences of this problem length; callers skip the others.
    fn admits(&self, length: usize) -> bool;

    /// Number of tokens of a sequence of this problem length (for the model's longest position); saturates.
    fn token_len(&self, length: usize) -> usize;

    /// Whether the first m symbols of longer sequences are distributed and labelled as sequences of problem length m, so
    /// that one pass over the longest scores every length: [`crate::Problem::prefixes_alike`], under the protocol prefix.
    fn prefixes_alike(&self) -> bool {
        false
    }

    /// `rows` sequences of one problem length with their own labels. A length that is not admitted is an error.
    fn batch(&self, split: Split, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError> {
        self.batch_as(split, rows, length, Labelling::True, rng)
    }

    /// `rows` sequences of one problem length, labelled truly or for a control; the shape is the same. A length that is
    /// not admitted is an error, and so is a control that the task has not: a text has none.
    fn batch_as(
        &self,
        split: Split,
        rows: usize,
        length: usize,
        labelling: Labelling,
        rng: &mut Rng,
    ) -> Result<Batch, TaskError>;

    /// The parts that the labels of a batch are scored apart by, where the task knows how its sequences are drawn; None
    /// is one score for all labels. The batch is one of this task's with its own labels.
    fn parts(&self, _batch: &Batch) -> Option<Parts> {
        None
    }

    /// Token ids of a prompt: printed names separated by spaces, for a text the text itself. Adds no special token.
    fn encode(&self, prompt: &str) -> Result<Vec<u32>, TaskError> {
        let id = |word: &str| {
            let found = self.vocabulary().iter().position(|name| name == word);
            found.map(|id| id as u32).ok_or_else(|| TaskError::Prompt {
                task: self.label(),
                word: word.to_owned(),
                tokens: self.vocabulary().join(" "),
            })
        };
        prompt.split_whitespace().map(id).collect()
    }
}
