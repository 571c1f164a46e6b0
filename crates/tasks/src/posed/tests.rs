//! A problem under each protocol, token by token.
#![allow(clippy::unwrap_used)]
use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng};

use super::*;
use crate::Symbol;

/// x is always a b c …; y is x backwards; a prefix is labelled by its length less one.
struct Fixed;

impl Problem for Fixed {
    fn label(&self) -> String {
        "fixed".into()
    }
    fn alphabet(&self) -> Vec<String> {
        ["a", "b", "c"].map(str::to_owned).to_vec()
    }
    fn answers(&self) -> Vec<String> {
        ["c", "b", "a", "z"].map(str::to_owned).to_vec()
    }
    fn max_length(&self) -> Option<usize> {
        Some(3)
    }
    fn answer_len(&self, length: usize) -> usize {
        length
    }
    fn sample(&self, length: usize, _: &mut Rng) -> Vec<Symbol> {
        (0..length as u32).collect()
    }
    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(x.iter().rev().map(|s| 2 - s).collect())
    }
    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        Some(PrefixLabels::Classes((0..x.len() as u32).collect()))
    }
}

const NO: u32 = IGNORE;

fn posed(protocol: Protocol, bos: bool) -> (Posed, Batch) {
    let task = Posed::new(Box::new(Fixed), protocol, bos);
    let batch = task.batch(Split::Train, 2, 3, &mut Rng::seed_from_u64(0)).unwrap();
    assert_eq!(batch.len, task.token_len(3));
    assert_eq!(batch.tokens[..batch.len], batch.tokens[batch.len..]);
    (task, batch)
}

#[test]
fn encoder_labels_lie_on_the_empty_tokens_after_the_input() {
    let (task, batch) = posed(Protocol::Encoder, true);
    assert_eq!(task.vocabulary(), ["a", "b", "c", "<bos>", "<empty>"]);
    assert_eq!(task.output_names(), ["c", "b", "a", "z"]);
    assert!(!task.causal());
    assert_eq!(batch.tokens[..7], [3, 0, 1, 2, 4, 4, 4]);
    let row = [NO, NO, NO, NO, 0, 1, 2];
    assert_eq!(batch.labels, Labels::Classes([row, row].concat()));

    let (task, batch) = posed(Protocol::Encoder, false);
    assert_eq!(task.setting(), "encoder, no bos");
    assert_eq!(batch.tokens[..6], [0, 1, 2, 3, 3, 3]);
}

#[test]
fn language_labels_are_the_next_tokens_from_sep_to_eos_and_eos_is_not_fed() {
    let (task, batch) = posed(Protocol::Language, false);
    // The answers c, b, a are the input tokens of these names; z is new.
    assert_eq!(task.vocabulary(), ["a", "b", "c", "z", "<bos>", "<sep>", "<eos>"]);
    assert_eq!(task.outputs(), 7);
    assert!(task.causal());
    assert_eq!(batch.tokens[..8], [4, 0, 1, 2, 5, 2, 1, 0]);
    let row = [NO, NO, NO, NO, 2, 1, 0, 6];
    assert_eq!(batch.labels, Labels::Classes([row, row].concat()));
}

#[test]
fn prefix_labels_lie_on_the_last_symbol_of_the_prefix() {
    let (task, batch) = posed(Protocol::Prefix, true);
    assert_eq!(task.outputs(), 4);
    assert_eq!(batch.tokens[..4], [3, 0, 1, 2]);
    assert_eq!(batch.labels, Labels::Classes([[NO, 0, 1, 2], [NO, 0, 1, 2]].concat()));
    let (_, batch) = posed(Protocol::Prefix, false);
    assert_eq!(batch.tokens[..3], [0, 1, 2]);
    assert_eq!(batch.labels, Labels::Classes([[0, 1, 2], [0, 1, 2]].concat()));
}

#[test]
fn a_length_without_strings_is_an_error_that_says_which_there_are() {
    let task = Posed::new(Box::new(Fixed), Protocol::Prefix, true);
    for length in [0, 4, usize::MAX] {
        assert!(!task.admits(length));
        let mut rng = Rng::seed_from_u64(0);
        let error = task.batch(Split::Test, 1, length, &mut rng).unwrap_err().to_string();
        assert!(error.contains("fixed") && error.contains("1 to 3"), "{error}");
    }
}

