//! What a training loop samples.

use serde::{Deserialize, Serialize};

use crate::{Batch, Rng, TaskError};

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

/// A source of batches with the right labels.
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

    /// `rows` sequences of one problem length. A length that is not admitted is an error.
    fn batch(&self, split: Split, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError>;

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
