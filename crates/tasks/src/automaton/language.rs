//! A regular language as a problem: its words, uniform among those of their length, and a label for every prefix.

use super::words::Words;
use super::{Automaton, LanguageLabels};
use crate::{PrefixLabels, Problem, Rng, Symbol};

/// A language and what is asked about the prefixes of its words.
pub(crate) struct Language {
    label: String,
    alphabet: Vec<String>,
    automaton: Automaton,
    words: Words,
    labels: LanguageLabels,
    /// Another law of the words than the uniform one.
    law: Option<Law>,
}

/// Draws a word of an admitted length.
type Law = fn(usize, &mut Rng) -> Vec<Symbol>;

impl Language {
    /// `alphabet` names the automaton's symbols.
    pub(crate) fn new(
        label: String,
        alphabet: Vec<String>,
        automaton: Automaton,
        labels: LanguageLabels,
    ) -> Self {
        let words = Words::new(&automaton);
        Language { label, alphabet, automaton, words, labels, law: None }
    }

    /// The same with words drawn by `law`.
    pub(crate) fn with_law(self, law: Law) -> Self {
        Language { law: Some(law), ..self }
    }
}

impl Problem for Language {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn alphabet(&self) -> Vec<String> {
        self.alphabet.clone()
    }

    fn answers(&self) -> Vec<String> {
        if self.labels.are_sets() { self.alphabet() } else { vec!["out".into(), "in".into()] }
    }

    fn max_length(&self) -> Option<usize> {
        Some(self.words.max_length())
    }

    fn admits(&self, length: usize) -> bool {
        length >= 1 && self.words.admits(length)
    }

    fn lengths(&self) -> String {
        let first: Vec<String> =
            (1..=64).filter(|n| self.admits(*n)).take(5).map(|n| n.to_string()).collect();
        format!("those of the language's words ({} …), at most {}", first.join(", "), self.words.max_length())
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        match self.law {
            Some(law) => law(length, rng),
            None => self.words.sample(length, rng),
        }
    }

    fn labels_are_sets(&self) -> bool {
        self.labels.are_sets()
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        Some(self.automaton.labels(x, self.labels))
    }
}