/// A problem that breaks one promise.
struct Liar(&'static str);

impl Problem for Liar {
    fn label(&self) -> String {
        self.0.into()
    }
    fn alphabet(&self) -> Vec<String> {
        Fixed.alphabet()
    }
    fn answers(&self) -> Vec<String> {
        Fixed.answers()
    }
    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        Fixed.sample(length, rng)
    }
    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        match self.0 {
            "long" => Some(vec![0; x.len() + 1]),
            "outside" => Some(vec![4]),
            "empty" => Some(vec![]),
            _ => None,
        }
    }
    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        match self.0 {
            "outside" => Some(PrefixLabels::Classes(vec![4; x.len()])),
            "empty" => Some(PrefixLabels::Classes(vec![IGNORE; x.len()])),
            "long" => Some(PrefixLabels::Sets(vec![true; 4 * x.len()])),
            _ => None,
        }
    }
}

#[test]
fn a_problem_that_breaks_its_promises_is_an_error_and_no_panic() {
    for liar in ["long", "outside", "empty", "silent"] {
        for protocol in [Protocol::Encoder, Protocol::Language, Protocol::Prefix] {
            let task = Posed::new(Box::new(Liar(liar)), protocol, true);
            let result = task.batch(Split::Train, 1, 3, &mut Rng::seed_from_u64(0));
            assert!(matches!(result, Err(TaskError::Broken { .. })), "{liar}, {protocol}");
        }
    }
}

#[test]
fn prompts_are_printed_names_and_an_unknown_one_is_an_error() {
    let task = Posed::new(Box::new(Fixed), Protocol::Language, true);
    assert_eq!(task.encode("<bos> a c <sep>").unwrap(), [4, 0, 2, 5]);
    let error = task.encode("a q").unwrap_err().to_string();
    assert!(error.contains("`q`") && error.contains("a b c z"), "{error}");
}

/// Answers with as many symbols as the first symbol says, and labels only the last prefix.
struct Short;

impl Problem for Short {
    fn label(&self) -> String {
        "short".into()
    }
    fn alphabet(&self) -> Vec<String> {
        ["a", "b", "c", "d"].map(str::to_owned).to_vec()
    }
    fn answers(&self) -> Vec<String> {
        self.alphabet()
    }
    fn answer_len(&self, _length: usize) -> usize {
        3
    }
    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        (0..length).map(|_| rng.random_range(1..4)).collect()
    }
    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(vec![0; *x.first()? as usize])
    }
    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let mut classes = vec![IGNORE; x.len()];
        *classes.last_mut()? = *x.first()?;
        Some(PrefixLabels::Classes(classes))
    }
}

/// The rows of a batch of `Short` at length 2: tokens and classes.
fn short(protocol: Protocol) -> Vec<(Vec<u32>, Vec<u32>)> {
    let task = Posed::new(Box::new(Short), protocol, true);
    let batch = task.batch(Split::Train, 40, 2, &mut Rng::seed_from_u64(1)).unwrap();
    let Labels::Classes(classes) = batch.labels else { panic!("not classes") };
    let rows = batch.tokens.chunks(batch.len).zip(classes.chunks(batch.len));
    let rows: Vec<_> = rows.map(|(tokens, classes)| (tokens.to_vec(), classes.to_vec())).collect();
    assert_eq!(rows.len(), 40);
    for count in 1..4 {
        assert!(rows.iter().any(|(tokens, _)| tokens[1] == count), "no answer of {count}");
    }
    rows
}

#[test]
fn a_short_answer_leaves_the_last_empty_tokens_without_a_label() {
    for (tokens, classes) in short(Protocol::Encoder) {
        let count = tokens[1] as usize;
        let labels: Vec<u32> = (0..3).map(|i| if i < count { 0 } else { NO }).collect();
        assert_eq!(tokens[3..], [5, 5, 5]);
        assert_eq!(classes, [&[NO, NO, NO], labels.as_slice()].concat());
    }
}

