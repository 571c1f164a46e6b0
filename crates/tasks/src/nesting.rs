//! Words of well-nested brackets, for the kinds that ask about them. Example with two types: ( [ ] ) ( ).
//!
//! A word is drawn at its exact length, by the weight of the ways to complete each prefix, under one of two laws. They
//! are one without a depth bound, where the mean depth is about √(πn/2): longer words are also deeper.

use std::sync::{PoisonError, RwLock};

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::problems::in_range;
use crate::{Rng, Symbol, TaskError};

/// How words of a length and a depth bound are weighed: two different tasks, whose scores are not comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Law {
    /// All alike.
    #[default]
    Uniform,
    /// As a walk makes them that opens or closes with equal chance and closes where it must: a word weighs 2 for each
    /// time it closes at the bound. This is the generator of Yao et al. 2021 (arXiv 2105.11115) given the length.
    Walk,
}

/// The words of some bracket types and a depth bound; symbol t opens type t, symbol `brackets` + t closes it.
pub(crate) struct Words {
    brackets: u32,
    bound: Option<Bound>,
}

impl Words {
    /// Words of options that [`check`] has passed.
    pub(crate) fn new(brackets: u32, max_depth: Option<u32>, law: Law) -> Self {
        Words { brackets, bound: max_depth.map(|max| Bound::new(max as usize, law)) }
    }

    /// Number of bracket types.
    pub(crate) fn brackets(&self) -> u32 {
        self.brackets
    }

    /// The deepest nesting, if it is bounded.
    pub(crate) fn max_depth(&self) -> Option<usize> {
        self.bound.as_ref().map(|bound| bound.max)
    }

    /// The name of the language and its law, such as `dyck-2`, `dyck-(8,10)` or `dyck-(8,10), walk`.
    pub(crate) fn label(&self) -> String {
        match &self.bound {
            None => format!("dyck-{}", self.brackets),
            Some(Bound { max, law: Law::Uniform, .. }) => format!("dyck-({},{max})", self.brackets),
            Some(Bound { max, law: Law::Walk, .. }) => format!("dyck-({},{max}), walk", self.brackets),
        }
    }

    /// Printed names: opening brackets, then closing ones in the same order.
    pub(crate) fn alphabet(&self) -> Vec<String> {
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

    /// A word of an even length.
    pub(crate) fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let Some(bound) = &self.bound else {
            return self.draw(length, rng, opens);
        };
        let width = bound.max + 1;
        bound.with(length, |open| {
            self.draw(length, rng, |remaining, depth, rng| {
                rng.random::<f64>() < open[remaining as usize * width + depth as usize]
            })
        })
    }

    /// Asks `opens` at each place, given the number of symbols to go and the depth.
    fn draw(&self, length: usize, rng: &mut Rng, opens: impl Fn(u64, u64, &mut Rng) -> bool) -> Vec<Symbol> {
        let mut word = Vec::with_capacity(length);
        let mut stack = Vec::with_capacity(length / 2);
        for remaining in (1..=length as u64).rev() {
            if opens(remaining, stack.len() as u64, rng) {
                let t = if self.brackets == 1 { 0 } else { rng.random_range(0..self.brackets) };
                stack.push(t);
                word.push(t);
            } else if let Some(t) = stack.pop() {
                word.push(self.brackets + t);
            }
        }
        word
    }
}

/// Whether there are words of a length.
pub(crate) fn admits(length: usize) -> bool {
    length >= 2 && length.is_multiple_of(2)
}

/// The lengths of words in words.
pub(crate) fn lengths() -> String {
    "even and at least 2".to_owned()
}

/// Refuses options that are no language of `kind`, or two names for one.
pub(crate) fn check(
    kind: &'static str,
    brackets: u32,
    least: u32,
    max_depth: Option<u32>,
    law: Law,
) -> Result<(), TaskError> {
    in_range(kind, "brackets", brackets, least..=1000)?;
    match max_depth {
        Some(max) => in_range(kind, "max_depth", max, 1..=1000),
        None if law == Law::Walk => Err(TaskError::Config {
            kind,
            field: "law",
            found: "\"walk\" without a depth bound".into(),
            expected: "\"walk\" with `max_depth`".into(),
            remedy: "set `max_depth`, or leave `law` out: without a bound the two laws are one".into(),
        }),
        None => Ok(()),
    }
}

/// The chance to open in a walk from a depth back to 0 that never exceeds `max`. All bracket types are alike, and the
/// number of brackets still to open is known, so types do not enter.
struct Bound {
    max: usize,
    law: Law,
    table: RwLock<Table>,
}

/// Grows with the longest word asked for; a row depends on the rows before it only, so the order of calls is no matter.
struct Table {
    /// (remaining, depth): the chance to open, row-major, `max + 1` wide.
    open: Vec<f64>,
    /// Weight of the ways to complete from each depth with as many symbols as `open` has rows less one, scaled.
    ways: Vec<f64>,
    /// What a closing bracket at the bound weighs.
    forced: f64,
}

