//! What is asked, free of how it is put to a model.

use crate::Rng;

/// The index of a printed symbol: of [`Problem::alphabet`] in an input, of [`Problem::answers`] in an answer.
pub type Symbol = u32;

/// The label of every prefix of a string, the prefix of length 1 first. The empty prefix has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixLabels {
    /// One class of [`Problem::answers`] for each prefix, [`crate::IGNORE`] where a prefix has none; a string has at
    /// least one label.
    Classes(Vec<Symbol>),
    /// A set of answers for each prefix, such as the symbols that may legally come next: row-major
    /// (length, answers), true where the answer belongs.
    Sets(Vec<bool>),
}

/// A question about strings over an alphabet.
pub trait Problem: Send + Sync {
    /// The precise name with its variant: two input distributions are two names.
    fn label(&self) -> String;

    /// Printed names of the input symbols.
    fn alphabet(&self) -> Vec<String>;

    /// Printed names of the answer symbols, or of the classes of a prefix.
    fn answers(&self) -> Vec<String>;

    /// The longest string there is, if the alphabet or anything else bounds it.
    fn max_length(&self) -> Option<usize> {
        None
    }

    /// Whether there are strings of this length.
    fn admits(&self, length: usize) -> bool {
        length >= 1 && self.max_length().is_none_or(|max| length <= max)
    }

    /// The admitted lengths in words, for error messages.
    fn lengths(&self) -> String {
        match self.max_length() {
            Some(max) => format!("1 to {max}"),
            None => "at least 1".to_owned(),
        }
    }

    /// Number of symbols in the longest answer to a string of this length, which decides how many tokens a sequence has.
    fn answer_len(&self, _length: usize) -> usize {
        1
    }

    /// A random string of an admitted length.
    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol>;

    /// A random string of an admitted length for the test, where test strings differ in more than their length: deeper
    /// nesting, say.
    fn sample_test(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        self.sample(length, rng)
    }

    /// The answer to a whole string, for the protocols encoder and language; None if the problem has none. It has at
    /// least one symbol and at most [`Problem::answer_len`]; what a shorter one leaves over carries no label.
    fn answer(&self, _x: &[Symbol]) -> Option<Vec<Symbol>> {
        None
    }

    /// Whether [`Problem::prefix_labels`] gives sets.
    fn labels_are_sets(&self) -> bool {
        false
    }

    /// The labels of the prefixes, for the protocol prefix; None if the problem has none.
    fn prefix_labels(&self, _x: &[Symbol]) -> Option<PrefixLabels> {
        None
    }

    /// Whether strings are alike at every length: the first m symbols of a random string of any greater length are
    /// distributed as a random string of length m is, and labelled as it is. Then all lengths are scored in one pass of
    /// a causal model over the longest strings. Independent symbols are alike, and so are bits of which the number of
    /// ones is uniform: both are mixtures of independent bits, over one p or over p uniform in 0..=1.
    fn prefixes_alike(&self) -> bool {
        false
    }
}
