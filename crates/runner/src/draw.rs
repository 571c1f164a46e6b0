//! What a step trains on: a function of the configuration, the seed and the step's number alone.

use attnlab_ops::{Rng, Streams};
use attnlab_tasks::{Batch, Labelling, Split, Task};
use rand::Rng as _;

use crate::config::{Curriculum, RunConfig};
use crate::error::Result;
use crate::evaluate::lengths_of;

/// Draws the lengths and the sequences of training steps.
pub(crate) struct Draw<'a> {
    task: &'a dyn Task,
    streams: Streams,
    labelling: Labelling,
    /// Sequences of each group of a step, which have one length.
    rows: Vec<usize>,
    /// A weight, and the lengths it is for, ascending.
    ranges: Vec<(f64, Vec<usize>)>,
    curriculum: Option<Curriculum>,
    longest: usize,
}

impl<'a> Draw<'a> {
    pub(crate) fn new(config: &RunConfig, task: &'a dyn Task, labelling: Labelling) -> Self {
        let train = &config.train;
        let (rows, groups) = (train.batch_size, train.lengths_per_batch.max(1));
        let admitted = |lengths| lengths_of(task, lengths, 0);
        let mut ranges: Vec<(f64, Vec<usize>)> =
            train.mixture.iter().map(|share| (share.weight, admitted(share.lengths))).collect();
        if ranges.is_empty() {
            ranges.push((1.0, admitted(train.lengths)));
        }
        Self {
            task,
            streams: Streams::new(config.seed),
            labelling,
            rows: (0..groups).map(|group| rows * (group + 1) / groups - rows * group / groups).collect(),
            ranges,
            curriculum: train.curriculum,
            longest: train.lengths[1],
        }
    }

    /// The longest length that a step can draw, if it is not the same for all.
    pub(crate) fn longest(&self, step: u64) -> Option<usize> {
        self.curriculum.map(|curriculum| curriculum.longest(step, self.longest))
    }

    /// The batches of a step, one a group.
    pub(crate) fn batches(&self, step: u64) -> Result<Vec<Batch>> {
        let mut batches = Vec::with_capacity(self.rows.len());
        self.each(step, |_| true, |batch| batches.push(batch))?;
        Ok(batches)
    }

    /// Shows the batches of a step in order; the last is left out if its length is none that `is_wanted`. The others must
    /// be drawn in any case, as what follows them in the stream depends on it.
    pub(crate) fn each(
        &self,
        step: u64,
        is_wanted: impl Fn(usize) -> bool,
        mut see: impl FnMut(Batch),
    ) -> Result<()> {
        let mut rng = self.streams.rng("batch", step);
        let longest = self.longest(step).unwrap_or(self.longest);
        for (group, &rows) in self.rows.iter().enumerate() {
            let length = self.length(longest, &mut rng);
            if group + 1 == self.rows.len() && !is_wanted(length) {
                break;
            }
            see(self.task.batch_as(Split::Train, rows, length, self.labelling, &mut rng)?);
        }
        Ok(())
    }

