//! Bigram-Backcopy: a Markov chain over characters in which some of them have what stood before them copied after them.
//! Example with the trigger t: a t a n t n.
//!
//! Copying needs attention only at triggers; everywhere else the current character says all there is to know, and a head
//! that copies must look at something it does not need. Where a trained head looks then is the smallest known case of an
//! attention sink.
//!
//! A next character by the text's bigrams is the character after a random occurrence of the current one; the text's end
//! is followed by its beginning, so that every character has a next.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::in_range;
use crate::posed::LONGEST;
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Batch, Labelling, Labels, Parts, Protocol, Rng, Split, Symbol, Task, TaskError};

/// Chapters 1 to 12 of Pride and Prejudice (Austen 1813, in the public domain).
const TEXT: &str = include_str!("../../../../configs/data/pride_and_prejudice.txt");

/// Options of `bigram_backcopy`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of triggers, the most frequent characters, 0 to 20 (default 3).
    pub triggers: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { triggers: 3 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "bigram_backcopy",
        title: "Bigram-Backcopy",
        class: Class::Text,
        protocols: &[Protocol::Language],
        definition: "Characters z₁z₂… after <bos>: z₁ by the unigrams of a text without the triggers, its `triggers` most \
                     frequent characters; then z_{t+1} = z_{t−1} if z_t is a trigger, else by the bigrams P(·|z_t) of the \
                     text → at every position the next character. Scored apart: `copy`, the labels after a trigger, which \
                     are certain, and `markov`, the others, each beside the least loss there is. The length counts <bos>; \
                     `bos = false` leaves it out. The text: Pride and Prejudice, chapters 1 to 12.",
        expected: "A softmax head that copies at triggers looks at <bos> elsewhere, whose value it drains: a sink and \
                   dormant rows. ReLU in place of softmax, or SGD in place of Adam, is reported to remove the sink.",
        source: "Guo et al. 2024 (arXiv 2410.13835), who take Shakespeare's characters, 3 triggers and length 256",
        example: "kind = \"bigram_backcopy\"\nprotocol = \"language\"\ntriggers = 3\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("bigram_backcopy", "triggers", self.triggers, 0..=20)?;
        Ok(Box::new(Backcopy::new(TEXT, self.triggers as usize, setting.bos)))
    }
}

/// The chain.
struct Backcopy {
    /// Printed names of the characters, and of `<bos>` after them if sequences begin with it.
    vocabulary: Vec<String>,
    characters: Vec<char>,
    is_trigger: Vec<bool>,
    /// The text without triggers.
    starts: Vec<Symbol>,
    /// What follows each character in the text, once for each occurrence.
    successors: Vec<Vec<Symbol>>,
    bos: bool,
}

/// How often `symbol` is drawn from `from`, as −ln of its share.
fn nats(from: &[Symbol], symbol: Symbol) -> f64 {
    let count = from.iter().filter(|s| **s == symbol).count();
    (from.len() as f64 / count as f64).ln()
}

impl Backcopy {
    /// `text` has more than `triggers` different characters.
    fn new(text: &str, triggers: usize, bos: bool) -> Self {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        let symbol = |c| characters.binary_search(&c).unwrap_or_default() as Symbol;
        let text: Vec<Symbol> = text.chars().map(symbol).collect();
        let mut successors = vec![Vec::new(); characters.len()];
        for (now, next) in text.iter().zip(text.iter().cycle().skip(1)) {
            successors[*now as usize].push(*next);
        }
        let mut by_count: Vec<usize> = (0..characters.len()).collect();
        by_count.sort_by_key(|s| std::cmp::Reverse(successors[*s].len()));
        let mut is_trigger = vec![false; characters.len()];
        by_count.iter().take(triggers).for_each(|s| is_trigger[*s] = true);
        let starts = text.into_iter().filter(|s| !is_trigger[*s as usize]).collect();
        let name = |c: &char| match c {
            ' ' => "␣".to_owned(),
            c => c.escape_default().to_string().replace("\\'", "'").replace("\\\"", "\""),
        };
        let mut vocabulary: Vec<String> = characters.iter().map(name).collect();
        vocabulary.extend(bos.then(|| "<bos>".to_owned()));
        Backcopy { vocabulary, characters, is_trigger, starts, successors, bos }
    }

