//! Every length from one pass.
//!
//! Where the first n symbols of a random string are distributed and labelled as a random string of length n is
//! ([`attnlab_tasks::Task::prefixes_alike`]), and what the model makes of a token does not change when tokens follow it
//! ([`attnlab_model::Transformer::is_incremental`]), a string of the longest length is a string of every length: at length
//! n it is right if its first n labels are. The scores of different lengths then come from the same strings, so they
//! rise and fall together, and a curve is smoother than one from strings of each length's own; each of its points by
//! itself is what such strings would give, from `eval.samples` of them and not from a share.

use std::collections::HashSet;

use attnlab_tasks::Split;

use super::seen::{Hash, Marked};
use super::{Bin, Evaluator, OfRow, Scored};
use crate::error::Result;
use crate::feed::judge_each;

/// Tokens that are in memory at a time, unless a single string is longer.
const TOKENS_AT_ONCE: usize = 1 << 18;

/// A length to be scored: of which bin, the how many-th there, and at which token it ends.
struct Cut {
    bin: usize,
    index: usize,
    tokens: usize,
}

impl Evaluator<'_> {
    /// Bins of these lengths, all ascending, scored on `samples` strings of the longest.
    pub(super) fn beginnings(&self, lengths: &[Vec<usize>], samples: usize) -> Result<Vec<Bin>> {
        let Some(&longest) = lengths.iter().flatten().max() else {
            return Ok(lengths.iter().map(|_| Bin::default()).collect());
        };
        let mut cuts = Vec::new();
        for (bin, lengths) in lengths.iter().enumerate() {
            let at = |(index, &length): (usize, &usize)| Cut { bin, index, tokens: self.task.token_len(length) };
            cuts.extend(lengths.iter().enumerate().map(at));
        }
        cuts.sort_by_key(|cut| cut.tokens);
        let empty = |&length: &usize| Scored { length, sequences: samples, ..Scored::default() };
        let mut bins: Vec<Bin> = lengths
            .iter()
            .map(|lengths| Bin {
                lengths: lengths.iter().map(empty).collect(),
                sequences: if lengths.is_empty() { 0 } else { samples },
                ..Bin::default()
            })
            .collect();
        let mut different: Vec<HashSet<u64>> = bins.iter().map(|_| HashSet::new()).collect();

        let mut rng = self.streams.rng("evaluation", longest as u64);
        let at_once = (TOKENS_AT_ONCE / self.task.token_len(longest).max(1)).max(1);
        for first in (0..samples).step_by(at_once) {
            let batch = self.task.batch(Split::Test, at_once.min(samples - first), longest, &mut rng)?;
            let (losses, said) = judge_each(self.model, &batch, self.set_loss, self.device)?;
            let right = batch.right(&said)?;
            for row in 0..batch.rows {
                let (mut of_row, mut loss, mut hash) = (OfRow::default(), 0.0, Hash::default());
                let mut begun = 0;
                for cut in &cuts {
                    for i in row * batch.len + begun..row * batch.len + cut.tokens {
                        of_row.add(right[i]);
                        loss += losses[i];
                        hash.add(batch.tokens[i]);
                    }
                    begun = cut.tokens;
                    let (bin, tally) = (&mut bins[cut.bin], of_row.tally());
                    let count = bin.lengths.len();
                    let scored = &mut bin.lengths[cut.index];
                    scored.tally.merge(&tally);
                    scored.loss += loss;
                    // More would only take memory: they are counted among `samples`.
                    if different[cut.bin].len() < samples {
                        different[cut.bin].insert(hash.finish());
                    }
                    // Each string is one of the bin's, and stands there for one length.
                    if cut.bin == 0 && (first + row) % count == cut.index {
                        bin.strings.push(Marked { length: scored.length, hash: hash.finish(), tally });
                    }
                }
            }
        }
        for (bin, different) in bins.iter_mut().zip(different) {
            bin.distinct = different.len();
        }
        Ok(bins)
    }
}
