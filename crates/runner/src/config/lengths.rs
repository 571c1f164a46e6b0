//! Ranges of problem lengths, written `[shortest, longest]`, both included.

use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Problem lengths from the first to the second, both included.
pub type Lengths = [usize; 2];

/// Far beyond any length that attention could be asked for, and near enough to walk through.
pub const LONGEST: usize = 1 << 20;

/// What is wrong with a range, if anything.
pub(crate) fn problem_with([shortest, longest]: Lengths) -> Option<String> {
    if shortest == 0 {
        Some(format!("[0, {longest}] begins at length 0; the shortest string has length 1"))
    } else if shortest > longest {
        Some(format!("[{shortest}, {longest}] is descending; write [{longest}, {shortest}]"))
    } else if longest > LONGEST {
        Some(format!("[{shortest}, {longest}] goes beyond the longest possible length, {LONGEST}"))
    } else {
        None
    }
}

/// A range as people read it.
pub(crate) fn shown([shortest, longest]: Lengths) -> String {
    if shortest == longest { shortest.to_string() } else { format!("{shortest}–{longest}") }
}

/// Reads one range.
pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lengths, D::Error> {
    Range::deserialize(deserializer).map(|range| range.0)
}

/// Reads a list of ranges.
pub(crate) fn read_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Lengths>, D::Error> {
    Vec::<Range>::deserialize(deserializer).map(|ranges| ranges.into_iter().map(|range| range.0).collect())
}

struct Range(Lengths);

// By hand: read into a pair, `[1, 2, 3]` would lose its 3 in silence (toml's lists stop when the pair is full).
impl<'de> Deserialize<'de> for Range {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;

        impl<'de> Visitor<'de> for Pair {
            type Value = Range;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list [shortest, longest]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Range, A::Error> {
                let wrong =
                    |n: usize| A::Error::custom(format!("a list [shortest, longest] has 2 items, not {n}"));
                let shortest = items.next_element()?.ok_or_else(|| wrong(0))?;
                let longest = items.next_element()?.ok_or_else(|| wrong(1))?;
                let mut count = 2;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                if count > 2 {
                    return Err(wrong(count));
                }
                match problem_with([shortest, longest]) {
                    Some(problem) => Err(A::Error::custom(problem)),
                    None => Ok(Range([shortest, longest])),
                }
            }
        }

        deserializer.deserialize_seq(Pair)
    }
}
