//! Alternation: the star-free language (01)*. Example: 0 1 0 → out in out.

use serde::{Deserialize, Serialize};

use crate::automaton::{Automaton, LanguageLabels};
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::binary;
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `alternation`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "alternation",
        title: "0-1 alternation, (01)*",
        class: Class::Control,
        protocols: &[Protocol::Prefix],
        definition: "0 1 0 1 0 … of n symbols → for every prefix whether it is in (01)*. There is one string of each \
                     length. The labels are those of (aa)* at every place, but here the last symbol tells them.",
        expected: "Nothing: it is the control of (aa)*, and every encoding should pass.",
        source: "this project; (01)* is the second Tomita language with its symbols exchanged, and star-free",
        example: "kind = \"alternation\"\nprotocol = \"prefix\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(Alternation::new()))
    }
}

/// The problem.
struct Alternation {
    automaton: Automaton,
}

impl Alternation {
    fn new() -> Self {
        // The symbol that has to come, None once another came.
        let step = |expected: &Option<Symbol>, symbol| expected.filter(|e| *e == symbol).map(|e| 1 - e);
        Alternation { automaton: Automaton::new(2, Some(0), step, |expected| *expected == Some(0)) }
    }
}

impl Problem for Alternation {
    fn label(&self) -> String {
        "(01)*".into()
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        vec!["out".into(), "in".into()]
    }

    fn prefixes_alike(&self) -> bool {
        true
    }

    fn sample(&self, length: usize, _rng: &mut Rng) -> Vec<Symbol> {
        (0..length).map(|place| (place % 2) as Symbol).collect()
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        Some(self.automaton.labels(x, LanguageLabels::Membership))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::prefixes_are;

    #[test]
    fn a_prefix_is_in_if_it_is_a_number_of_01() {
        let slow = |x: &[Symbol]| Symbol::from(x.chunks(2).all(|pair| pair == [0, 1]));
        prefixes_are(&Alternation::new(), 10, slow);
    }

    #[test]
    fn the_one_string_of_a_length_is_in_wherever_it_ends_in_1() {
        let problem = Alternation::new();
        let x = problem.sample(5, &mut Rng::seed_from_u64(0));
        assert_eq!(x, [0, 1, 0, 1, 0]);
        assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(x)));
    }
}
