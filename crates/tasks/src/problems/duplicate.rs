//! Duplicate: the input twice. Example: 1 0 1 → 1 0 1 1 0 1.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::{Rewriting, named};
use crate::{Protocol, Task, TaskError};

/// Options of `duplicate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Size of the alphabet, 2 to 10000 (default 2).
    pub symbols: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 2 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "duplicate",
        title: "Duplicate string",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "x of n independent uniform symbols → x x, 2n symbols without a separator.",
        expected: "Near chance beyond the training lengths: the i-th and the (n + i)-th answer look up the same \
                   symbol, at distances that grow with n.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"duplicate\"\nprotocol = \"encoder\"\nsymbols = 2\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("duplicate", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.symbols)))
    }
}

/// The problem.
fn rewriting(symbols: u32) -> Rewriting {
    let label = named("duplicate", symbols, 2);
    Rewriting { kind: "duplicate", label, symbols, distinct: false, times: 2, rewrite: |x| x.repeat(2) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Problem;
    use crate::problems::exhaustive::strings;

    #[test]
    fn every_short_string_comes_out_twice() {
        for (count, max) in [(2, 8), (3, 5)] {
            let problem = rewriting(count);
            for x in (1..=max).flat_map(|length| strings(count, length)) {
                let y = problem.answer(&x).unwrap();
                assert_eq!(y.len(), problem.answer_len(x.len()));
                (0..y.len()).for_each(|i| assert_eq!(y[i], x[i % x.len()]));
            }
        }
    }
}
