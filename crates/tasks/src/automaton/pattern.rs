//! The automaton of a regular expression.

use std::error::Error;

use regex_automata::dfa::{Automaton as _, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};

use super::Automaton;

/// The most live states of an automaton made from a pattern.
pub(crate) const STATES: usize = 4096;
/// The most symbols that are found in a pattern by themselves.
const FOUND: usize = 64;
/// Bytes; enough for any automaton of [`STATES`] states, and an end to patterns that would outgrow the machine.
const MEMORY: usize = 1 << 23;

/// Why a pattern is no language here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PatternError {
    /// No regular expression, one that no automaton can follow (back references, Unicode word boundaries), or one
    /// whose automaton does not fit.
    #[error("{0}")]
    Pattern(String),
    /// More states than [`STATES`].
    #[error("its automaton has {0} states, more than {STATES}")]
    States(usize),
    /// The words use more symbols than anyone would name.
    #[error("its words use {0} different symbols, more than {FOUND} unless `alphabet` names them")]
    Symbols(usize),
    /// No word of at least one symbol.
    #[error("over this alphabet it has no word but the empty one")]
    Empty,
}

/// The automaton of the strings over `alphabet` that `pattern` matches as a whole, and its symbols. Without an alphabet
/// they are the printable ASCII characters that some word uses, in their order.
pub(crate) fn from_pattern(
    pattern: &str,
    alphabet: Option<&[char]>,
) -> Result<(Vec<char>, Automaton), PatternError> {
    let dfa = determinise(pattern)?;
    let start = dfa
        .start_state(&start::Config::new().anchored(Anchored::Yes))
        .map_err(|error| PatternError::Pattern(error.to_string()))?;
    let over = |symbols: &[char]| {
        let step = |state: &StateID, symbol: u32| {
            let mut bytes = [0; 4];
            let bytes = symbols[symbol as usize].encode_utf8(&mut bytes).bytes();
            bytes.fold(*state, |state, byte| dfa.next_state(state, byte))
        };
        let accepts = |state: &StateID| dfa.is_match_state(dfa.next_eoi_state(*state));
        Automaton::new(symbols.len(), start, step, accepts)
    };
    let symbols = match alphabet {
        Some(symbols) => symbols.to_vec(),
        None => {
            let printable: Vec<char> = ('!'..='~').collect();
            let whole = over(&printable);
            let used = (0u32..).zip(&printable).filter(|(symbol, _)| whole.uses(*symbol));
            let used: Vec<char> = used.map(|(_, name)| *name).collect();
            if used.len() > FOUND {
                return Err(PatternError::Symbols(used.len()));
            }
            used
        }
    };
    let automaton = over(&symbols);
    if automaton.states() > STATES {
        return Err(PatternError::States(automaton.states()));
    }
    if !(0..symbols.len() as u32).any(|symbol| automaton.is_live(automaton.step(automaton.start(), symbol))) {
        return Err(PatternError::Empty);
    }
    Ok((symbols, automaton))
}

fn determinise(pattern: &str) -> Result<dense::DFA<Vec<u32>>, PatternError> {
    // All matches, because `a|ab` as a whole matches ab, which leftmost-first search would never look at.
    let config = dense::Config::new()
        .start_kind(regex_automata::dfa::StartKind::Anchored)
        .match_kind(MatchKind::All)
        .dfa_size_limit(Some(MEMORY))
        .determinize_size_limit(Some(MEMORY));
    dense::Builder::new()
        .configure(config)
        .thompson(thompson::Config::new().nfa_size_limit(Some(MEMORY)))
        .build(pattern)
        .map_err(|error| PatternError::Pattern(reason(&error)))
}

/// The last line of the innermost cause, which for a syntax error comes after a drawing of the pattern.
fn reason(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::problems::exhaustive::strings;

    /// Checks that the pattern, over its own alphabet, has exactly the words that `is_word` holds for.
    fn words_are(pattern: &str, alphabet: &str, is_word: impl Fn(&str) -> bool) {
        let (symbols, automaton) = from_pattern(pattern, None).unwrap();
        assert_eq!(symbols, alphabet.chars().collect::<Vec<_>>());
        for x in (0..=8).flat_map(|length| strings(symbols.len() as u32, length)) {
            let end = x.iter().fold(automaton.start(), |state, symbol| automaton.step(state, *symbol));
            let text: String = x.iter().map(|symbol| symbols[*symbol as usize]).collect();
            assert_eq!(automaton.accepts(end), is_word(&text), "{pattern} on {text}");
        }
    }

    #[test]
    fn the_whole_string_has_to_match_and_every_alternative_counts() {
        words_are("(ab|ba)*", "ab", |x| {
            let pairs = x.as_bytes().chunks(2).collect::<Vec<_>>();
            pairs.iter().all(|pair| *pair == b"ab" || *pair == b"ba")
        });
        words_are("a|ab", "ab", |x| x == "a" || x == "ab");
        words_are("^a*b?$", "ab", |x| ["", "b"].contains(&x.trim_start_matches('a')));
        words_are("a{2,3}", "a", |x| x == "aa" || x == "aaa");
        words_are("a*?b??", "ab", |x| ["", "b"].contains(&x.trim_start_matches('a')));
        words_are("[ab]*b", "ab", |x| x.ends_with('b'));
    }

    #[test]
    fn an_alphabet_may_hold_more_or_fewer_symbols_than_the_pattern() {
        let (symbols, automaton) = from_pattern("(é|a)*", Some(&['é', 'z'])).unwrap();
        assert_eq!(symbols, ['é', 'z']);
        let start = automaton.start();
        assert!(automaton.accepts(automaton.step(start, 0)));
        assert!(!automaton.is_live(automaton.step(start, 1)));
    }

    #[test]
    fn what_is_no_language_here_is_refused_with_the_reason() {
        let refused = |pattern: &str, alphabet: Option<&[char]>, reason: &str| {
            let error = from_pattern(pattern, alphabet).err().unwrap().to_string();
            assert!(error.contains(reason), "{pattern}: {error}");
        };
        refused("(ab", None, "unclosed group");
        refused(r"(a)\1", None, "backreferences are not supported");
        refused("(?=a)b", None, "look-around");
        refused("(((a{900}){900}){900})", None, "limit of");
        // Two to the 21 states, and 2^13 of them, which fit the memory.
        refused("(a|b)*a(a|b){20}", None, "limit of");
        refused("(a|b)*a(a|b){12}", None, "more than 4096");
        refused(".*", None, "94 different symbols");
        refused("", None, "no word");
        refused("a*", Some(&['b']), "no word");
        refused(r"[^\x00-\x{10FFFF}]", None, "no word");
    }
}
