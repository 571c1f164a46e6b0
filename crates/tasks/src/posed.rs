//! A problem under a protocol: which tokens a model sees, and where its labels are.
//!
//! With x of n symbols and y of m, `[…]` optional:
//!
//! | protocol | tokens | labels |
//! |---|---|---|
//! | encoder | `[<bos>] x₁…xₙ <empty>…<empty>` (m empties) | y at the empty positions, classes are answers |
//! | language | `<bos> x₁…xₙ <sep> y₁…yₘ` | at `<sep>` y₁, at yⱼ yⱼ₊₁, at yₘ `<eos>`; classes are tokens |
//! | prefix | `[<bos>] x₁…xₙ` | at xᵢ the class (or the set) of x₁…xᵢ; none at `<bos>` |
//!
//! `<eos>` is a label and never fed. Under the protocol language an answer symbol and an input symbol of the same
//! printed name are the same token, so that copying is copying.

use crate::{Batch, IGNORE, Labels, PrefixLabels, Problem, Protocol, Rng, Split, Task, TaskError};

/// The longest string of any problem; beyond it a batch would exhaust memory and not say why.
const LONGEST: usize = 1 << 24;

/// A [`Problem`] put to a model by a [`Protocol`].
pub struct Posed {
    problem: Box<dyn Problem>,
    protocol: Protocol,
    bos: bool,
    vocabulary: Vec<String>,
    /// Names of the outputs where they are not the vocabulary.
    classes: Option<Vec<String>>,
    /// The token of each answer symbol; under the protocols encoder and prefix its class.
    answer_ids: Vec<u32>,
    special: Special,
}

/// Token ids that no symbol has; those that the protocol lacks are never used.
#[derive(Clone, Copy, Default)]
struct Special {
    bos: u32,
    sep: u32,
    eos: u32,
    empty: u32,
}

impl Posed {
    /// Puts a problem by a protocol it supports. `bos` is ignored by the protocol language, which always has one.
    pub fn new(problem: Box<dyn Problem>, protocol: Protocol, bos: bool) -> Self {
        let mut vocabulary = problem.alphabet();
        let answers = problem.answers();
        let own: Vec<u32> = (0..answers.len() as u32).collect();
        let bos = bos || protocol == Protocol::Language;
        let answer_ids = match protocol {
            Protocol::Language => answers.iter().map(|name| find_or_push(&mut vocabulary, name)).collect(),
            Protocol::Encoder | Protocol::Prefix => own,
        };
        let mut special = Special::default();
        if bos {
            special.bos = find_or_push(&mut vocabulary, "<bos>");
        }
        let classes = match protocol {
            Protocol::Language => {
                special.sep = find_or_push(&mut vocabulary, "<sep>");
                special.eos = find_or_push(&mut vocabulary, "<eos>");
                None
            }
            Protocol::Encoder => {
                special.empty = find_or_push(&mut vocabulary, "<empty>");
                Some(answers)
            }
            Protocol::Prefix => Some(answers),
        };
        Posed { problem, protocol, bos, vocabulary, classes, answer_ids, special }
    }

    /// The problem.
    pub fn problem(&self) -> &dyn Problem {
        self.problem.as_ref()
    }

    /// The protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The answer's tokens (protocol language) or classes.
    fn answer(&self, x: &[u32]) -> Result<Vec<u32>, TaskError> {
        let mut y = self.problem.answer(x).ok_or_else(|| self.broken("gives no answer"))?;
        if y.len() != self.problem.answer_len(x.len()) {
            return Err(self.broken("gives an answer of another length than `answer_len`"));
        }
        for symbol in &mut y {
            let id = self.answer_ids.get(*symbol as usize);
            *symbol = *id.ok_or_else(|| self.broken("gives an answer outside `answers`"))?;
        }
        Ok(y)
    }

    fn prefix_labels(&self, x: &[u32]) -> Result<PrefixLabels, TaskError> {
        let labels = self.problem.prefix_labels(x);
        let labels = labels.ok_or_else(|| self.broken("gives no labels of prefixes"))?;
        let sets = self.problem.labels_are_sets();
        let fits = match &labels {
            PrefixLabels::Classes(classes) => !sets && classes.len() == x.len(),
            PrefixLabels::Sets(members) => sets && members.len() == x.len() * self.outputs(),
        };
        if fits {
            Ok(labels)
        } else {
            Err(self.broken("gives labels of prefixes in another form or number than it promises"))
        }
    }

    fn broken(&self, how: &'static str) -> TaskError {
        TaskError::Broken { task: self.label(), how }
    }

