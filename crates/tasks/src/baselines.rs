//! What answers without thought earn: the floor that any score must be read against.
//!
//! The nominal 1/classes is often far below what a constant earns: on bucket sort the commonest symbol at each place
//! is right nine times in ten, and under the protocol language `<eos>` is certain from its place alone.

use std::collections::BTreeMap;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    /// A uniform guess at every label among the classes that occurred (its expectation).
    pub uniform: Score,
    /// Always the commonest class.
    pub commonest: Score,
    /// At each position the class commonest there.
    pub by_position: Score,
}

impl Baselines {
    /// The best of the three, for each metric by itself.
    ///
    /// A class for each position that is never wrong is the task's solution and not a guess ((aa)\* and position mod k
    /// are functions of the position), so it is left out.
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
    let mut overall = Counts::default();
    let mut places: Vec<Counts> = Vec::new();
    each_batch(task, Split::Train, length, samples, rng, |batch| {
        places.resize_with(batch.len, Counts::default);
        for row in classes.of(batch).chunks(batch.len.max(1)) {
            for (place, class) in places.iter_mut().zip(row) {
                if let Some(class) = *class {
                    place.add(class);
                    overall.add(class);
                }
            }
        }
    })?;

    let everywhere = overall.commonest();
    let by_place: Vec<Option<u32>> = places.iter().map(Counts::commonest).collect();
    // With no label at all (an empty fit) nothing is guessed and nothing is right.
    let chance = 1.0 / (overall.0.len().max(1) as f64);
    let mut sum = Baselines::default();
    let (mut labels, mut sequences) = (0.0, 0.0);
    each_batch(task, Split::Test, length, samples, rng, |batch| {
        for row in classes.of(batch).chunks(batch.len.max(1)) {
            let count = row.iter().flatten().count();
            if count == 0 {
                continue;
            }
            let right = |said: &dyn Fn(usize) -> Option<u32>| {
                let hit = |(place, class): &(usize, &Option<u32>)| class.is_some() && said(*place) == **class;
                row.iter().enumerate().filter(hit).count()
            };
            labels += count as f64;
            sequences += 1.0;
            sum.uniform.token += chance * count as f64;
            sum.uniform.exact += chance.powf(count as f64);
            let common = right(&|_| everywhere);
            sum.commonest.token += common as f64;
            sum.commonest.exact += f64::from(u8::from(common == count));
            let placed = right(&|place| by_place.get(place).copied().flatten());
            sum.by_position.token += placed as f64;
            sum.by_position.exact += f64::from(u8::from(placed == count));
        }
    })?;
    for score in [&mut sum.uniform, &mut sum.commonest, &mut sum.by_position] {
        score.token /= f64::max(labels, 1.0);
        score.exact /= f64::max(sequences, 1.0);
    }
    Ok(sum)
}

/// How often each class occurred.
#[derive(Default)]
struct Counts(BTreeMap<u32, u64>);

impl Counts {
    fn add(&mut self, class: u32) {
        *self.0.entry(class).or_insert(0) += 1;
    }

    /// The commonest class; of equals the smallest.
    fn commonest(&self) -> Option<u32> {
        let most = self.0.iter().rev().max_by_key(|(_, count)| **count);
        most.map(|(class, _)| *class)
    }
}

/// Numbers sets in order of appearance, so that a set is a class.
#[derive(Default)]
struct Classes {
    sets: BTreeMap<Vec<bool>, u32>,
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
        let members = set.iter().map(|member| *member != 0.0).collect();
        *self.sets.entry(members).or_insert(next)
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::{
        Ones, ProblemConfig, Protocol, TaskConfig,
        problems::{aa_star, copy, dyck, majority, parity, position_mod},
    };

    fn compute(problem: ProblemConfig, protocol: Protocol, length: usize) -> Baselines {
        let config = TaskConfig { protocol: Some(protocol), ..TaskConfig::new(problem) };
        let task = config.build().unwrap();
        baselines(task.as_ref(), length, 4000, &mut Rng::seed_from_u64(3)).unwrap()
    }

    #[track_caller]
    fn near(score: Score, token: f64, exact: f64) {
        let close = |a: f64, b: f64| (a - b).abs() < 0.03;
        assert!(close(score.token, token) && close(score.exact, exact), "{score:?}");
    }

    #[test]
    fn fair_parity_is_a_coin_and_uniform_ones_make_even_likelier() {
        let parity = |ones| ProblemConfig::Parity(parity::Config { ones });
        near(compute(parity(Ones::Iid), Protocol::Encoder, 2).best(), 0.5, 0.5);
        // Of 0, 1, 2 ones two are even.
        let uniform = compute(parity(Ones::Uniform), Protocol::Encoder, 2);
        near(uniform.commonest, 2.0 / 3.0, 2.0 / 3.0);
        near(uniform.uniform, 0.5, 0.5);
    }

    #[test]
    fn the_bag_control_is_a_coin_although_half_of_its_language_labels_are_free() {
        let problem = ProblemConfig::Majority(majority::Config::default());
        let found = compute(problem, Protocol::Language, 9);
        // Labels: the answer, then <eos>; three classes occur.
        near(found.by_position, 0.75, 0.5);
        near(found.commonest, 0.5, 0.0);
        near(found.uniform, 1.0 / 3.0, 1.0 / 9.0);
        near(found.best(), 0.75, 0.5);
    }

    #[test]
    fn a_skewed_task_is_mostly_won_by_its_commonest_class() {
        let problem = ProblemConfig::AaStar(aa_star::Config { period: 4 });
        let found = compute(problem, Protocol::Prefix, 8);
        assert_eq!(found.commonest, Score { token: 0.75, exact: 0.0 });
        assert_eq!(found.uniform, Score { token: 0.5, exact: 0.5f64.powi(8) });
    }

    #[test]
    fn a_task_of_places_is_wholly_won_by_the_class_of_each_place() {
        let problem = ProblemConfig::PositionMod(position_mod::Config { period: 3 });
        let found = compute(problem, Protocol::Prefix, 7);
        assert_eq!(found.by_position, Score { token: 1.0, exact: 1.0 });
        assert_eq!(found.commonest.token, 3.0 / 7.0);
    }

    #[test]
    fn copying_many_symbols_leaves_nothing_to_guess() {
        let problem = ProblemConfig::Copy(copy::Config { distinct: true, symbols: None });
        let found = compute(problem, Protocol::Language, 10);
        // One label in eleven is <eos>; by its place it is certain.
        near(found.by_position, (1.0 + 10.0 / 150.0) / 11.0, 0.0);
    }

    #[test]
    fn a_set_counts_as_one_class() {
        let problem =
            ProblemConfig::Dyck(dyck::Config { brackets: 1, max_depth: Some(1), ..dyck::Config::default() });
        // ()() : after ( only ), after ) only (.
        let found = compute(problem, Protocol::Prefix, 4);
        assert_eq!(found.by_position, Score { token: 1.0, exact: 1.0 });
        assert_eq!(found.uniform, Score { token: 0.5, exact: 0.0625 });
    }
}
