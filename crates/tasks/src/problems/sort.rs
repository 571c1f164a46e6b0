//! Sort: distinct symbols in increasing order. Example: 7 3 5 → 3 5 7.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::{Rewriting, in_order, named};
use crate::{Protocol, Task, TaskError};

/// Options of `sort`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of the alphabet, 2 to 10000 (default 150). Strings are no longer than that.
    pub symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 150 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "sort",
        title: "Sort",
        class: Class::Counter,
        protocols: &[Protocol::Language, Protocol::Encoder],
        definition: "x of n distinct symbols of `symbols`, in uniformly random order → x in increasing order.",
        expected: "Little: the order of the input does not matter. Published at three times the training length: \
                   learned with random offsets 99.4 % of whole answers, no encoding 80.6 %. As n nears `symbols` the \
                   answer nears a constant: at n = `symbols` it is the alphabet.",
        source: "Huang et al. 2024 (arXiv 2410.02140)",
        example: "kind = \"sort\"\nprotocol = \"language\"\nsymbols = 150\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("sort", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.symbols)))
    }
}

/// The problem.
fn rewriting(symbols: u32) -> Rewriting {
    let label = named("sort", symbols, 150);
    Rewriting { kind: "sort", label, symbols, distinct: true, times: 1, rewrite: in_order }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;
    use crate::{Problem, Rng, Symbol};

    #[test]
    fn every_symbol_stands_behind_as_many_as_are_smaller() {
        let problem = rewriting(5);
        let distinct = |x: &Vec<Symbol>| x.iter().collect::<HashSet<_>>().len() == x.len();
        for x in (1..=5).flat_map(|length| strings(5, length)).filter(distinct) {
            let y = problem.answer(&x).unwrap();
            assert_eq!(y.len(), problem.answer_len(x.len()));
            for symbol in &x {
                assert_eq!(y[x.iter().filter(|other| *other < symbol).count()], *symbol);
            }
        }
    }

    #[test]
    fn strings_are_distinct_up_to_the_whole_alphabet() {
        let problem = rewriting(150);
        let mut rng = Rng::seed_from_u64(1);
        for length in [1, 75, 76, 150] {
            let x = problem.sample(length, &mut rng);
            assert_eq!(x.iter().collect::<HashSet<_>>().len(), length);
        }
        assert!(problem.admits(150) && !problem.admits(151));
    }
}