    fn encoder(&self, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError> {
        let len = self.token_len(length);
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = vec![IGNORE; rows * len];
        for row in 0..rows {
            let x = self.problem.sample(length, rng);
            let y = self.answer(&x)?;
            tokens.extend(self.bos.then_some(self.special.bos));
            tokens.extend_from_slice(&x);
            tokens.resize((row + 1) * len, self.special.empty);
            let end = (row + 1) * len;
            for (class, symbol) in classes[end - y.len()..end].iter_mut().zip(&y) {
                *class = *symbol;
            }
        }
        Ok(Batch { rows, len, tokens, labels: Labels::Classes(classes) })
    }

    fn language(&self, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError> {
        let len = self.token_len(length);
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = Vec::with_capacity(rows * len);
        for _ in 0..rows {
            let x = self.problem.sample(length, rng);
            let y = self.answer(&x)?;
            tokens.push(self.special.bos);
            tokens.extend_from_slice(&x);
            tokens.push(self.special.sep);
            let first = tokens.len();
            tokens.extend_from_slice(&y);
            // The labels are the tokens one place on, from <sep> to the end.
            classes.resize(classes.len() + 1 + x.len(), IGNORE);
            classes.extend_from_slice(&tokens[first..]);
            classes.push(self.special.eos);
        }
        Ok(Batch { rows, len, tokens, labels: Labels::Classes(classes) })
    }

    fn prefix(&self, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError> {
        let len = self.token_len(length);
        let outputs = self.outputs();
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = Vec::new();
        let mut values = Vec::new();
        let mut mask = Vec::new();
        for _ in 0..rows {
            let x = self.problem.sample(length, rng);
            tokens.extend(self.bos.then_some(self.special.bos));
            tokens.extend_from_slice(&x);
            match self.prefix_labels(&x)? {
                PrefixLabels::Classes(of_prefix) => {
                    classes.extend(self.bos.then_some(IGNORE));
                    classes.extend_from_slice(&of_prefix);
                }
                PrefixLabels::Sets(members) => {
                    if self.bos {
                        values.resize(values.len() + outputs, 0.0);
                        mask.push(0.0);
                    }
                    values.extend(members.iter().map(|m| f32::from(u8::from(*m))));
                    mask.resize(mask.len() + x.len(), 1.0);
                }
            }
        }
        let labels = if self.problem.labels_are_sets() {
            Labels::Sets { classes: outputs, values, mask }
        } else {
            Labels::Classes(classes)
        };
        Ok(Batch { rows, len, tokens, labels })
    }
}

impl Task for Posed {
    fn label(&self) -> String {
        self.problem.label()
    }

    fn setting(&self) -> String {
        let bos = if self.bos { "" } else { ", no bos" };
        format!("{}{bos}", self.protocol)
    }

    fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    fn output_names(&self) -> &[String] {
        self.classes.as_deref().unwrap_or(&self.vocabulary)
    }

    fn labels_are_sets(&self) -> bool {
        self.protocol == Protocol::Prefix && self.problem.labels_are_sets()
    }

    fn causal(&self) -> bool {
        self.protocol != Protocol::Encoder
    }

    fn has_answer(&self) -> bool {
        true
    }

    fn max_length(&self) -> Option<usize> {
        self.problem.max_length()
    }

    fn admits(&self, length: usize) -> bool {
        length <= LONGEST && self.problem.admits(length)
    }

    fn token_len(&self, length: usize) -> usize {
        let answer = self.problem.answer_len(length);
        let around = match self.protocol {
            Protocol::Encoder => answer.saturating_add(usize::from(self.bos)),
            Protocol::Language => answer.saturating_add(2),
            Protocol::Prefix => usize::from(self.bos),
        };
        length.saturating_add(around)
    }

    fn batch(&self, _split: Split, rows: usize, length: usize, rng: &mut Rng) -> Result<Batch, TaskError> {
        if !self.admits(length) {
            let (task, lengths) = (self.label(), self.problem.lengths());
            let expected = format!("{lengths}, and at most {LONGEST}");
            return Err(TaskError::Length { task, length, expected });
        }
        match self.protocol {
            Protocol::Encoder => self.encoder(rows, length, rng),
            Protocol::Language => self.language(rows, length, rng),
            Protocol::Prefix => self.prefix(rows, length, rng),
        }
    }
}

fn find_or_push(names: &mut Vec<String>, name: &str) -> u32 {
    let at = names.iter().position(|n| n == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    });
    at as u32
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

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
                _ => None,
            }
        }
        fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
            (self.0 != "silent").then(|| PrefixLabels::Sets(vec![true; 4 * x.len()]))
        }
    }

    #[test]
    fn a_problem_that_breaks_its_promises_is_an_error_and_no_panic() {
        for liar in ["long", "outside", "silent"] {
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
}