    /// A length up to `longest`.
    fn length(&self, longest: usize, rng: &mut Rng) -> usize {
        let within = |lengths: &'_ [usize]| lengths.partition_point(|&length| length <= longest);
        let open = || self.ranges.iter().filter(|(_, lengths)| within(lengths) > 0);
        // A single range takes no draw to choose.
        let chosen = if self.ranges.len() == 1 {
            None
        } else {
            let mut left = rng.random::<f64>() * open().map(|(weight, _)| weight).sum::<f64>();
            open().find(|(weight, _)| {
                left -= weight;
                left < 0.0
            })
        };
        // Rounding can leave nothing found; a configuration that was checked has lengths to draw.
        let lengths = chosen.or_else(|| open().next_back()).map_or(&[][..], |(_, lengths)| lengths);
        match within(lengths) {
            0 => self.longest,
            count => lengths[rng.random_range(0..count)],
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run(train: &str) -> RunConfig {
        let text = format!(
            "[task]\nkind = \"parity\"\nprotocol = \"prefix\"\n[position]\nkind = \"none\"\n[train]\nlengths = [1, 12]\nbatch_size = 10\n{train}"
        );
        RunConfig::from_toml(&text).unwrap()
    }

    /// Rows and problem length of each batch of a step.
    fn shapes(config: &RunConfig, step: u64) -> Vec<(usize, usize)> {
        let task = config.task.build().unwrap();
        let batches = Draw::new(config, task.as_ref(), Labelling::True).batches(step).unwrap();
        // <bos> and the string.
        batches.iter().map(|batch| (batch.rows, batch.len - 1)).collect()
    }

    #[test]
    fn a_step_without_further_wishes_is_one_batch_of_one_length_from_the_first_draw() {
        let config = run("");
        let task = config.task.build().unwrap();
        for step in 0..20 {
            let mut rng = Streams::new(0).rng("batch", step);
            let length = rng.random_range(0..12_usize) + 1;
            let expected = task.batch(Split::Train, 10, length, &mut rng).unwrap();
            assert_eq!(Draw::new(&config, task.as_ref(), Labelling::True).batches(step).unwrap(), [expected]);
        }
    }

    #[test]
    fn the_sequences_of_a_step_are_shared_out_among_its_lengths() {
        let config = run("lengths_per_batch = 3");
        for step in 0..20 {
            assert_eq!(shapes(&config, step).iter().map(|(rows, _)| *rows).collect::<Vec<_>>(), [3, 3, 4]);
        }
        let lengths: std::collections::HashSet<usize> =
            (0..200).flat_map(|step| shapes(&config, step)).map(|(_, length)| length).collect();
        assert_eq!(lengths.len(), 12);
        let differ = |step: &u64| shapes(&config, *step).windows(2).any(|pair| pair[0].1 != pair[1].1);
        assert!((0..20).filter(differ).count() > 15, "each group draws its own");
    }

    #[test]
    fn a_mixture_is_drawn_by_weight_and_evenly_within() {
        let config = run("mixture = [{ lengths = [1, 2], weight = 3 }, { lengths = [1, 12], weight = 1 }]");
        let mut counts = [0; 13];
        for step in 0..4000 {
            counts[shapes(&config, step)[0].1] += 1;
        }
        // 3/4 · 1/2 + 1/4 · 1/12 = 0.396, and 1/48 for the others; four standard deviations are 0.031 and 0.009.
        for (length, &count) in counts.iter().enumerate().skip(1) {
            let (share, expected) =
                (f64::from(count) / 4000.0, if length <= 2 { 0.3958 } else { 1.0 / 48.0 });
            assert!((share - expected).abs() < if length <= 2 { 0.031 } else { 0.009 }, "{length}: {share}");
        }
    }

    #[test]
    fn a_curriculum_opens_lengths_one_after_another() {
        let config = run(
            "curriculum = { from = 2, steps = 100 }\nmixture = [{ lengths = [5, 12], weight = 9 }, { lengths = [1, 12], weight = 1 }]",
        );
        let task = config.task.build().unwrap();
        let draw = Draw::new(&config, task.as_ref(), Labelling::True);
        let mut longest = 0;
        for step in 0..300 {
            let open = draw.longest(step).unwrap();
            assert_eq!(open, 2 + (10 * step.min(100) / 100) as usize);
            let [(_, length)] = shapes(&config, step)[..] else { panic!() };
            assert!((1..=open).contains(&length), "step {step} draws {length}");
            longest = longest.max(length);
        }
        assert_eq!(longest, 12);
        assert_eq!(Draw::new(&run(""), task.as_ref(), Labelling::True).longest(5), None);
    }

    #[test]
    fn only_the_last_batch_of_a_step_can_be_left_out() {
        let config = run("lengths_per_batch = 3");
        let task = config.task.build().unwrap();
        let draw = Draw::new(&config, task.as_ref(), Labelling::True);
        let all = draw.batches(4).unwrap();
        let mut shown = Vec::new();
        draw.each(4, |_| false, |batch| shown.push(batch)).unwrap();
        assert_eq!(shown, all[..2]);
    }
}
