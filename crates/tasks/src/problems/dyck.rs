//! Dyck words: well-nested brackets, labelled with the symbols that may come next. Example: after ( [ the legal set
//! is every opening bracket and ].
//!
//! Words are drawn uniformly among those of their length, by the number of ways each prefix can be completed. The
//! grammar S → (S) with p = 1/2, SS with q = 1/4 of Bhattamishra et al. has to be drawn until the length fits and
//! weighs words by their derivations; the uniform law is exact at every length, keeps a depth bound exactly, and its
//! mean depth is known: about √(πn/2) without a bound, so longer words are also deeper. Scores are not comparable with
//! those on words of the grammar.

use std::sync::{PoisonError, RwLock};

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `dyck`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of bracket types, 1 to 1000 (default 2).
    pub brackets: u32,
    /// The deepest nesting, 1 to 1000; none by default. At this depth no opening bracket is legal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config { brackets: 2, max_depth: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "dyck",
        title: "Dyck words",
        class: Class::Hierarchical,
        protocols: &[Protocol::Prefix],
        definition: "A word of well-nested brackets of `brackets` types, even n, uniform among those of its length \
                     (and of depth at most `max_depth`) → after every symbol the set of symbols that may come next: \
                     every opening bracket above the depth bound, and the closing one of the innermost open bracket.",
        expected: "One type is a counter and passes. Two or more need the type of the innermost open bracket: depth \
                   beyond training fails, bounded depth is within reach of two layers.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264), labels; Yao et al. 2021 (arXiv 2105.11115), bounded \
                 depth; the sampler is this project's",
        example: "kind = \"dyck\"\nprotocol = \"prefix\"\nbrackets = 2\nmax_depth = 10\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("dyck", "brackets", self.brackets, 1..=1000)?;
        if let Some(max) = self.max_depth {
            in_range("dyck", "max_depth", max, 1..=1000)?;
        }
        Ok(setting.pose(Dyck::new(self)))
    }
}

/// The problem; symbol t opens type t, symbol `brackets` + t closes it.
struct Dyck {
    brackets: u32,
    bound: Option<Bound>,
}

impl Dyck {
    fn new(config: &Config) -> Self {
        let bound = config.max_depth.map(|max| Bound::new(max as usize));
        Dyck { brackets: config.brackets, bound }
    }
}

/// The chance to open in a uniform walk from a depth back to 0 that never exceeds `max`. All bracket types are alike,
/// and the number of brackets still to open is known, so types do not enter.
struct Bound {
    max: usize,
    table: RwLock<Table>,
}

/// Grows with the longest word asked for; a row depends on the rows before it only, so the order of calls is no matter.
struct Table {
    /// (remaining, depth): the chance to open, row-major, `max + 1` wide.
    open: Vec<f64>,
    /// Number of ways to complete from each depth with as many symbols as `open` has rows less one, scaled.
    ways: Vec<f64>,
}

impl Bound {
    fn new(max: usize) -> Self {
        let mut ways = vec![0.0; max + 1];
        ways[0] = 1.0;
        Bound { max, table: RwLock::new(Table { open: vec![0.0; max + 1], ways }) }
    }

