//! Bucket sort: symbols of a small alphabet in increasing order. Example: 1 0 2 0 4 1 1 2 → 0 0 1 1 1 2 2 4.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::{Rewriting, in_order, named};
use crate::{Protocol, Task, TaskError};

/// Options of `bucket_sort`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of the alphabet, 2 to 10000 (default 5).
    pub symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 5 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "bucket_sort",
        title: "Bucket sort",
        class: Class::Counter,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "x of n independent uniform symbols → x in increasing order. The answer is as many of each symbol \
                     as x holds.",
        expected: "Attention dilutes as n grows. Read scores against the computed baseline: the commonest of five \
                   symbols at each place is right 78 % of the time at n = 41 and 94 % at n = 500, without a look at \
                   the input.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"bucket_sort\"\nprotocol = \"encoder\"\nsymbols = 5\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("bucket_sort", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.symbols)))
    }
}

/// The problem.
fn rewriting(symbols: u32) -> Rewriting {
    let label = named("bucket sort", symbols, 5);
    Rewriting { kind: "bucket_sort", label, symbols, distinct: false, times: 1, rewrite: in_order }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;
    use crate::{Problem, ProblemConfig, Rng, Symbol, TaskConfig, baselines};

    #[test]
    fn every_short_string_comes_out_as_its_counts_in_order() {
        for (count, max) in [(5, 5), (2, 9)] {
            let problem = rewriting(count);
            for x in (1..=max).flat_map(|length| strings(count, length)) {
                let copies = |symbol: Symbol| x.iter().filter(move |other| **other == symbol);
                let expected: Vec<Symbol> = (0..count).flat_map(copies).copied().collect();
                assert_eq!(expected.len(), problem.answer_len(x.len()));
                assert_eq!(problem.answer(&x).unwrap(), expected);
            }
        }
    }

    #[test]
    fn the_commonest_symbol_at_each_place_is_mostly_right_and_the_more_so_the_longer_the_string() {
        let task = TaskConfig::new(ProblemConfig::BucketSort(Config::default())).build().unwrap();
        for (length, expected) in [(41, 0.78), (500, 0.94)] {
            let found = baselines(task.as_ref(), length, 1000, &mut Rng::seed_from_u64(1)).unwrap();
            assert!((found.best().token - expected).abs() < 0.01, "{length}: {found:?}");
        }
    }
}
