//! What answers without thought earn: the floor that any score must be read against.
//!
//! The nominal 1/classes is often far below what a constant earns: on bucket sort the commonest symbol at each place
//! is right nine times in ten, and under the protocol language `<eos>` is certain from its place alone.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::{Batch, IGNORE, Labels, Rng, Split, Task, TaskError};

/// Accuracies in 0..=1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Of labels, as [`crate::Tally::token_accuracy`].
    pub token: f64,
    /// Of whole sequences, as [`crate::Tally::exact_match`].
    pub exact: f64,
}

/// The baselines of a task at one length. A label that is a set counts as one class: the whole set.
///
/// Where a guess meets what was not seen when it was fitted, it says what the guess before it would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// A uniform guess at every label among the classes that occurred (its expectation).
    pub uniform: Score,
    /// Always the commonest class.
    pub commonest: Score,
    /// At each position the class commonest there.
    pub by_position: Score,
    /// The class commonest after the current token: an automaton that remembers one symbol. Of a causal task the
    /// current token is that of the labelled position, so that in an answer it is the answer's symbol before; else,
    /// where labels lie on empty tokens, it is the last of the input.
    pub by_token: Score,
    /// The class commonest after the last two tokens, likewise.
    pub by_bigram: Score,
}

impl Baselines {
    /// The best of the first three, for each metric by itself.
    ///
    /// A class for each position that is never wrong is the task's solution and not a guess ((aa)\* and position mod k
    /// are functions of the position), so it is left out. So are the guesses by tokens, which read the input: what they
    /// earn is what a model earns that looks no further.
    pub fn best(&self) -> Score {
        let guess = if self.by_position.exact < 1.0 { self.by_position } else { Score::default() };
        [self.uniform, self.commonest, guess].iter().fold(Score::default(), |best, score| Score {
            token: best.token.max(score.token),
            exact: best.exact.max(score.exact),
        })
    }
}

/// Computes the baselines of a task at one length: fitted on `samples` sequences for training, scored on as many fresh
/// ones for test. Their standard error is at most 1/(2√samples).
pub fn baselines(
    task: &dyn Task,
    length: usize,
    samples: usize,
    rng: &mut Rng,
) -> Result<Baselines, TaskError> {
    let samples = samples.max(1);
    let mut classes = Classes::default();
    let mut counts: [Counts; 4] = Default::default();
    each_batch(task, Split::Train, length, samples, rng, |batch| {
        let labels = classes.of(batch);
        for (row, labels) in rows(batch, &labels) {
            let views = Views::of(task, row, labels);
            for (place, class) in labelled(labels) {
                for (counts, context) in counts.iter_mut().zip(views.at(place)) {
                    counts.add(context, class);
                }
            }
        }
    })?;

    // With no label at all (an empty fit) nothing is guessed and nothing is right.
    let chance = 1.0 / counts[0].classes().max(1) as f64;
    let guesses = counts.map(|counts| counts.commonest());
    let mut sum = Baselines::default();
    let (mut n_labels, mut sequences) = (0.0, 0.0);
    each_batch(task, Split::Test, length, samples, rng, |batch| {
        let labels = classes.of(batch);
        for (row, labels) in rows(batch, &labels) {
            let views = Views::of(task, row, labels);
            let mut right = [0u32; 4];
            let mut count = 0;
            for (place, class) in labelled(labels) {
                count += 1;
                let mut said = None;
                for ((guess, context), right) in guesses.iter().zip(views.at(place)).zip(&mut right) {
                    said = guess.get(&context).copied().or(said);
                    *right += u32::from(said == Some(class));
                }
            }
            if count == 0 {
                continue;
            }
            n_labels += f64::from(count);
            sequences += 1.0;
            sum.uniform.token += chance * f64::from(count);
            sum.uniform.exact += chance.powf(f64::from(count));
            for (score, right) in sum.fitted().into_iter().zip(right) {
                score.token += f64::from(right);
                score.exact += f64::from(u8::from(right == count));
            }
        }
    })?;
    let (n_labels, sequences) = (f64::max(n_labels, 1.0), f64::max(sequences, 1.0));
    let mean =
        |score: &mut Score| *score = Score { token: score.token / n_labels, exact: score.exact / sequences };
    mean(&mut sum.uniform);
    sum.fitted().into_iter().for_each(mean);
    Ok(sum)
}

