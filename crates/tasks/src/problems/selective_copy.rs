//! Selective copy: the input without its blanks. Example: 3 _ _ 7 1 _ → 3 7 1.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{numerals, places, symbols};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `selective_copy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of symbols besides the blank, 2 to 10000 (default 15).
    pub symbols: u32,
    /// How many symbols of a string are not blank, 1 to 1000000, at every length; by default half of them (rounded up).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Config { symbols: 15, content: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "selective_copy",
        title: "Selective copy",
        class: Class::Order,
        protocols: &[Protocol::Language, Protocol::Encoder],
        definition: "x of n symbols, blank but for `content` of them (by default ⌈n/2⌉) at uniformly random places, \
                     those independent and uniform → the symbols that are not blank, in their order. n counts the \
                     blanks. With content = 128, n = 256 has the same number of blanks as the published training \
                     strings, n = 192 and 384 those of the denser (64) and the sparser (256) test.",
        expected: "Encodings that count places fail when the share of blanks changes; what has to be counted is the \
                   symbols that are not blank.",
        source: "Gu and Dao 2023 (arXiv 2312.00752); the numbers of blanks: Golovneva et al. 2024 (arXiv 2405.18719). \
                 15 symbols and a blank are this project's choice",
        example: "kind = \"selective_copy\"\nprotocol = \"language\"\nsymbols = 15\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("selective_copy", "symbols", self.symbols, 2..=10_000)?;
        if let Some(content) = self.content {
            in_range("selective_copy", "content", content, 1..=1_000_000)?;
        }
        Ok(setting.pose(SelectiveCopy { symbols: self.symbols, content: self.content.map(|c| c as usize) }))
    }
}

/// The problem; the blank is the symbol after the others.
struct SelectiveCopy {
    symbols: u32,
    content: Option<usize>,
}

impl Problem for SelectiveCopy {
    fn label(&self) -> String {
        let content = self.content.map_or("half".to_owned(), |content| content.to_string());
        match self.symbols {
            15 => format!("selective copy ({content})"),
            k => format!("selective copy ({content}, {k} symbols)"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        let mut alphabet = numerals(self.symbols);
        alphabet.push("_".to_owned());
        alphabet
    }

    fn answers(&self) -> Vec<String> {
        numerals(self.symbols)
    }

    fn admits(&self, length: usize) -> bool {
        length >= self.content.unwrap_or(1)
    }

    fn lengths(&self) -> String {
        match self.content {
            Some(content) => format!("at least {content} (`task.selective_copy.content`)"),
            None => "at least 1".to_owned(),
        }
    }

    fn answer_len(&self, length: usize) -> usize {
        self.content.unwrap_or(length.div_ceil(2))
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let count = self.answer_len(length);
        let mut content = symbols(count, self.symbols, rng).into_iter();
        let mut next = |filled: bool| if filled { content.next() } else { None };
        places(length, count, rng).into_iter().map(|filled| next(filled).unwrap_or(self.symbols)).collect()
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(x.iter().copied().filter(|symbol| *symbol != self.symbols).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    #[test]
    fn every_short_string_comes_out_as_what_is_left_when_blanks_are_taken_out() {
        let problem = SelectiveCopy { symbols: 2, content: None };
        for x in (1..=8).flat_map(|length| strings(3, length)) {
            let mut rest = x.clone();
            while let Some(blank) = rest.iter().position(|symbol| *symbol == 2) {
                rest.remove(blank);
            }
            assert_eq!(problem.answer(&x).unwrap(), rest, "{x:?}");
        }
    }

    #[test]
    fn every_string_with_its_number_of_blanks_is_equally_likely() {
        for (content, length) in [(None, 4), (None, 5), (Some(1), 4), (Some(3), 3)] {
            let problem = SelectiveCopy { symbols: 2, content };
            let count = problem.answer_len(length);
            let mut expected = strings(3, length);
            expected.retain(|x| problem.answer(x).unwrap().len() == count);
            let mut rng = Rng::seed_from_u64(6);
            let mut seen = BTreeMap::new();
            for _ in 0..400 * expected.len() {
                *seen.entry(problem.sample(length, &mut rng)).or_insert(0u32) += 1;
            }
            assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), expected);
            assert!(seen.values().all(|count| count.abs_diff(400) < 100), "{seen:?}");
        }
    }

    #[test]
    fn the_published_numbers_of_blanks_are_lengths_with_a_content_of_128() {
        let problem = SelectiveCopy { symbols: 15, content: Some(128) };
        let mut rng = Rng::seed_from_u64(7);
        for (length, blanks) in [(256, 128), (192, 64), (384, 256)] {
            let x = problem.sample(length, &mut rng);
            assert_eq!(x.len(), length);
            assert_eq!(x.iter().filter(|symbol| **symbol == 15).count(), blanks);
        }
        assert!(problem.admits(128) && !problem.admits(127));
    }
}
