//! Cycle navigation: where a walk of steps −1, 0, +1 ends on a circle. Example on 5 places: −1 −1 0 → 3.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::numerals;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `cycle_navigation`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of places on the circle, 2 to 1000 (default 5).
    pub places: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { places: 5 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "cycle_navigation",
        title: "Cycle navigation",
        class: Class::Periodic,
        protocols: &[Protocol::Encoder, Protocol::Language, Protocol::Prefix],
        definition: "x ∈ {−1, 0, +1}ⁿ (uniform) → the sum modulo `places`, starting from place 0.",
        expected: "Fails beyond the training lengths. Without an encoding the frequencies of the moves can be read \
                   and partly help; their clusters merge as n grows.",
        source: "Delétang et al. 2022 (arXiv 2207.02098)",
        example: "kind = \"cycle_navigation\"\nprotocol = \"encoder\"\nplaces = 5\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("cycle_navigation", "places", self.places, 2..=1000)?;
        Ok(setting.pose(CycleNavigation { places: self.places }))
    }
}

/// The problem; symbol s is the move s − 1.
struct CycleNavigation {
    places: u32,
}

impl CycleNavigation {
    fn step(&self, place: Symbol, symbol: Symbol) -> Symbol {
        (place + self.places + symbol - 1) % self.places
    }
}

impl Problem for CycleNavigation {
    fn label(&self) -> String {
        format!("cycle navigation (mod {})", self.places)
    }

    // "+0" and not "0", which under the protocol language would be the token of place 0.
    fn alphabet(&self) -> Vec<String> {
        vec!["-1".into(), "+0".into(), "+1".into()]
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.places)
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        (0..length).map(|_| rng.random_range(0..3)).collect()
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(vec![x.iter().fold(0, |place, symbol| self.step(place, *symbol))])
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let walk = x.iter().scan(0, |place, symbol| {
            *place = self.step(*place, *symbol);
            Some(*place)
        });
        Some(PrefixLabels::Classes(walk.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problems::exhaustive::{answers_are, prefixes_are};

    #[test]
    fn every_short_walk_ends_at_the_sum_of_its_moves() {
        for places in [2, 5] {
            let problem = CycleNavigation { places };
            let slow = |x: &[Symbol]| {
                let sum: i32 = x.iter().map(|s| *s as i32 - 1).sum();
                sum.rem_euclid(places as i32) as Symbol
            };
            answers_are(&problem, 6, slow);
            prefixes_are(&problem, 6, slow);
        }
    }
}
