//! Uniformly random words of a regular language, of a given length.
//!
//! Of the words that begin with a prefix and have r symbols to go, each next symbol begins a share; drawing the symbol
//! by its share makes every word equally likely. With c(q, r) the number of ways to reach an accepting state from q
//! with r symbols, c(q, 0) = 1 if q accepts, else 0, and c(q, r) = Σ c(q', r − 1) over the moves q → q', the share of a
//! move is c(q', r − 1) / c(q, r). Counts are kept as f64 with a large exponent of their own, so that they neither
//! overflow nor drown in those of other states; all terms are positive, and the law is uniform to rounding.

use std::sync::{PoisonError, RwLock};

use rand::Rng as _;

use super::Automaton;
use crate::{Rng, Symbol};

/// The most shares that are kept, 256 MiB of them; it bounds the longest word.
const SHARES: usize = 1 << 25;

/// A sampler of the words of an automaton. Its tables grow with the longest word asked for and are shared; a row
/// depends on the rows before it only, so the order of calls is no matter.
pub(crate) struct Words {
    start: u32,
    /// The moves of state q between live states are `moves[first[q]..first[q + 1]]`.
    first: Vec<usize>,
    moves: Vec<Move>,
    accepting: Vec<bool>,
    table: RwLock<Table>,
    lengths: RwLock<Lengths>,
}

#[derive(Clone, Copy)]
struct Move {
    symbol: Symbol,
    to: u32,
}

/// The shares of moves, and the counts that the next row follows from.
struct Table {
    /// (length, moves): row r − 1 with r symbols to go; the share of a move and of the moves before it from its state.
    shares: Vec<f64>,
    rows: usize,
    /// c(q, rows).
    counts: Vec<Count>,
}

/// `value` · 2^(512 · `scale`); the value is 0 or at least 1.
#[derive(Clone, Copy)]
struct Count {
    value: f64,
    scale: u32,
}

/// Which lengths have words.
struct Lengths {
    admitted: Vec<bool>,
    /// Whether each state is reached by some string of length `admitted.len() − 1`.
    reached: Vec<bool>,
}

impl Words {
    pub(crate) fn new(automaton: &Automaton) -> Self {
        let states = automaton.states();
        let (mut first, mut moves) = (vec![0], Vec::new());
        for state in 0..states as u32 {
            let all = (0..automaton.symbols() as Symbol)
                .map(|symbol| Move { symbol, to: automaton.step(state, symbol) });
            moves.extend(all.filter(|m| automaton.is_live(m.to)));
            first.push(moves.len());
        }
        let accepting: Vec<bool> = (0..states as u32).map(|state| automaton.accepts(state)).collect();
        let one = |accepts: &bool| Count { value: f64::from(u8::from(*accepts)), scale: 0 };
        let counts = accepting.iter().map(one).collect();
        let start = automaton.start();
        let mut reached = vec![false; states];
        if let Some(start) = reached.get_mut(start as usize) {
            *start = true;
        }
        let admitted = vec![accepting.get(start as usize).copied().unwrap_or(false)];
        Words {
            start,
            first,
            moves,
            accepting,
            table: RwLock::new(Table { shares: Vec::new(), rows: 0, counts }),
            lengths: RwLock::new(Lengths { admitted, reached }),
        }
    }

    /// The longest word that can be drawn, where the memory for the shares ends.
    pub(crate) fn max_length(&self) -> usize {
        SHARES / self.moves.len().max(1)
    }

    /// Whether there are words of this length, none longer than [`Words::max_length`].
    pub(crate) fn admits(&self, length: usize) -> bool {
        if length > self.max_length() {
            return false;
        }
        if let Some(admits) = self.lengths.read().unwrap_or_else(PoisonError::into_inner).admitted.get(length)
        {
            return *admits;
        }
        let mut lengths = self.lengths.write().unwrap_or_else(PoisonError::into_inner);
        while lengths.admitted.len() <= length {
            self.lengthen(&mut lengths);
        }
        lengths.admitted[length]
    }

    fn lengthen(&self, lengths: &mut Lengths) {
        let mut next = vec![false; lengths.reached.len()];
        for (state, _) in lengths.reached.iter().enumerate().filter(|(_, reached)| **reached) {
            for m in self.moves_of(state) {
                next[m.to as usize] = true;
            }
        }
        lengths
            .admitted
            .push(next.iter().zip(&self.accepting).any(|(reached, accepts)| *reached && *accepts));
        lengths.reached = next;
    }

