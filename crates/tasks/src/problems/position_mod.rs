//! Position modulo k: the place of every symbol of aⁿ modulo k. Example with k = 3: a a a a → 0 1 2 0.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `position_mod`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The period k, 2 to 1000 (default 2).
    pub period: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { period: 2 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "position_mod",
        title: "Position modulo k",
        class: Class::Periodic,
        protocols: &[Protocol::Prefix],
        definition: "aⁿ → at the i-th symbol (from 0) i modulo `period`. There is one string of each length.",
        expected: "Without an encoding and without <bos> every state is the same, so the output is constant: exactly \
                   the commonest class. A periodic encoding is trivially right.",
        source: "this project",
        example: "kind = \"position_mod\"\nprotocol = \"prefix\"\nbos = false\nperiod = 3\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("position_mod", "period", self.period, 2..=1000)?;
        Ok(setting.pose(PositionMod { period: self.period }))
    }
}

/// The problem.
struct PositionMod {
    period: u32,
}

impl Problem for PositionMod {
    fn label(&self) -> String {
        format!("position mod {}", self.period)
    }

    fn alphabet(&self) -> Vec<String> {
        vec!["a".into()]
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.period)
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, _rng: &mut Rng) -> Vec<Symbol> {
        vec![0; length]
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let period = self.period as usize;
        Some(PrefixLabels::Classes((0..x.len()).map(|i| (i % period) as Symbol).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::prefixes_are;

    #[test]
    fn every_place_is_labelled_by_what_is_left_after_taking_periods_away() {
        for period in [2, 3, 7] {
            prefixes_are(&PositionMod { period }, 20, |x| {
                let mut place = x.len() as u32 - 1;
                while place >= period {
                    place -= period;
                }
                place
            });
        }
    }
}