impl Bound {
    fn new(max: usize, law: Law) -> Self {
        let mut ways = vec![0.0; max + 1];
        ways[0] = 1.0;
        let forced = if law == Law::Walk { 2.0 } else { 1.0 };
        Bound { max, law, table: RwLock::new(Table { open: vec![0.0; max + 1], ways, forced }) }
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
        let down = |depth: usize| match depth {
            0 => 0.0,
            _ if depth + 1 == ways.len() => self.forced * ways[depth - 1],
            _ => ways[depth - 1],
        };
        let sums: Vec<f64> = (0..ways.len()).map(|depth| up(depth) + down(depth)).collect();
        let open = |(depth, sum): (usize, &f64)| if *sum > 0.0 { up(depth) / sum } else { 0.0 };
        self.open.extend(sums.iter().enumerate().map(open));
        // Only ratios matter; without scaling, 1000 symbols would overflow.
        let largest = sums.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.ways = sums.into_iter().map(|sum| sum / largest).collect();
    }
}

/// Whether to open in a uniform word with `remaining` symbols to go at `depth`: the ballot numbers give the chance
/// (d + 2)(r − d) / 2r(d + 1).
pub(crate) fn opens(remaining: u64, depth: u64, rng: &mut Rng) -> bool {
    rng.random_range(0..2 * remaining * (depth + 1)) < (depth + 2) * (remaining - depth)
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// The number of open brackets after each symbol; meaningless unless the string is a word.
    pub(crate) fn depths(x: &[Symbol], brackets: u32) -> Vec<usize> {
        let excess = |end: usize| {
            let open = x[..end].iter().filter(|s| **s < brackets).count();
            open.saturating_sub(end - open)
        };
        (1..=x.len()).map(excess).collect()
    }

    /// What deleting adjacent pairs leaves: of a prefix of a word the brackets still open.
    pub(crate) fn open(x: &[Symbol], brackets: u32) -> Vec<Symbol> {
        let mut rest = x.to_vec();
        while let Some(i) = rest.windows(2).position(|w| w[0] < brackets && w[1] == w[0] + brackets) {
            rest.drain(i..i + 2);
        }
        rest
    }

    pub(crate) fn is_word(x: &[Symbol], brackets: u32, max_depth: Option<u32>) -> bool {
        let deepest = depths(x, brackets).into_iter().max().unwrap_or(0);
        open(x, brackets).is_empty() && max_depth.is_none_or(|max| deepest <= max as usize)
    }

    pub(crate) fn words(length: usize, brackets: u32, max_depth: Option<u32>) -> Vec<Vec<Symbol>> {
        let mut all = strings(2 * brackets, length);
        all.retain(|x| is_word(x, brackets, max_depth));
        all
    }

    #[test]
    fn every_word_of_a_length_comes_as_often_as_it_weighs() {
        for (brackets, max_depth, length, law) in [
            (1, None, 6, Law::Uniform),
            (1, None, 8, Law::Uniform),
            (2, None, 4, Law::Uniform),
            (1, Some(2), 8, Law::Uniform),
            (2, Some(2), 6, Law::Uniform),
            (1, Some(1), 4, Law::Uniform),
            (1, Some(2), 8, Law::Walk),
            (2, Some(2), 6, Law::Walk),
            (1, Some(3), 8, Law::Walk),
        ] {
            let all = words(length, brackets, max_depth);
            let weigh = |x: &Vec<Symbol>| {
                let before = [&[0], depths(x, brackets).as_slice()].concat();
                let at_bound = |(s, depth): (&Symbol, &usize)| {
                    *s >= brackets && max_depth.is_some_and(|max| *depth == max as usize)
                };
                let closed = x.iter().zip(&before).filter(|pair| at_bound(*pair)).count();
                if law == Law::Walk { f64::from(1u32 << closed) } else { 1.0 }
            };
            let total: f64 = all.iter().map(weigh).sum();
            let language = Words::new(brackets, max_depth, law);
            let mut rng = Rng::seed_from_u64(7);
            let mut seen = BTreeMap::new();
            let draws = 600 * all.len();
            for _ in 0..draws {
                *seen.entry(language.sample(length, &mut rng)).or_insert(0.0) += 1.0;
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), all);
            for (x, count) in &seen {
                let mean = draws as f64 * weigh(x) / total;
                assert!(
                    (count - mean).abs() < 4.5 * mean.sqrt(),
                    "{}: {x:?} {count} for {mean}",
                    language.label()
                );
            }
        }
    }

    #[test]
    fn long_words_are_words_within_their_depth() {
        let mut rng = Rng::seed_from_u64(8);
        for (max_depth, length, law) in [
            (None, 2000, Law::Uniform),
            (Some(3), 2000, Law::Uniform),
            (Some(1000), 4000, Law::Uniform),
            (Some(10), 1400, Law::Walk),
        ] {
            let language = Words::new(2, max_depth, law);
            for _ in 0..3 {
                let x = language.sample(length, &mut rng);
                assert_eq!(x.len(), length);
                assert!(is_word(&x, 2, max_depth));
            }
        }
    }

    #[test]
    fn only_even_lengths_are_admitted() {
        let admitted: Vec<usize> = (0..7).filter(|n| admits(*n)).collect();
        assert_eq!(admitted, [2, 4, 6]);
    }

    #[test]
    fn a_walk_without_a_bound_is_refused() {
        let error = check("dyck", 2, 1, None, Law::Walk).unwrap_err().to_string();
        assert!(error.contains("task.dyck.law") && error.contains("max_depth"), "{error}");
        assert!(check("dyck", 2, 1, Some(3), Law::Walk).is_ok());
    }
}
