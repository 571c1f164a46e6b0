//! Deterministic finite automata: a regular language as a table of states.
//!
//! An automaton is given as the equations of its states and explored from the start, so unreachable states never
//! exist. States from which no accepting state can be reached are one state, the dead one: a prefix is alive if and
//! only if some word of the language begins with it. Equivalent states are not merged.

mod language;
mod pattern;
mod words;

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};

pub(crate) use language::Language;
pub(crate) use pattern::{STATES, from_pattern};

use crate::{PrefixLabels, Symbol};

/// What is said of a prefix x of a word of a language L.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LanguageLabels {
    /// The set of symbols s such that some word of L begins with xs: the symbols that may legally come next. The end
    /// of the word is no symbol and has no place in the set.
    Next,
    /// The set of symbols s such that xs is in L.
    Accepted,
    /// Whether x is in L.
    Membership,
}

impl LanguageLabels {
    /// Whether these labels are sets of symbols.
    pub(crate) fn are_sets(self) -> bool {
        self != LanguageLabels::Membership
    }

    /// The name in labels of tasks.
    pub(crate) fn name(self) -> &'static str {
        match self {
            LanguageLabels::Next => "next",
            LanguageLabels::Accepted => "accepted",
            LanguageLabels::Membership => "membership",
        }
    }
}

/// A complete automaton over the symbols 0..`symbols`. State `states()` is the dead one.
pub(crate) struct Automaton {
    symbols: usize,
    start: u32,
    /// (states + 1, symbols): where each symbol leads, row-major.
    moves: Vec<u32>,
    /// (states + 1): whether the string that leads here is in the language.
    accepting: Vec<bool>,
}

impl Automaton {
    /// The automaton that begins in `start`, goes from a state with a symbol to `step` of them, and accepts in the
    /// states that `accepts` holds for. Finitely many states must be reachable.
    pub(crate) fn new<S: Clone + Eq + Hash>(
        symbols: usize,
        start: S,
        step: impl Fn(&S, Symbol) -> S,
        accepts: impl Fn(&S) -> bool,
    ) -> Self {
        let mut number = HashMap::from([(start.clone(), 0)]);
        let mut found = vec![start];
        let mut moves = Vec::new();
        let mut at = 0;
        while at < found.len() {
            for symbol in 0..symbols as Symbol {
                let to = step(&found[at], symbol);
                let id = *number.entry(to).or_insert_with_key(|to| {
                    found.push(to.clone());
                    found.len() as u32 - 1
                });
                moves.push(id);
            }
            at += 1;
        }
        let accepting: Vec<bool> = found.iter().map(accepts).collect();
        Self::without_dead(symbols, &moves, &accepting)
    }

    /// Numbers the live states in order and makes all dead ones one.
    fn without_dead(symbols: usize, moves: &[u32], accepting: &[bool]) -> Self {
        let live = live(symbols, moves, accepting);
        let states = live.iter().filter(|live| **live).count() as u32;
        let mut next = 0..states;
        let renamed: Vec<u32> =
            live.iter().map(|live| if *live { next.next().unwrap_or(states) } else { states }).collect();
        let kept = || (0..live.len()).filter(|state| live[*state]);
        let rows = kept().flat_map(|state| &moves[state * symbols..(state + 1) * symbols]);
        let mut moves: Vec<u32> = rows.map(|to| renamed[*to as usize]).collect();
        moves.resize(moves.len() + symbols, states);
        let mut accepting: Vec<bool> = kept().map(|state| accepting[state]).collect();
        accepting.push(false);
        Automaton { symbols, start: renamed[0], moves, accepting }
    }

    /// Number of symbols.
    pub(crate) fn symbols(&self) -> usize {
        self.symbols
    }

    /// Number of live states: 0 if and only if the language is empty.
    pub(crate) fn states(&self) -> usize {
        self.accepting.len() - 1
    }

    /// The state of the empty string.
    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    /// Where a symbol leads.
    pub(crate) fn step(&self, state: u32, symbol: Symbol) -> u32 {
        self.moves[state as usize * self.symbols + symbol as usize]
    }

    /// Whether a string that leads to this state is in the language.
    pub(crate) fn accepts(&self, state: u32) -> bool {
        self.accepting[state as usize]
    }

    /// Whether some word begins with a string that leads to this state.
    pub(crate) fn is_live(&self, state: u32) -> bool {
        (state as usize) < self.states()
    }

    /// Whether some word has this symbol.
    pub(crate) fn uses(&self, symbol: Symbol) -> bool {
        (0..self.states() as u32).any(|state| self.is_live(self.step(state, symbol)))
    }

