//! Alternation: the star-free language (01)*. Example: 0 1 0 → out in out.

use serde::{Deserialize, Serialize};

use super::abab_star::Alternating;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Protocol, Task, TaskError};

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
        Ok(setting.pose(alternating()))
    }
}

/// The problem.
fn alternating() -> Alternating {
    Alternating::new("(01)*".to_owned(), ["0", "1"], 2)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::prefixes_are;
    use crate::{PrefixLabels, Problem, Rng, Symbol};

    #[test]
    fn a_prefix_is_in_if_it_is_a_number_of_01() {
        let slow = |x: &[Symbol]| Symbol::from(x.chunks(2).all(|pair| pair == [0, 1]));
        prefixes_are(&alternating(), 10, slow);
    }

    #[test]
    fn the_one_string_of_a_length_is_in_wherever_it_ends_in_1() {
        let problem = alternating();
        let x = problem.sample(5, &mut Rng::seed_from_u64(0));
        assert_eq!(x, [0, 1, 0, 1, 0]);
        assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(x)));
    }
}
