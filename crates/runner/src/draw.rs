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

    /// Shows the batches of a step in order. The last of them are left out if their lengths are none that
    /// `is_wanted`: what comes after a batch in the stream depends on its having been drawn.
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
        let lengths = chosen.or_else(|| open().last()).map_or(&[][..], |(_, lengths)| lengths);
        match within(lengths) {
            0 => self.longest,
            count => lengths[rng.random_range(0..count)],
        }
    }
}