    /// The label of every prefix of a string.
    pub(crate) fn labels(&self, x: &[Symbol], labels: LanguageLabels) -> PrefixLabels {
        let mut state = self.start;
        let states = x.iter().map(|symbol| {
            state = self.step(state, *symbol);
            state
        });
        if !labels.are_sets() {
            return PrefixLabels::Classes(states.map(|state| Symbol::from(self.accepts(state))).collect());
        }
        let mut sets = Vec::with_capacity(x.len() * self.symbols);
        for state in states {
            let row = &self.moves[state as usize * self.symbols..][..self.symbols];
            match labels {
                LanguageLabels::Accepted => sets.extend(row.iter().map(|to| self.accepts(*to))),
                _ => sets.extend(row.iter().map(|to| self.is_live(*to))),
            }
        }
        PrefixLabels::Sets(sets)
    }
}

/// Whether an accepting state can be reached from each state.
fn live(symbols: usize, moves: &[u32], accepting: &[bool]) -> Vec<bool> {
    let mut from = vec![Vec::new(); accepting.len()];
    for (place, to) in moves.iter().enumerate() {
        from[*to as usize].push(place / symbols);
    }
    let mut live = accepting.to_vec();
    let mut open: Vec<usize> = (0..live.len()).filter(|state| live[*state]).collect();
    while let Some(state) = open.pop() {
        for before in &from[state] {
            if !live[*before] {
                live[*before] = true;
                open.push(*before);
            }
        }
    }
    live
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::strings;

    /// The strings over two symbols that hold `needle`.
    fn holding(needle: &'static [Symbol]) -> Automaton {
        Automaton::new(
            2,
            Vec::new(),
            |seen: &Vec<Symbol>, symbol| {
                if seen.ends_with(needle) {
                    return seen.clone();
                }
                let mut seen = [seen.as_slice(), &[symbol]].concat();
                while !needle.starts_with(&seen) {
                    seen.remove(0);
                }
                seen
            },
            |seen| seen.ends_with(needle),
        )
    }

    fn run(automaton: &Automaton, x: &[Symbol]) -> u32 {
        x.iter().fold(automaton.start(), |state, symbol| automaton.step(state, *symbol))
    }

    #[test]
    fn a_search_accepts_the_strings_that_hold_its_needle() {
        let automaton = holding(&[0, 1, 0, 0]);
        assert_eq!(automaton.states(), 5);
        for x in (0..=9).flat_map(|length| strings(2, length)) {
            let holds = x.windows(4).any(|part| part == [0, 1, 0, 0]);
            assert_eq!(automaton.accepts(run(&automaton, &x)), holds, "{x:?}");
            assert!(automaton.is_live(run(&automaton, &x)));
        }
    }

    #[test]
    fn states_without_a_way_to_a_word_are_one_dead_state() {
        // 0* in unnecessarily many states: after a 1 they count on up to nine.
        let step = |count: &u32, symbol: Symbol| (count + u32::from(symbol == 1 || *count > 0)).min(9);
        let automaton = Automaton::new(2, 0, step, |count| *count == 0);
        assert_eq!(automaton.states(), 1);
        let dead = run(&automaton, &[0, 1, 0]);
        assert!(!automaton.is_live(dead) && !automaton.accepts(dead));
        assert_eq!(run(&automaton, &[1, 0, 0, 0, 1]), dead);
        assert!(automaton.uses(0) && !automaton.uses(1));
    }

    #[test]
    fn the_empty_language_has_no_live_state() {
        let automaton = Automaton::new(3, (), |(), _| (), |()| false);
        assert_eq!(automaton.states(), 0);
        assert!(!automaton.is_live(automaton.start()) && !automaton.accepts(run(&automaton, &[2, 1])));
    }

    #[test]
    fn the_three_kinds_of_labels_of_a_prefix() {
        // (01)*: after 0 only 1 may come, which makes a word; after 01 only 0, which makes none yet.
        let automaton = Automaton::new(
            2,
            Some(0),
            |state: &Option<Symbol>, symbol| state.filter(|expected| *expected == symbol).map(|s| 1 - s),
            |state| *state == Some(0),
        );
        let labels = |kind| automaton.labels(&[0, 1, 1], kind);
        let sets = |rows: [[bool; 2]; 3]| PrefixLabels::Sets(rows.concat());
        assert_eq!(labels(LanguageLabels::Next), sets([[false, true], [true, false], [false, false]]));
        assert_eq!(labels(LanguageLabels::Accepted), sets([[false, true], [false, false], [false, false]]));
        assert_eq!(labels(LanguageLabels::Membership), PrefixLabels::Classes(vec![0, 1, 0]));
    }
}