#[test]
fn a_short_answer_is_followed_by_eos_tokens_without_a_label() {
    // a b c d <bos> <sep> <eos>
    for (tokens, classes) in short(Protocol::Language) {
        let count = tokens[1] as usize;
        let (fed, said) = ([vec![0; count], vec![6; 3 - count]].concat(), [vec![0; count], vec![6]].concat());
        assert_eq!(tokens, [&[4, tokens[1], tokens[2], 5], fed.as_slice()].concat());
        assert_eq!(classes, [vec![NO; 3], said, vec![NO; 3 - count]].concat());
    }
}

#[test]
fn a_prefix_may_be_without_a_label() {
    for (tokens, classes) in short(Protocol::Prefix) {
        assert_eq!(classes, [NO, NO, tokens[1]]);
    }
}

/// Bits at length 3, answered and labelled by themselves: what is shown and what is labelled can be compared.
struct Echo;

impl Problem for Echo {
    fn label(&self) -> String {
        "echo".into()
    }
    fn alphabet(&self) -> Vec<String> {
        ["0", "1"].map(str::to_owned).to_vec()
    }
    fn answers(&self) -> Vec<String> {
        self.alphabet()
    }
    fn answer_len(&self, length: usize) -> usize {
        length
    }
    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        (0..length).map(|_| rng.random_range(0..2)).collect()
    }
    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        Some(x.to_vec())
    }
    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        Some(PrefixLabels::Classes(x.to_vec()))
    }
    fn prefixes_alike(&self) -> bool {
        true
    }
}

/// What 2000 rows of `Echo` show, feed and say.
fn echo(protocol: Protocol, labelling: Labelling) -> Vec<[Vec<u32>; 3]> {
    let task = Posed::new(Box::new(Echo), protocol, true);
    let batch = task.batch_as(Split::Train, 2000, 3, labelling, &mut Rng::seed_from_u64(2)).unwrap();
    let Labels::Classes(classes) = batch.labels else { panic!("not classes") };
    let rows = batch.tokens.chunks(batch.len).zip(classes.chunks(batch.len));
    let said = |classes: &[u32]| classes.iter().copied().filter(|c| *c < 2).collect();
    rows.map(|(tokens, classes)| [tokens[1..4].to_vec(), tokens[4..].to_vec(), said(classes)]).collect()
}

const PROTOCOLS: [Protocol; 3] = [Protocol::Encoder, Protocol::Language, Protocol::Prefix];

#[test]
fn shuffled_labels_are_another_strings_and_so_is_the_answer_fed() {
    for protocol in PROTOCOLS {
        assert!(echo(protocol, Labelling::True).iter().all(|[shown, _, said]| shown == said));
        let rows = echo(protocol, Labelling::Shuffled);
        // Every pair of a string and a label is as likely: 2000/64 of each.
        let mut pairs = BTreeMap::new();
        for [shown, fed, said] in rows {
            if protocol == Protocol::Language {
                assert_eq!(fed, [&[3], said.as_slice()].concat());
            }
            *pairs.entry((shown, said)).or_insert(0u32) += 1;
        }
        assert_eq!(pairs.len(), 64, "{protocol}");
        assert!(pairs.values().all(|count| count.abs_diff(31) < 27), "{protocol}: {pairs:?}");
    }
}

#[test]
fn permuted_inputs_keep_their_symbols_their_labels_and_the_answer_fed() {
    for protocol in PROTOCOLS {
        let mut moved = 0;
        for [mut shown, fed, mut said] in echo(protocol, Labelling::Permuted) {
            if protocol == Protocol::Language {
                assert_eq!(fed, [&[3], said.as_slice()].concat());
            }
            moved += usize::from(shown != said);
            shown.sort_unstable();
            said.sort_unstable();
            assert_eq!(shown, said);
        }
        // Three in four strings have two kinds of symbols, and two of their three arrangements are others.
        assert!(moved.abs_diff(1000) < 100, "{protocol}: {moved}");
    }
}

#[test]
fn lengths_are_scored_in_one_pass_only_where_prefixes_are_labelled() {
    for protocol in PROTOCOLS {
        let alike = |problem: Box<dyn Problem>| Posed::new(problem, protocol, true).prefixes_alike();
        assert_eq!(alike(Box::new(Echo)), protocol == Protocol::Prefix);
        assert!(!alike(Box::new(Fixed)));
    }
}
