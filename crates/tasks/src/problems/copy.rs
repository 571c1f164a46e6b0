//! Copy: the input again. Example: 7 3 5 → 7 3 5.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::Rewriting;
use crate::{Protocol, Symbol, Task, TaskError};

/// Options of `copy`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether all symbols of a string differ (default false). Strings are then no longer than the alphabet is large.
    pub distinct: bool,
    /// Size of the alphabet, 2 to 10000; by default 150 if distinct, else 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<u32>,
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "copy",
        title: "Copy",
        class: Class::Order,
        protocols: &[Protocol::Language, Protocol::Encoder],
        definition: "x → x. With `distinct` the n symbols all differ (unique copy), else they are independent and \
                     uniform (repeat copy).",
        expected: "Unique: fails without an encoding, which gives no place one step on; learned positions with random \
                   offsets pass. Repeat: all fail, as repeated n-grams break the lookup.",
        source: "Huang et al. 2024 (arXiv 2410.02140), unique and repeat copy",
        example: "kind = \"copy\"\nprotocol = \"language\"\ndistinct = true\nsymbols = 150\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        let symbols = self.symbols.unwrap_or(if self.distinct { 150 } else { 2 });
        in_range("copy", "symbols", symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.distinct, symbols)))
    }
}

/// The problem.
fn rewriting(distinct: bool, symbols: u32) -> Rewriting {
    let label = match (distinct, symbols) {
        (true, 150) => "copy (unique)".into(),
        (true, k) => format!("copy (unique, {k} symbols)"),
        (false, 2) => "copy (repeat)".into(),
        (false, k) => format!("copy (repeat, {k} symbols)"),
    };
    Rewriting { kind: "copy", label, symbols, distinct, times: 1, rewrite: <[Symbol]>::to_vec }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, HashSet};

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;
    use crate::{Problem, Rng};

    #[test]
    fn every_short_string_comes_out_as_it_went_in() {
        for distinct in [true, false] {
            let problem = rewriting(distinct, 3);
            for x in (1..=6).flat_map(|length| strings(3, length)) {
                let y = problem.answer(&x).unwrap();
                assert_eq!(y.len(), problem.answer_len(x.len()));
                (0..x.len()).for_each(|i| assert_eq!(y[i], x[i]));
            }
        }
    }

    #[test]
    fn distinct_strings_never_repeat_and_come_in_every_order() {
        let problem = rewriting(true, 4);
        let mut rng = Rng::seed_from_u64(5);
        let mut seen = BTreeMap::new();
        for _ in 0..12_000 {
            let x = problem.sample(3, &mut rng);
            assert_eq!(x.iter().collect::<HashSet<_>>().len(), 3);
            *seen.entry(x).or_insert(0u32) += 1;
        }
        // 4 · 3 · 2 strings, 500 of each expected.
        assert_eq!(seen.len(), 24);
        assert!(seen.values().all(|count| count.abs_diff(500) < 120), "{seen:?}");
        assert_eq!(problem.sample(4, &mut rng).len(), 4);
    }

    #[test]
    fn an_alphabet_too_small_for_the_length_is_not_admitted() {
        let problem = rewriting(true, 10);
        assert!(problem.admits(10) && !problem.admits(11));
        assert!(problem.lengths().contains("task.copy.symbols"));
        assert!(rewriting(false, 2).admits(1_000));
    }
}
