//! Reverse: the input backwards. Example: 0 1 1 → 1 1 0.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::rewriting::{Rewriting, named};
use crate::{Protocol, Task, TaskError};

/// Options of `reverse`.
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
        kind: "reverse",
        title: "Reverse",
        class: Class::Order,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "x of n independent uniform symbols → x backwards.",
        expected: "Absolute encodings fall to chance beyond the training lengths, rotary ones collapse; randomised \
                   relative positions are reported to pass.",
        source: "Delétang et al. 2022 (arXiv 2207.02098); Kazemnejad et al. 2023 (arXiv 2305.19466)",
        example: "kind = \"reverse\"\nprotocol = \"encoder\"\nsymbols = 2\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("reverse", "symbols", self.symbols, 2..=10_000)?;
        Ok(setting.pose(rewriting(self.symbols)))
    }
}

/// The problem.
fn rewriting(symbols: u32) -> Rewriting {
    let label = named("reverse", symbols, 2);
    Rewriting {
        kind: "reverse",
        label,
        symbols,
        distinct: false,
        times: 1,
        rewrite: |x| x.iter().rev().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Problem;
    use crate::problems::exhaustive::strings;

    #[test]
    fn every_short_string_comes_out_backwards() {
        for (count, max) in [(2, 8), (3, 5)] {
            let problem = rewriting(count);
            for x in (1..=max).flat_map(|length| strings(count, length)) {
                let y = problem.answer(&x).unwrap();
                assert_eq!(y.len(), problem.answer_len(x.len()));
                (0..x.len()).for_each(|i| assert_eq!(y[i], x[x.len() - 1 - i]));
            }
        }
    }
}