    /// A string of the chain, without `<bos>`.
    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut pick = |from: &[Symbol]| from[rng.random_range(0..from.len() as u64) as usize];
        let mut z = Vec::with_capacity(length);
        while z.len() < length {
            z.push(match z[..] {
                [] => pick(&self.starts),
                // The first character is no trigger, so something stands before every one.
                [.., before, now] if self.is_trigger[now as usize] => before,
                [.., now] => pick(&self.successors[now as usize]),
            });
        }
        z
    }
}

impl Task for Backcopy {
    fn label(&self) -> String {
        format!("bigram-backcopy ({} triggers)", self.is_trigger.iter().filter(|is| **is).count())
    }

    fn setting(&self) -> String {
        let bos = if self.bos { "" } else { ", no bos" };
        format!("next token{bos}")
    }

    fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    fn output_names(&self) -> &[String] {
        &self.vocabulary
    }

    fn labels_are_sets(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        true
    }

    fn has_answer(&self) -> bool {
        false
    }

    fn max_length(&self) -> Option<usize> {
        None
    }

    fn admits(&self, length: usize) -> bool {
        (1..=LONGEST).contains(&length)
    }

    fn token_len(&self, length: usize) -> usize {
        length
    }

    fn batch_as(
        &self,
        _: Split,
        rows: usize,
        length: usize,
        labelling: Labelling,
        rng: &mut Rng,
    ) -> Result<Batch, TaskError> {
        if labelling != Labelling::True {
            return Err(TaskError::Labelling { task: self.label(), found: labelling });
        }
        if !self.admits(length) {
            let expected = format!("1 to {LONGEST}");
            return Err(TaskError::Length { task: self.label(), length, expected });
        }
        let (mut tokens, mut classes) =
            (Vec::with_capacity(rows * length), Vec::with_capacity(rows * length));
        let bos = self.bos.then_some(self.characters.len() as Symbol);
        for _ in 0..rows {
            let z = self.sample(length + usize::from(!self.bos), rng);
            tokens.extend(bos);
            tokens.extend_from_slice(&z[..z.len() - 1]);
            classes.extend_from_slice(&z[z.len() - length..]);
        }
        Ok(Batch { rows, len: length, tokens, labels: Labels::Classes(classes) })
    }

    fn parts(&self, batch: &Batch) -> Option<Parts> {
        let Labels::Classes(classes) = &batch.labels else { return None };
        let copies = |token: Symbol| self.is_trigger.get(token as usize) == Some(&true);
        let table: Vec<Vec<f64>> = self
            .successors
            .iter()
            .chain([&self.starts])
            .map(|from| (0..self.characters.len() as Symbol).map(|s| nats(from, s)).collect())
            .collect();
        // <bos> is the symbol after the characters, as `starts` is the row after theirs.
        let least = |(token, class): (&Symbol, &Symbol)| match copies(*token) {
            true => 0.0,
            false => table
                .get(*token as usize)
                .and_then(|row| row.get(*class as usize))
                .copied()
                .unwrap_or(f64::NAN),
        };
        Some(Parts {
            names: &["markov", "copy"],
            part: batch.tokens.iter().map(|token| usize::from(copies(*token))).collect(),
            least: batch.tokens.iter().zip(classes).map(least).collect(),
        })
    }

