//! One token after another.

use attnlab_hooks::NoHooks;
use attnlab_ops::{self as ops, Streams};
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use crate::cache::Cache;
use crate::error::{ModelError, Result};
use crate::transformer::{Pass, Transformer};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f64,
    /// Only so many of the most likely tokens; 0: all.
    pub top_k: usize,
    /// Only the most likely tokens that together have this probability; 1: all (Holtzman et al. 2020).
    pub top_p: f64,
    /// Where the draws come from.
    pub seed: u64,
}

impl Default for Sampling {
    /// The most likely token.
    fn default() -> Self {
        Self { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// The next token, the `index`-th that is drawn.
    fn choose(&self, logits: &[f32], index: u64) -> u32 {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let of = |id: &u32| logits.get(*id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        if self.temperature <= 0.0 {
            // The first of equals, as argmax in PyTorch.
            let better = |best: u32, id: u32| if of(&id) > of(&best) { id } else { best };
            return order.into_iter().reduce(better).unwrap_or_default();
        }
        order.sort_by(|a, b| of(b).total_cmp(&of(a)).then(a.cmp(b)));
        if self.top_k > 0 {
            order.truncate(self.top_k);
        }
        let top = order.first().map_or(0.0, &of);
        let weights: Vec<f64> =
            order.iter().map(|id| (f64::from(of(id) - top) / self.temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut kept = 0.0;
        let enough = weights.iter().position(|weight| {
            kept += weight;
            kept >= self.top_p * total
        });
        let candidates = enough.map_or(weights.len(), |last| last + 1);
        let kept: f64 = weights.iter().take(candidates).sum();
        let mut left = kept * Streams::new(self.seed).rng("generate", index).random::<f64>();
        for (id, weight) in order.iter().zip(weights.iter().take(candidates)) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        order.first().copied().unwrap_or_default()
    }
}

impl Transformer {
    /// Up to `most` tokens after `prompt`, each shown to `each`, which ends it by returning false.
    ///
    /// Keys and values of earlier tokens are kept, unless the encoding moves them when a token follows; then every
    /// token costs the whole sequence.
    ///
    /// # Errors
    /// The prompt is empty, the model sees ahead or has no language model's head, or its positions run out.
    pub fn generate(
        &self,
        prompt: &[u32],
        most: usize,
        sampling: &Sampling,
        mut each: impl FnMut(u32) -> bool,
    ) -> Result<Vec<u32>> {
        if !self.config().predicts_next_token() {
            return Err(ModelError::NoLanguageModel);
        }
        if prompt.is_empty() {
            return Err(ModelError::EmptyPrompt);
        }
        let mut tokens = prompt.to_vec();
        let mut cache = Cache::new();
        for index in 0..most {
            let new = if self.is_incremental() { tokens.get(cache.len()..) } else { tokens.get(..) };
            let new = new.unwrap_or_default();
            let input = Tensor::from_slice(new, (1, new.len()), &Device::Cpu)?;
            let cache = self.is_incremental().then_some(&mut cache);
            let logits = ops::without_gradients(|| -> Result<Tensor> {
                let hidden = self.run(Pass { cache, ..Pass::new(&input) }, &mut NoHooks)?;
                self.logits(&hidden.narrow(1, new.len() - 1, 1)?)
            })?;
            let logits = logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
            let next = sampling.choose(&logits, index as u64);
            tokens.push(next);
            if !each(next) {
                break;
            }
        }
        Ok(tokens.split_off(prompt.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_temperature_the_first_of_the_most_likely_is_taken() {
        assert_eq!(Sampling::default().choose(&[0.0, 2.0, 2.0, -1.0], 0), 1);
    }

    #[test]
    fn draws_stay_within_the_candidates_and_follow_the_probabilities() {
        let logits = [3f32.ln(), 0.0, 6f32.ln(), f32::NEG_INFINITY];
        let counts = |sampling: Sampling| {
            let mut counts = [0; 4];
            for index in 0..4000 {
                counts[sampling.choose(&logits, index) as usize] += 1;
            }
            counts
        };
        let plain = Sampling { temperature: 1.0, ..Sampling::default() };
        let [a, b, c, d] = counts(plain);
        assert!((1100..1300).contains(&a) && (330..480).contains(&b) && (2300..2500).contains(&c) && d == 0);
        assert_eq!(counts(Sampling { top_k: 1, ..plain })[2], 4000);
        let nucleus = counts(Sampling { top_p: 0.7, ..plain });
        assert!(nucleus[1] == 0 && nucleus[0] > 1200);
        assert_eq!(counts(Sampling { top_p: 0.0, ..plain })[2], 4000);
    }
}