    /// A word of an admitted length; every word of the length is equally likely.
    pub(crate) fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            if table.rows >= length {
                return self.draw(&table, length, rng);
            }
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        while table.rows < length {
            self.grow(&mut table);
        }
        self.draw(&table, length, rng)
    }

    fn draw(&self, table: &Table, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut word = Vec::with_capacity(length);
        let mut state = self.start as usize;
        for row in (0..length).rev() {
            let moves = self.moves_of(state);
            let chosen = if moves.len() <= 1 {
                moves.first()
            } else {
                let shares = &table.shares[row * self.moves.len() + self.first[state]..][..moves.len()];
                let at: f64 = rng.random();
                // The last share that counts is exactly 1, as a sum divided by itself.
                moves.iter().zip(shares).find(|(_, share)| at < **share).map(|(m, _)| m)
            };
            let Some(chosen) = chosen else { break };
            word.push(chosen.symbol);
            state = chosen.to as usize;
        }
        word
    }

    fn grow(&self, table: &mut Table) {
        let mut counts = Vec::with_capacity(table.counts.len());
        for state in 0..table.counts.len() {
            let to = || self.moves_of(state).iter().map(|m| table.counts[m.to as usize]);
            // Only counts that are not 0 set the scale, which a 0 may have left behind.
            let scale = to().filter(|count| count.value > 0.0).map(|count| count.scale).max().unwrap_or(0);
            let total = to().fold(0.0, |sum, count| sum + count.at(scale));
            let mut sum = 0.0;
            for count in to() {
                sum += count.at(scale);
                table.shares.push(if total > 0.0 { sum / total } else { 0.0 });
            }
            counts.push(Count { value: total, scale }.normal());
        }
        table.counts = counts;
        table.rows += 1;
    }

    fn moves_of(&self, state: usize) -> &[Move] {
        match (self.first.get(state), self.first.get(state + 1)) {
            (Some(from), Some(to)) => &self.moves[*from..*to],
            // The dead state, where only an empty language begins.
            _ => &[],
        }
    }
}

/// 2^512: far below the largest f64, so that the sum of many values below it is finite, and its inverse is not denormal.
const STEP: f64 = f64::from_bits((1023 + 512) << 52);

impl Count {
    /// The value at a scale that is no smaller; what is smaller by 2^512 and more is nothing.
    fn at(self, scale: u32) -> f64 {
        match scale.saturating_sub(self.scale) {
            0 => self.value,
            1 => self.value / STEP,
            _ => 0.0,
        }
    }

    fn normal(self) -> Self {
        if self.value < STEP {
            return self;
        }
        Count { value: self.value / STEP, scale: self.scale + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// No two zeros in a row and not ending in one.
    fn sparse() -> Automaton {
        let step = |state: &Option<bool>, symbol| match (state, symbol) {
            (Some(true), 0) | (None, _) => None,
            (Some(_), symbol) => Some(symbol == 0),
        };
        Automaton::new(3, Some(false), step, |state| *state == Some(false))
    }

    #[test]
    fn every_word_of_a_length_is_equally_likely() {
        let words = Words::new(&sparse());
        let mut all = strings(3, 5);
        all.retain(|x| !x.windows(2).any(|pair| pair == [0, 0]) && x.last() != Some(&0));
        let mut rng = Rng::seed_from_u64(1);
        let mut seen = BTreeMap::new();
        for _ in 0..400 * all.len() {
            *seen.entry(words.sample(5, &mut rng)).or_insert(0usize) += 1;
        }
        assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), all);
        assert!(seen.values().all(|count| count.abs_diff(400) < 100), "{seen:?}");
    }

    #[test]
    fn the_order_of_calls_changes_no_word() {
        let rising = Words::new(&sparse());
        let falling = Words::new(&sparse());
        let draw = |words: &Words, length| words.sample(length, &mut Rng::seed_from_u64(length as u64));
        let mut up: Vec<_> = [3, 50, 700].map(|length| draw(&rising, length)).into();
        up.reverse();
        assert_eq!(up, [700, 50, 3].map(|length| draw(&falling, length)));
    }

    #[test]
    fn only_the_lengths_of_words_are_admitted() {
        // (000)*11
        let step = |state: &u32, symbol: Symbol| match (state, symbol) {
            (0..=2, 0) => (state + 1) % 3,
            (0, 1) => 3,
            (3, 1) => 4,
            _ => 5,
        };
        let words = Words::new(&Automaton::new(2, 0, step, |state| *state == 4));
        let admitted: Vec<usize> = (0..12).filter(|length| words.admits(*length)).collect();
        assert_eq!(admitted, [2, 5, 8, 11]);
        assert!(!words.admits(usize::MAX) && !words.admits(words.max_length() + 1));
        assert_eq!(words.sample(5, &mut Rng::seed_from_u64(0)), [0, 0, 0, 1, 1]);
        let empty = Words::new(&Automaton::new(2, (), |(), _| (), |()| false));
        assert!(!(0..5).any(|length| empty.admits(length)));
    }

    #[test]
    fn words_with_far_fewer_companions_than_others_can_still_be_drawn() {
        // An even word begins with 0 and goes on in two symbols; after a 1 there are three symbols but only odd words,
        // of which there are so many more that an f64 holds no ratio of the two.
        let step = |state: &u32, symbol: Symbol| match (state, symbol) {
            (0, 0) => 1,
            (0, 1) => 2,
            (1, 0 | 1) => 3,
            (3, 0 | 1) => 1,
            (2, _) => 4,
            (4, _) => 2,
            _ => 5,
        };
        let automaton = Automaton::new(3, 0, step, |state| [2, 3].contains(state));
        let words = Words::new(&automaton);
        let mut rng = Rng::seed_from_u64(2);
        for length in [4, 4000] {
            let word = words.sample(length, &mut rng);
            assert_eq!(word.len(), length);
            let end = word.iter().fold(automaton.start(), |state, symbol| automaton.step(state, *symbol));
            assert!(automaton.accepts(end) && word[0] == 0);
            let ones = word.iter().filter(|symbol| **symbol == 1).count();
            assert!(length < 100 || ones.abs_diff(length / 2) < 200, "{ones}");
        }
        assert_eq!(words.sample(4001, &mut rng)[0], 1);
    }
}