    fn encode(&self, prompt: &str) -> Result<Vec<u32>, TaskError> {
        let id = |c: char| {
            self.characters.binary_search(&c).map(|id| id as u32).map_err(|_| TaskError::Prompt {
                task: self.label(),
                word: c.to_string(),
                tokens: self.characters.iter().collect(),
            })
        };
        prompt.chars().map(id).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;

    /// Of its characters a is the most frequent: 3 of 6.
    const SMALL: &str = "abacba";

    /// The probability of a string by the rule, read off the text by hand: b and c are begun with in 2 of 3 and 1 of 3
    /// cases; after b come a and a, after c comes b.
    fn slow(z: &[char]) -> f64 {
        let mut p = match z[0] {
            'b' => 2.0 / 3.0,
            'c' => 1.0 / 3.0,
            _ => 0.0,
        };
        for t in 1..z.len() {
            let follows = match z[t - 1] {
                'a' => t >= 2 && z[t] == z[t - 2],
                'b' => z[t] == 'a',
                _ => z[t] == 'b',
            };
            p *= f64::from(u8::from(follows));
        }
        p
    }

    /// The same for a text by counting its pairs, and the trigger given.
    fn counted(text: &str, trigger: char, z: &[char]) -> f64 {
        let text: Vec<char> = text.chars().collect();
        let pairs: Vec<[char; 2]> = (0..text.len()).map(|i| [text[i], text[(i + 1) % text.len()]]).collect();
        let others = text.iter().filter(|c| **c != trigger).count() as f64;
        let first = text.iter().filter(|c| **c == z[0] && z[0] != trigger).count() as f64 / others;
        (1..z.len()).fold(first, |p, t| {
            if z[t - 1] == trigger {
                return if t >= 2 && z[t] == z[t - 2] { p } else { 0.0 };
            }
            let of =
                |keep: &dyn Fn(&[char; 2]) -> bool| pairs.iter().filter(|pair| keep(pair)).count() as f64;
            p * of(&|pair| *pair == [z[t - 1], z[t]]) / of(&|pair| pair[0] == z[t - 1])
        })
    }

    #[test]
    fn every_string_is_drawn_as_often_as_the_rule_says() {
        for (text, trigger) in [(SMALL, 'a'), ("banana bandana", 'a'), ("to be or not to be", ' ')] {
            let chain = Backcopy::new(text, 1, false);
            let (draws, length) = (40_000, 5);
            let mut rng = Rng::seed_from_u64(3);
            let mut seen: BTreeMap<Vec<char>, f64> = BTreeMap::new();
            for _ in 0..draws {
                let z = chain.sample(length, &mut rng);
                *seen.entry(z.iter().map(|s| chain.characters[*s as usize]).collect()).or_default() += 1.0;
            }
            let mut covered = 0.0;
            for (z, count) in &seen {
                let p = counted(text, trigger, z);
                covered += p;
                let expected = p * f64::from(draws);
                assert!((count - expected).abs() < 5.0 * expected.sqrt() + 1.0, "{z:?}: {count}, {expected}");
                if text == SMALL {
                    assert!((slow(z) - p).abs() < 1e-12, "{z:?}");
                }
            }
            // What was drawn is nearly all there is.
            assert!(covered > 0.98 && covered < 1.0 + 1e-9, "{text}: {covered}");
        }
    }

    #[test]
    fn the_least_losses_of_a_sequence_are_minus_the_logarithm_of_its_probability() {
        let text = "banana bandana";
        let chain = Backcopy::new(text, 1, true);
        let batch = chain.batch(Split::Test, 200, 6, &mut Rng::seed_from_u64(4)).unwrap();
        let parts = chain.parts(&batch).unwrap();
        let Labels::Classes(classes) = &batch.labels else { panic!() };
        for row in 0..batch.rows {
            let span = row * batch.len..(row + 1) * batch.len;
            let z: Vec<char> = classes[span.clone()].iter().map(|s| chain.characters[*s as usize]).collect();
            let least: f64 = parts.least[span.clone()].iter().sum();
            assert!((least + counted(text, 'a', &z).ln()).abs() < 1e-12, "{z:?}");
            for (t, at) in span.enumerate() {
                let copied = t > 0 && z[t - 1] == 'a';
                assert_eq!(parts.names[parts.part[at]], if copied { "copy" } else { "markov" });
                assert!(!copied || parts.least[at] == 0.0);
            }
        }
    }

    #[test]
    fn the_bundled_text_has_its_three_triggers_and_no_two_of_them_meet() {
        let chain = Backcopy::new(TEXT, 3, true);
        let triggers: String =
            chain.characters.iter().zip(&chain.is_trigger).filter(|(_, is)| **is).map(|(c, _)| c).collect();
        assert_eq!(triggers, " et");
        assert_eq!(chain.vocabulary.len(), 73);
        let batch = chain.batch(Split::Train, 50, 64, &mut Rng::seed_from_u64(5)).unwrap();
        let Labels::Classes(classes) = &batch.labels else { panic!() };
        let is_trigger = |s: &Symbol| chain.is_trigger.get(*s as usize) == Some(&true);
        for (tokens, classes) in batch.tokens.chunks(64).zip(classes.chunks(64)) {
            assert_eq!((tokens[0], &tokens[1..]), (72, &classes[..63]));
            assert!(!is_trigger(&tokens[1]) && tokens.windows(2).all(|pair| !pair.iter().all(is_trigger)));
            let copies = tokens.windows(3).filter(|three| is_trigger(&three[1]));
            assert!(copies.clone().count() > 5 && copies.into_iter().all(|three| three[0] == three[2]));
        }
        assert_eq!(chain.encode("to").unwrap().len(), 2);
        assert!(chain.encode("é").unwrap_err().to_string().contains('é'));
    }
}