impl Baselines {
    /// Those that are fitted, in the order of [`Views::at`].
    fn fitted(&mut self) -> [&mut Score; 4] {
        [&mut self.commonest, &mut self.by_position, &mut self.by_token, &mut self.by_bigram]
    }
}

/// What the guesses about a row may look at.
struct Views<'a> {
    row: &'a [u32],
    /// Where the input ends, if the labels lie after it.
    input_end: Option<usize>,
}

impl<'a> Views<'a> {
    fn of(task: &dyn Task, row: &'a [u32], labels: &[Option<u32>]) -> Self {
        let first = labels.iter().position(Option::is_some);
        Views { row, input_end: first.filter(|_| !task.causal()) }
    }

    /// Nothing, the place, the current token, the last two tokens.
    fn at(&self, place: usize) -> [u64; 4] {
        // Before the first token stands one that no task has.
        let token = |back: usize| {
            let end = self.input_end.unwrap_or(place + 1);
            let token = end.checked_sub(back).and_then(|at| self.row.get(at));
            u64::from(token.copied().unwrap_or(u32::MAX))
        };
        [0, place as u64, token(1), token(2) << 32 | token(1)]
    }
}

/// Tokens and labels of each row.
fn rows<'a>(
    batch: &'a Batch,
    labels: &'a [Option<u32>],
) -> impl Iterator<Item = (&'a [u32], &'a [Option<u32>])> {
    let len = batch.len.max(1);
    batch.tokens.chunks(len).zip(labels.chunks(len))
}

/// The places that have a class, and it.
fn labelled(labels: &[Option<u32>]) -> impl Iterator<Item = (usize, u32)> {
    labels.iter().enumerate().filter_map(|(place, class)| Some((place, (*class)?)))
}

/// How often each class occurred in each context.
#[derive(Default)]
struct Counts(HashMap<(u64, u32), u64>);

impl Counts {
    fn add(&mut self, context: u64, class: u32) {
        *self.0.entry((context, class)).or_insert(0) += 1;
    }

    /// The number of contexts with their classes.
    fn classes(&self) -> usize {
        self.0.len()
    }

    /// The commonest class of each context; of equals the smallest.
    fn commonest(&self) -> HashMap<u64, u32> {
        let mut best: HashMap<u64, (u64, u32)> = HashMap::new();
        for (&(context, class), &count) in &self.0 {
            let most = best.entry(context).or_insert((count, class));
            if count > most.0 || (count == most.0 && class < most.1) {
                *most = (count, class);
            }
        }
        best.into_iter().map(|(context, (_, class))| (context, class)).collect()
    }
}

/// Numbers sets in order of appearance, so that a set is a class.
#[derive(Default)]
struct Classes {
    sets: BTreeMap<Vec<bool>, u32>,
    /// The set looked up, to be used again.
    members: Vec<bool>,
}

impl Classes {
    /// (rows, len): the class of each labelled position.
    fn of(&mut self, batch: &Batch) -> Vec<Option<u32>> {
        match &batch.labels {
            Labels::Classes(classes) => {
                classes.iter().map(|class| (*class != IGNORE).then_some(*class)).collect()
            }
            Labels::Sets { classes, values, mask } => {
                let sets = values.chunks((*classes).max(1)).zip(mask);
                sets.map(|(set, mask)| (*mask != 0.0).then(|| self.number(set))).collect()
            }
        }
    }

    fn number(&mut self, set: &[f32]) -> u32 {
        let next = self.sets.len() as u32;
        self.members.clear();
        self.members.extend(set.iter().map(|member| *member != 0.0));
        if let Some(known) = self.sets.get(self.members.as_slice()) {
            return *known;
        }
        self.sets.insert(self.members.clone(), next);
        next
    }
}

/// Shows `samples` sequences to `see` in batches that stay small.
fn each_batch(
    task: &dyn Task,
    split: Split,
    length: usize,
    samples: usize,
    rng: &mut Rng,
    mut see: impl FnMut(&Batch),
) -> Result<(), TaskError> {
    let mut left = samples;
    while left > 0 {
        let rows = left.min(256);
        see(&task.batch(split, rows, length, rng)?);
        left -= rows;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
