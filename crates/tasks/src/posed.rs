//! A problem under a protocol: which tokens a model sees, and where its labels are.
//!
//! With x of n symbols and y of k ≤ m, where m is the longest answer at length n, `[…]` optional:
//!
//! | protocol | tokens | labels |
//! |---|---|---|
//! | encoder | `[<bos>] x₁…xₙ <empty>…<empty>` (m empties) | y at the first k empties, classes are answers |
//! | language | `<bos> x₁…xₙ <sep> y₁…yₖ <eos>…<eos>` (m − k) | at `<sep>` y₁, at yⱼ yⱼ₊₁, at yₖ `<eos>`; classes are tokens |
//! | prefix | `[<bos>] x₁…xₙ` | at xᵢ the class (or the set) of x₁…xᵢ, if it has one; none at `<bos>` |
//!
//! `<eos>` is a label, and fed only to fill the row after an answer shorter than the longest. Under the protocol language an answer symbol and an input symbol of the same
//! printed name are the same token, so that copying is copying.

use rand::seq::SliceRandom;

use crate::{
    Batch, IGNORE, Labelling, Labels, PrefixLabels, Problem, Protocol, Rng, Split, Symbol, Task, TaskError,
};

/// The longest string of any problem; beyond it a batch would exhaust memory and not say why.
pub(crate) const LONGEST: usize = 1 << 24;

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

    /// The answer's tokens (protocol language) or classes: at least one, at most `answer_len`.
    fn answer(&self, x: &[u32]) -> Result<Vec<u32>, TaskError> {
        let mut y = self.problem.answer(x).ok_or_else(|| self.broken("gives no answer"))?;
        if y.is_empty() || y.len() > self.problem.answer_len(x.len()) {
            return Err(self.broken("gives an empty answer or a longer one than `answer_len`"));
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
        if !fits {
            return Err(self.broken("gives labels of prefixes in another form or number than it promises"));
        }
        if let PrefixLabels::Classes(classes) = &labels {
            if classes.iter().any(|class| *class != IGNORE && *class as usize >= self.outputs()) {
                return Err(self.broken("gives a prefix a class outside `answers`"));
            }
            if classes.iter().all(|class| *class == IGNORE) {
                return Err(self.broken("labels no prefix of a string"));
            }
        }
        Ok(labels)
    }

    fn broken(&self, how: &'static str) -> TaskError {
        TaskError::Broken { task: self.label(), how }
    }

    fn draw(&self, split: Split, length: usize, labelling: Labelling, rng: &mut Rng) -> Drawn {
        let sample = |rng: &mut Rng| match split {
            Split::Train => self.problem.sample(length, rng),
            Split::Test => self.problem.sample_test(length, rng),
        };
        let mut shown = sample(rng);
        let labelled = match labelling {
            Labelling::True => None,
            Labelling::Shuffled => Some(sample(rng)),
            Labelling::Permuted => {
                let own = shown.clone();
                shown.shuffle(rng);
                Some(own)
            }
        };
        Drawn { shown, labelled }
    }

    fn encoder(
        &self,
        drawn: impl Iterator<Item = Drawn>,
        rows: usize,
        len: usize,
    ) -> Result<Batch, TaskError> {
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = Vec::with_capacity(rows * len);
        for (end, x) in (1..).map(|row| row * len).zip(drawn) {
            let y = self.answer(x.labelled())?;
            tokens.extend(self.bos.then_some(self.special.bos));
            tokens.extend_from_slice(&x.shown);
            classes.resize(tokens.len(), IGNORE);
            tokens.resize(end, self.special.empty);
            classes.extend_from_slice(&y);
            classes.resize(end, IGNORE);
        }
        Ok(Batch { rows, len, tokens, labels: Labels::Classes(classes) })
    }

    fn language(
        &self,
        drawn: impl Iterator<Item = Drawn>,
        rows: usize,
        len: usize,
    ) -> Result<Batch, TaskError> {
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = Vec::with_capacity(rows * len);
        for (end, x) in (1..).map(|row| row * len).zip(drawn) {
            let y = self.answer(x.labelled())?;
            tokens.push(self.special.bos);
            tokens.extend_from_slice(&x.shown);
            // The labels are the tokens one place on, from <sep> to the end.
            classes.resize(tokens.len(), IGNORE);
            tokens.push(self.special.sep);
            tokens.extend_from_slice(&y);
            classes.extend_from_slice(&y);
            classes.push(self.special.eos);
            tokens.resize(end, self.special.eos);
            classes.resize(end, IGNORE);
        }
        Ok(Batch { rows, len, tokens, labels: Labels::Classes(classes) })
    }

    fn prefix(
        &self,
        drawn: impl Iterator<Item = Drawn>,
        rows: usize,
        len: usize,
    ) -> Result<Batch, TaskError> {
        let outputs = self.outputs();
        let sets = self.problem.labels_are_sets();
        let mut tokens = Vec::with_capacity(rows * len);
        let mut classes = Vec::with_capacity(if sets { 0 } else { rows * len });
        let mut values = Vec::with_capacity(if sets { rows * len * outputs } else { 0 });
        let mut mask = Vec::with_capacity(if sets { rows * len } else { 0 });
        for x in drawn {
            tokens.extend(self.bos.then_some(self.special.bos));
            tokens.extend_from_slice(&x.shown);
            match self.prefix_labels(x.labelled())? {
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
                    mask.resize(mask.len() + x.shown.len(), 1.0);
                }
            }
        }
        let labels =
            if sets { Labels::Sets { classes: outputs, values, mask } } else { Labels::Classes(classes) };
        Ok(Batch { rows, len, tokens, labels })
    }
}

/// A string to show, and the one whose labels it carries if that is another.
struct Drawn {
    shown: Vec<Symbol>,
    labelled: Option<Vec<Symbol>>,
}

impl Drawn {
    fn labelled(&self) -> &[Symbol] {
        self.labelled.as_deref().unwrap_or(&self.shown)
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

    fn prefixes_alike(&self) -> bool {
        self.protocol == Protocol::Prefix && self.problem.prefixes_alike()
    }

    fn batch_as(
        &self,
        split: Split,
        rows: usize,
        length: usize,
        labelling: Labelling,
        rng: &mut Rng,
    ) -> Result<Batch, TaskError> {
        if !self.admits(length) {
            let (task, lengths) = (self.label(), self.problem.lengths());
            let expected = format!("{lengths}, and at most {LONGEST}");
            return Err(TaskError::Length { task, length, expected });
        }
        let drawn = (0..rows).map(|_| self.draw(split, length, labelling, rng));
        let len = self.token_len(length);
        match self.protocol {
            Protocol::Encoder => self.encoder(drawn, rows, len),
            Protocol::Language => self.language(drawn, rows, len),
            Protocol::Prefix => self.prefix(drawn, rows, len),
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
mod tests;
