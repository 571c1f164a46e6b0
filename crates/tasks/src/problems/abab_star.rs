//! The periodic languages of alternating letters, of which (abab)* is the first. Example: a b a b a → out out out in out.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::automaton::{Automaton, LanguageLabels};
use crate::registry::{Class, Info, Kind, Setting};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `abab_star`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The period k in letters, an even number of 4 to 1000: 4 is (abab)*, the default.
    pub period: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { period: 4 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "abab_star",
        title: "(abab)*",
        class: Class::Periodic,
        protocols: &[Protocol::Prefix],
        definition: "a b a b a … of n letters → for every prefix whether it is in ((ab)^(k/2))*, that is, whether its \
                     length is 0 modulo the `period` k. There is one string of each length; published strings are \
                     words, of whole periods only.",
        expected: "As (aaaa)*, although every second place is marked: published within the training lengths (500) and \
                   in two bins of 100 beyond, no encoding 100/0/0 % of whole strings, learned with random offsets \
                   100/89/82. A periodic encoding is trivially right.",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264); Huang et al. 2024 (arXiv 2410.02140)",
        example: "kind = \"abab_star\"\nprotocol = \"prefix\"\nperiod = 4\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("abab_star", "period", self.period, 4..=1000)?;
        if !self.period.is_multiple_of(2) {
            return Err(TaskError::Config {
                kind: "abab_star",
                field: "period",
                found: self.period.to_string(),
                expected: "an even number".to_owned(),
                remedy: "a period is a number of whole ab".to_owned(),
            });
        }
        Ok(setting.pose(alternating(self.period)))
    }
}

/// The problem.
fn alternating(period: u32) -> Alternating {
    let label = match period {
        k @ ..=8 => format!("({})*", "ab".repeat(k as usize / 2)),
        k => format!("((ab)^{})*", k / 2),
    };
    Alternating::new(label, ["a", "b"], period)
}

/// The string of each length in which two letters take turns, and whether its prefixes are of whole periods.
pub(super) struct Alternating {
    label: String,
    letters: [&'static str; 2],
    automaton: Automaton,
}

impl Alternating {
    /// `period` is even.
    pub(super) fn new(label: String, letters: [&'static str; 2], period: u32) -> Self {
        // The letters since the last period, None once one of them was wrong.
        let step = |place: &Option<u32>, symbol: Symbol| {
            let right = place.filter(|place| place % 2 == symbol);
            right.map(|place| (place + 1) % period)
        };
        Alternating { label, letters, automaton: Automaton::new(2, Some(0), step, |place| *place == Some(0)) }
    }
}

impl Problem for Alternating {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn alphabet(&self) -> Vec<String> {
        self.letters.map(str::to_owned).to_vec()
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
    fn a_prefix_is_in_if_it_is_a_number_of_whole_words() {
        for period in [4, 6] {
            let word: Vec<Symbol> = [0, 1].repeat(period as usize / 2);
            prefixes_are(&alternating(period), 10, |x| {
                let mut rest = x;
                while let Some(shorter) = rest.strip_prefix(word.as_slice()) {
                    rest = shorter;
                }
                Symbol::from(rest.is_empty())
            });
        }
    }

    #[test]
    fn the_one_string_of_a_length_alternates_and_is_in_at_every_period() {
        let problem = alternating(4);
        let x = problem.sample(9, &mut Rng::seed_from_u64(0));
        assert_eq!(x, [0, 1, 0, 1, 0, 1, 0, 1, 0]);
        let labels = PrefixLabels::Classes(vec![0, 0, 0, 1, 0, 0, 0, 1, 0]);
        assert_eq!(problem.prefix_labels(&x), Some(labels));
    }

    #[test]
    fn the_label_is_the_language() {
        assert_eq!(alternating(4).label(), "(abab)*");
        assert_eq!(alternating(20).label(), "((ab)^10)*");
    }
}