    /// Runs `f` on the table with rows up to `remaining`.
    fn with<T>(&self, remaining: usize, f: impl FnOnce(&[f64]) -> T) -> T {
        let width = self.max + 1;
        {
            let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
            if table.open.len() > remaining * width {
                return f(&table.open);
            }
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        while table.open.len() <= remaining * width {
            table.grow();
        }
        f(&table.open)
    }
}

impl Table {
    fn grow(&mut self) {
        let ways = &self.ways;
        let up = |depth: usize| ways.get(depth + 1).copied().unwrap_or(0.0);
        let down = |depth: usize| if depth == 0 { 0.0 } else { ways[depth - 1] };
        let sums: Vec<f64> = (0..ways.len()).map(|depth| up(depth) + down(depth)).collect();
        let open = |(depth, sum): (usize, &f64)| if *sum > 0.0 { up(depth) / sum } else { 0.0 };
        self.open.extend(sums.iter().enumerate().map(open));
        // Only ratios matter; without scaling, 1000 symbols would overflow.
        let largest = sums.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.ways = sums.into_iter().map(|sum| sum / largest).collect();
    }
}

/// Whether to open in a uniform Dyck word with `remaining` symbols to go at `depth`: the ballot numbers give the
/// chance (d + 2)(r − d) / 2r(d + 1).
pub(super) fn opens(remaining: u64, depth: u64, rng: &mut Rng) -> bool {
    rng.random_range(0..2 * remaining * (depth + 1)) < (depth + 2) * (remaining - depth)
}

impl Problem for Dyck {
    fn label(&self) -> String {
        match &self.bound {
            None => format!("dyck-{}", self.brackets),
            Some(bound) => format!("dyck-({},{})", self.brackets, bound.max),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        let pairs = [("(", ")"), ("[", "]"), ("{", "}"), ("<", ">")];
        let count = self.brackets as usize;
        let names = |t: usize| match pairs.get(t) {
            Some((open, close)) if count <= pairs.len() => (open.to_string(), close.to_string()),
            _ => (format!("({t}"), format!("{t})")),
        };
        let (mut opening, closing): (Vec<_>, Vec<_>) = (0..count).map(names).unzip();
        opening.extend(closing);
        opening
    }

    fn answers(&self) -> Vec<String> {
        self.alphabet()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 2 && length.is_multiple_of(2)
    }

    fn lengths(&self) -> String {
        "even and at least 2".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut word = Vec::with_capacity(length);
        let mut stack = Vec::with_capacity(length / 2);
        let mut draw = |chance: Option<&[f64]>| {
            for remaining in (1..=length).rev() {
                let open = match (chance, &self.bound) {
                    (Some(table), Some(bound)) => {
                        rng.random::<f64>() < table[remaining * (bound.max + 1) + stack.len()]
                    }
                    _ => opens(remaining as u64, stack.len() as u64, rng),
                };
                if open {
                    let t = rng.random_range(0..self.brackets);
                    stack.push(t);
                    word.push(t);
                } else if let Some(t) = stack.pop() {
                    word.push(self.brackets + t);
                }
            }
        };
        match &self.bound {
            Some(bound) => bound.with(length, |table| draw(Some(table))),
            None => draw(None),
        }
        word
    }

    fn labels_are_sets(&self) -> bool {
        true
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let count = self.brackets as usize;
        let mut sets = vec![false; x.len() * 2 * count];
        let mut stack = Vec::new();
        for (symbol, set) in x.iter().zip(sets.chunks_mut(2 * count)) {
            if *symbol < self.brackets {
                stack.push(*symbol as usize);
            } else {
                stack.pop();
            }
            let may_open = self.bound.as_ref().is_none_or(|bound| stack.len() < bound.max);
            set[..count].fill(may_open);
            if let Some(innermost) = stack.last() {
                set[count + innermost] = true;
            }
        }
        Some(PrefixLabels::Sets(sets))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    fn dyck(brackets: u32, max_depth: Option<u32>) -> Dyck {
        Dyck::new(&Config { brackets, max_depth })
    }

    /// A word is well nested if deleting adjacent pairs leaves nothing; its depth is its largest excess of opening
    /// over closing brackets.
    fn is_word(x: &[Symbol], brackets: u32, max_depth: Option<u32>) -> bool {
        let mut rest = x.to_vec();
        while let Some(i) = rest.windows(2).position(|w| w[0] < brackets && w[1] == w[0] + brackets) {
            rest.drain(i..i + 2);
        }
        let excess = |end: usize| {
            let open = x[..end].iter().filter(|s| **s < brackets).count();
            open.saturating_sub(end - open)
        };
        let deepest = (0..=x.len()).map(excess).max().unwrap_or(0);
        rest.is_empty() && max_depth.is_none_or(|max| deepest <= max as usize)
    }

    fn words(length: usize, brackets: u32, max_depth: Option<u32>) -> Vec<Vec<Symbol>> {
        let mut all = strings(2 * brackets, length);
        all.retain(|x| is_word(x, brackets, max_depth));
        all
    }

    #[test]
    fn a_symbol_is_legal_if_some_word_goes_on_with_it() {
        for (brackets, max_depth) in [(1, None), (2, None), (2, Some(1)), (2, Some(2))] {
            let problem = dyck(brackets, max_depth);
            // Long enough to complete any prefix of four symbols that is a prefix of a word of four.
            let longer: Vec<_> = [2, 4, 6, 8].iter().flat_map(|n| words(*n, brackets, max_depth)).collect();
            for x in [2, 4].iter().flat_map(|n| words(*n, brackets, max_depth)) {
                let Some(PrefixLabels::Sets(sets)) = problem.prefix_labels(&x) else {
                    panic!("no sets for {x:?}")
                };
                for (end, set) in (1..=x.len()).zip(sets.chunks(2 * brackets as usize)) {
                    for (symbol, legal) in set.iter().enumerate() {
                        let longer_prefix = [&x[..end], &[symbol as Symbol]].concat();
                        let exists = longer.iter().any(|w| w.starts_with(&longer_prefix));
                        assert_eq!(*legal, exists, "{longer_prefix:?}, depth {max_depth:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn every_word_of_a_length_is_equally_likely() {
        for (brackets, max_depth, length) in
            [(1, None, 6), (1, None, 8), (2, None, 4), (1, Some(2), 8), (2, Some(2), 6), (1, Some(1), 4)]
        {
            let problem = dyck(brackets, max_depth);
            let all = words(length, brackets, max_depth);
            let mut rng = Rng::seed_from_u64(7);
            let mut seen = BTreeMap::new();
            let each = 600;
            for _ in 0..each * all.len() {
                *seen.entry(problem.sample(length, &mut rng)).or_insert(0usize) += 1;
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), all);
            assert!(seen.values().all(|count| count.abs_diff(each) < 110), "{seen:?}");
        }
    }

    #[test]
    fn long_words_are_words_within_their_depth() {
        let mut rng = Rng::seed_from_u64(8);
        for (max_depth, length) in [(None, 2000), (Some(3), 2000), (Some(1000), 4000)] {
            let problem = dyck(2, max_depth);
            for _ in 0..3 {
                let x = problem.sample(length, &mut rng);
                assert_eq!(x.len(), length);
                assert!(is_word(&x, 2, max_depth));
            }
        }
    }

    #[test]
    fn only_even_lengths_are_admitted() {
        let problem = dyck(2, None);
        let admitted: Vec<usize> = (0..7).filter(|n| problem.admits(*n)).collect();
        assert_eq!(admitted, [2, 4, 6]);
    }
}
