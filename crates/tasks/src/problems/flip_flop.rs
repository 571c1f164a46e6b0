//! Flip-flop: what was written last, however long ago. Example of {0,1,2}*02*: 1 0 2 2 0 → no no yes yes no.
//!
//! Two languages go by this name, and their scores are not comparable:
//!
//! - Over 0, 1 and 2 the 2 keeps what was written and 0 and 1 overwrite it: {0,1,2}*02* are the strings whose last
//!   symbol but 2 is 0. Huang et al. publish numbers for it; their code says that the word may end after a 2 whose
//!   last 0 or 1 is a 0, and never after a 0 itself, although it does end a word there. This is {0,1,2}*02*2.
//! - Liu et al. write instructions, each before a bit: `w` writes the bit, `i` has it ignored, and after `r` it is the
//!   bit that was written last, which is what is asked.

mod instructions;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use self::instructions::Instructions;
use crate::automaton::{Automaton, LanguageLabels};
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{numerals, symbols};
use crate::{PrefixLabels, Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Which flip-flop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Words of {0,1,2}*02*, labelled as the code of Huang et al. does.
    Published,
    /// The same words; whether a prefix is one.
    Membership,
    /// The instructions of Liu et al.
    Instructions,
}

/// Options of `flip_flop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which flip-flop: `published` (the default), `membership` or `instructions`.
    pub variant: Variant,
    /// With `instructions`, the share of instructions that are `i`, from 0 to below 1 (default 0.8); the others are
    /// `w` or `r` alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Config { variant: Variant::Published, ignore: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "flip_flop",
        title: "Flip-flop",
        class: Class::Recall,
        protocols: &[Protocol::Prefix],
        definition: "`published` and `membership`: a word of {0,1,2}*02* whose last 0 is at a uniform place, with \
                     independent uniform symbols before it and 2s after it → for every prefix, published: whether it \
                     ends in a 2 and its last symbol but 2 is 0; membership: whether its last symbol but 2 is 0. (Huang \
                     et al. draw the place by a law that depends on the bin's end, nearly uniform for short strings.) \
                     `instructions`: pairs of an instruction and a bit, the first w, the last r, between them i with \
                     probability `ignore`, else w or r; bits are fair but after r, where the bit is the one after the \
                     last w → at every r that bit; no other label.",
        expected: "Attention glitches: one read far from its write is averaged with what lies between. Published, \
                   learned with random offsets 99.7/24.4/1.2 % of whole strings (of 2 to 50, 100 and 150 symbols), no encoding \
                   18.2/11.2/0.",
        source: "{0,1,2}*02*: Bhattamishra et al. 2020 (arXiv 2009.11264), Huang et al. 2024 (arXiv 2410.02140), code; \
                 instructions: Liu et al. 2023 (arXiv 2306.00946)",
        example: "kind = \"flip_flop\"\nprotocol = \"prefix\"\nvariant = \"instructions\"\nignore = 0.8\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        let refused = |found: f64, expected: &str, remedy: &str| TaskError::Config {
            kind: "flip_flop",
            field: "ignore",
            found: found.to_string(),
            expected: expected.to_owned(),
            remedy: remedy.to_owned(),
        };
        match (self.variant, self.ignore) {
            (Variant::Instructions, ignore) => {
                let ignore = ignore.unwrap_or(0.8);
                if !(0.0..1.0).contains(&ignore) {
                    return Err(refused(ignore, "0 to below 1", "set ignore within that range"));
                }
                Ok(setting.pose(Instructions { ignore }))
            }
            (_, Some(ignore)) => Err(refused(
                ignore,
                "none but with `instructions`",
                "remove it or set variant = \"instructions\"",
            )),
            (variant, None) => Ok(setting.pose(Suffix::new(variant == Variant::Published))),
        }
    }
}

/// {0,1,2}*02*, published or by membership.
struct Suffix {
    published: bool,
    automaton: Automaton,
}

impl Suffix {
    fn new(published: bool) -> Self {
        // Whether the last symbol but 2 is 0, and whether the last symbol is 2.
        let step = |(zero, _): &(bool, bool), symbol: Symbol| match symbol {
            2 => (*zero, true),
            symbol => (symbol == 0, false),
        };
        let accepts = |(zero, two): &(bool, bool)| *zero && (*two || !published);
        Suffix { published, automaton: Automaton::new(3, (false, false), step, accepts) }
    }
}

impl Problem for Suffix {
    fn label(&self) -> String {
        if self.published { "flip-flop {0,1,2}*02*" } else { "flip-flop {0,1,2}*02* (membership)" }.into()
    }

    fn alphabet(&self) -> Vec<String> {
        numerals(3)
    }

    fn answers(&self) -> Vec<String> {
        if self.published { ["no end", "end"] } else { ["out", "in"] }.map(str::to_owned).into()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let place = rng.random_range(0..length.max(1) as u64) as usize;
        let mut x = symbols(place, 3, rng);
        x.push(0);
        x.resize(length, 2);
        x
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

    fn is_word(x: &[Symbol]) -> bool {
        x.iter().rfind(|symbol| **symbol != 2) == Some(&0)
    }

    #[test]
    fn every_short_string_is_labelled_by_what_was_written_last() {
        prefixes_are(&Suffix::new(false), 8, |x| Symbol::from(is_word(x)));
        prefixes_are(&Suffix::new(true), 8, |x| Symbol::from(is_word(x) && x.ends_with(&[2])));
    }

    #[test]
    fn strings_are_words_whose_last_zero_is_at_any_place_alike() {
        let mut rng = Rng::seed_from_u64(4);
        let (mut places, mut first) = ([0usize; 6], [0usize; 3]);
        for _ in 0..6000 {
            let x = Suffix::new(true).sample(6, &mut rng);
            assert!(x.len() == 6 && is_word(&x));
            let place = x.iter().rposition(|symbol| *symbol == 0).unwrap_or(9);
            places[place] += 1;
            if place == 5 {
                first[x[0] as usize] += 1;
            }
        }
        assert!(places.iter().all(|count| count.abs_diff(1000) < 150), "{places:?}");
        assert!(first.iter().all(|count| count.abs_diff(333) < 90), "{first:?}");
    }
}
