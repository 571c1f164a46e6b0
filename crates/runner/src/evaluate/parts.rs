//! Labels scored apart, where a task knows how it draws them ([`attnlab_tasks::Task::parts`]).

use attnlab_report::record::PartScore;
use attnlab_tasks::Split;

use super::{Evaluator, rows_each};
use crate::error::Result;
use crate::feed::judge_each;

impl Evaluator<'_> {
    /// The parts of a bin's labels, on the strings that the bin is scored on; none of a task that has no parts.
    pub(super) fn parts(&self, lengths: &[usize], samples: usize) -> Result<Vec<PartScore>> {
        let mut parts: Vec<PartScore> = Vec::new();
        for &length in lengths {
            let mut rng = self.streams.rng("evaluation", length as u64);
            let batch = self.task.batch(Split::Test, rows_each(samples, lengths), length, &mut rng)?;
            let Some(of_batch) = self.task.parts(&batch) else { return Ok(Vec::new()) };
            let mut rng = self.streams.rng("evaluation places", length as u64);
            let (losses, said) = judge_each(self.model, &batch, self.set_loss, self.device, &mut rng)?;
            let nothing = |name: &&str| PartScore { name: (*name).to_owned(), ..PartScore::default() };
            if parts.is_empty() {
                parts = of_batch.names.iter().map(nothing).collect();
            }
            let right = batch.right(&said)?.into_iter().enumerate();
            for (at, right) in right.filter_map(|(at, right)| Some((at, right?))) {
                if let Some(part) = of_batch.part.get(at).and_then(|&part| parts.get_mut(part)) {
                    part.labels += 1;
                    part.loss += losses[at];
                    part.least += of_batch.least[at];
                    part.accuracy += f64::from(u8::from(right));
                }
            }
        }
        for part in &mut parts {
            let labels = part.labels.max(1) as f64;
            part.loss /= labels;
            part.least /= labels;
            part.accuracy /= labels;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::Transformer;
    use attnlab_ops::{Parameters, Streams};
    use candle_core::{DType, Device};

    use super::*;
    use crate::config::{RunConfig, SetLoss};

    #[test]
    fn parts_add_up_to_the_bin_and_no_model_is_below_the_least_loss() {
        for (task, names) in [("bigram_backcopy", &["markov", "copy"][..]), ("aa_star", &[])] {
            let text = format!(
                "[task]\nkind = \"{task}\"\n[position]\nkind = \"none\"\n[model]\nd_model = 16\nn_heads = 2\n[train]\nlengths = [16, 24]\n[eval]\nbins = [[16, 24]]\npoints = 3\nsamples = 60"
            );
            let config = RunConfig::from_toml(&text).unwrap();
            let task = config.task.build().unwrap();
            let vb = Parameters::new().seeded(Streams::new(2), DType::F32, &Device::Cpu);
            let model = Transformer::new(&config.model_config(task.as_ref()), vb).unwrap();
            let evaluator = Evaluator {
                model: &model,
                task: task.as_ref(),
                task_key: "",
                streams: Streams::new(0),
                set_loss: SetLoss::CrossEntropy,
                device: &Device::Cpu,
            };
            let scores = evaluator.bins(&config.eval, &crate::BaselineCache::default()).unwrap();
            let bin = &scores.bins[0];
            assert_eq!(bin.parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), names);
            if names.is_empty() {
                continue;
            }
            assert_eq!(bin.parts.iter().map(|part| part.labels).sum::<u64>(), 20 * (16 + 20 + 24));
            let mean = |of: fn(&PartScore) -> f64| {
                bin.parts.iter().map(|part| of(part) * part.labels as f64).sum::<f64>() / 1200.0
            };
            assert!((mean(|part| part.loss) - bin.loss).abs() < 1e-5 * bin.loss);
            assert!((mean(|part| part.accuracy) - bin.accuracy.token).abs() < 1e-12);
            let [markov, copy] = &bin.parts[..] else { panic!() };
            assert!(copy.least == 0.0 && markov.least > 1.0 && markov.loss > markov.least);
        }
    }
}
