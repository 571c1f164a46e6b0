//! A complete automaton as a table in a configuration.

use serde::{Deserialize, Serialize};

use super::{check_alphabet, refused};
use crate::TaskError;
use crate::automaton::{Automaton, STATES};

/// The table of a complete automaton; states are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Names of the symbols, 1 to 256.
    pub alphabet: Vec<String>,
    /// Number of states, 1 to 4096.
    pub states: u32,
    /// The state of the empty string.
    pub start: u32,
    /// The states of the words.
    pub accept: Vec<u32>,
    /// (states, symbols): the state after each symbol.
    pub moves: Vec<Vec<u32>>,
}

impl Table {
    /// Eight hexadecimal digits of the FNV-1a hash of what decides the language.
    pub(super) fn digest(&self) -> String {
        let Table { alphabet, states, start, accept, moves } = self;
        let text = format!("{alphabet:?} {states} {start} {accept:?} {moves:?}");
        let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
        format!("{hash:08x}")
    }
}

/// The automaton of a table that holds together.
pub(super) fn from_table(table: &Table) -> Result<Automaton, TaskError> {
    const FIELD: &str = "automaton";
    let Table { alphabet, states, start, accept, moves } = table;
    check_alphabet(FIELD, alphabet)?;
    let limit = STATES as u32;
    if !(1..=limit).contains(states) {
        return Err(refused(
            FIELD,
            format!("of {states} states"),
            &format!("1 to {limit}"),
            "set `states` within that range",
        ));
    }
    let known = format!("states from 0 to {}", states - 1);
    if moves.len() != *states as usize {
        let found = format!("a table of {} rows of `moves`", moves.len());
        return Err(refused(
            FIELD,
            found,
            &format!("{states}, as many as `states`"),
            "give one row for each state",
        ));
    }
    for (state, row) in moves.iter().enumerate() {
        if row.len() != alphabet.len() {
            let found = format!("a table whose row {state} of `moves` is {row:?}");
            let expected = format!("{} states, one for each symbol", alphabet.len());
            return Err(refused(
                FIELD,
                found,
                &expected,
                "complete it; a state that leads back to itself and is not in `accept` rejects",
            ));
        }
    }
    let named =
        moves.iter().flatten().chain([start]).chain(accept).find(|state| !(0..*states).contains(*state));
    if let Some(state) = named {
        let found = format!("a table that names state {state}");
        return Err(refused(FIELD, found, &known, "correct `start`, `accept` or `moves`"));
    }
    let step = |state: &u32, symbol: u32| moves[*state as usize][symbol as usize];
    let automaton = Automaton::new(alphabet.len(), *start, step, |state| accept.contains(state));
    let first = |symbol: u32| automaton.is_live(automaton.step(automaton.start(), symbol));
    if !(0..alphabet.len() as u32).any(first) {
        return Err(refused(
            FIELD,
            "a table that accepts no string but the empty one".to_owned(),
            "words",
            "let `moves` lead from `start` to a state of `accept`",
        ));
    }
    Ok(automaton)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table() -> Table {
        Table {
            alphabet: vec!["a".into(), "b".into()],
            states: 3,
            start: 0,
            accept: vec![1],
            moves: vec![vec![1, 2], vec![2, 0], vec![2, 2]],
        }
    }

    #[test]
    fn a_table_becomes_an_automaton_without_its_dead_states() {
        let automaton = from_table(&table()).unwrap();
        assert_eq!(automaton.states(), 2);
        let end = [0, 1, 0].iter().fold(automaton.start(), |state, symbol| automaton.step(state, *symbol));
        assert!(automaton.accepts(end));
        assert!(!automaton.is_live(automaton.step(end, 0)));
    }

    #[test]
    fn a_table_that_does_not_hold_together_is_refused_with_the_place() {
        let refuses = |table: Table, reasons: &[&str]| {
            let error = from_table(&table).err().unwrap().to_string();
            for reason in reasons.iter().chain(&["task.regular.automaton is"]) {
                assert!(error.contains(reason), "no `{reason}` in: {error}");
            }
        };
        refuses(Table { states: 0, moves: vec![], ..table() }, &["of 0 states", "1 to 4096"]);
        refuses(Table { states: u32::MAX, ..table() }, &["1 to 4096"]);
        refuses(Table { states: 2, ..table() }, &["3 rows", "expected 2"]);
        let moves = vec![vec![1, 2], vec![2], vec![2, 2]];
        refuses(Table { moves, ..table() }, &["row 1", "[2]", "one for each symbol"]);
        let moves = vec![vec![1, 3], vec![2, 0], vec![2, 2]];
        refuses(Table { moves, ..table() }, &["names state 3", "0 to 2"]);
        refuses(Table { start: 7, ..table() }, &["names state 7"]);
        refuses(Table { accept: vec![9], ..table() }, &["names state 9"]);
        refuses(Table { accept: vec![], ..table() }, &["no string but the empty one"]);
        refuses(Table { alphabet: vec!["a".into(), "<bos>".into()], ..table() }, &["token of the protocols"]);
    }
}
