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
            let at =
                |(index, &length): (usize, &usize)| Cut { bin, index, tokens: self.task.token_len(length) };
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
        let mut places = self.streams.rng("evaluation places", longest as u64);
        let at_once = (TOKENS_AT_ONCE / self.task.token_len(longest).max(1)).max(1);
        for first in (0..samples).step_by(at_once) {
            let batch = self.task.batch(Split::Test, at_once.min(samples - first), longest, &mut rng)?;
            let (losses, said) = judge_each(self.model, &batch, self.set_loss, self.device, &mut places)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::Transformer;
    use attnlab_ops::{Parameters, Streams};
    use attnlab_tasks::{Batch, Labels, Tally, Task};
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::{RunConfig, SetLoss};
    use crate::feed::judge;

    struct Bench {
        task: Box<dyn Task>,
        model: Transformer,
        config: RunConfig,
    }

    impl Bench {
        fn new(task: &str, position: &str) -> Self {
            let text = format!(
                "[task]\n{task}\n[position]\nkind = \"{position}\"\n[model]\nd_model = 16\nn_heads = 2\ninit = \"torch\"\n[train]\nlengths = [1, 6]\n[eval]\nbins = [[2, 6], [7, 9], [12, 14]]\nsamples = 50"
            );
            let config = RunConfig::from_toml(&text).unwrap();
            let task = config.task.build().unwrap();
            let vb = Parameters::new().seeded(Streams::new(2), DType::F32, &Device::Cpu);
            let model = Transformer::new(&config.model_config(task.as_ref()), vb).unwrap();
            Self { task, model, config }
        }

        fn evaluator(&self) -> Evaluator<'_> {
            Evaluator {
                model: &self.model,
                task: self.task.as_ref(),
                task_key: "",
                streams: Streams::new(0),
                set_loss: SetLoss::CrossEntropy,
                device: &Device::Cpu,
            }
        }
    }

    /// The first `len` tokens of every row, as a batch of its own.
    fn beginning(batch: &Batch, len: usize) -> Batch {
        let cut = |values: &[u32]| values.chunks(batch.len).flat_map(|row| row[..len].to_vec()).collect();
        let Labels::Classes(classes) = &batch.labels else { panic!() };
        Batch { rows: batch.rows, len, tokens: cut(&batch.tokens), labels: Labels::Classes(cut(classes)) }
    }

    #[test]
    fn a_length_scores_what_its_beginnings_score_by_themselves() {
        for (task, position) in [
            ("kind = \"parity\"\nprotocol = \"prefix\"", "rope"),
            ("kind = \"even_pairs\"\nprotocol = \"prefix\"\nbos = false", "learned"),
        ] {
            let bench = Bench::new(task, position);
            let evaluator = bench.evaluator();
            assert!(bench.task.prefixes_alike() && bench.model.is_incremental());
            let lengths = [vec![2, 4, 6], vec![7, 9], vec![14]];
            let bins = evaluator.beginnings(&lengths, 50).unwrap();
            let batch =
                bench.task.batch(Split::Test, 50, 14, &mut evaluator.streams.rng("evaluation", 14)).unwrap();
            for scored in bins.iter().flat_map(|bin| &bin.lengths) {
                let batch = beginning(&batch, bench.task.token_len(scored.length));
                let (loss, said) = judge(
                    &bench.model,
                    &batch,
                    SetLoss::CrossEntropy,
                    &Device::Cpu,
                    &mut Streams::new(0).rng("places", 0),
                )
                .unwrap();
                let mut tally = Tally::default();
                tally.add(&batch, &said).unwrap();
                assert_eq!((scored.tally, scored.sequences), (tally, 50), "{position}, {}", scored.length);
                assert!((scored.loss - loss).abs() < 1e-3 * loss, "{} and {loss}", scored.loss);
            }
            let sequences: Vec<usize> = bins.iter().map(|bin| bin.sequences).collect();
            assert_eq!(sequences, [50, 50, 50]);
            // At most 4 strings of length 2, 16 of length 4, and 30 more of length 6 are counted.
            assert!((30..=50).contains(&bins[0].distinct), "{}", bins[0].distinct);
            let of_length = |n| bins[0].strings.iter().filter(|string| string.length == n).count();
            assert_eq!([2, 4, 6].map(of_length), [17, 17, 16]);
            assert!(bins[1].strings.is_empty());
        }
    }

    #[test]
    fn sets_are_scored_by_the_same_loss() {
        let bench = Bench::new("kind = \"dyck\"", "alibi");
        for set_loss in [SetLoss::CrossEntropy, SetLoss::SquaredError] {
            let mut rng = Streams::new(0).rng("sets", 0);
            let batch = bench.task.batch(Split::Test, 9, 8, &mut rng).unwrap();
            assert!(matches!(batch.labels, Labels::Sets { .. }));
            let (loss, said) = judge(&bench.model, &batch, set_loss, &Device::Cpu, &mut rng).unwrap();
            let (losses, same) = judge_each(&bench.model, &batch, set_loss, &Device::Cpu, &mut rng).unwrap();
            assert_eq!(said, same);
            let sum: f64 = losses.iter().sum();
            assert!((sum - loss).abs() < 1e-4 * loss, "{sum} and {loss}");
            assert_eq!(losses[0], 0.0, "<bos> has no label");
        }
    }

    #[test]
    fn a_model_whose_states_depend_on_the_length_is_scored_on_strings_of_every_length() {
        let bench = Bench::new("kind = \"parity\"\nprotocol = \"prefix\"", "sinusoidal\"\nalign = \"end");
        assert!(!bench.model.is_incremental());
        let scores = bench.evaluator().bins(&bench.config.eval, &crate::BaselineCache::default()).unwrap();
        assert_eq!((scores.bins[0].sequences, scores.curve[0].sequences), (50, 10));
        let alike = Bench::new("kind = \"parity\"\nprotocol = \"prefix\"", "sinusoidal");
        let scores = alike.evaluator().bins(&alike.config.eval, &crate::BaselineCache::default()).unwrap();
        assert_eq!((scores.bins[0].sequences, scores.curve[0].sequences), (50, 50));
        assert_eq!(scores.curve.len(), 5 + 3 + 3);
    }
}
