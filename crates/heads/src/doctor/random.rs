//! What random attention scores: the baseline that uniform attention is not.
//!
//! Uniform attention has no largest key and no sharp row. Attention by chance has some: scores that are independent
//! standard normal, as an untrained head's are at most, under the same mask. One head, drawn from a seed.

use attnlab_model::Mask;
use attnlab_ops::{AttentionSpec, Extras, Streams, attention_watched};
use candle_core::{Device, Tensor};
use rand::Rng as _;

use super::Result;
use crate::result::{HeadResult, SurveyResult};
use crate::survey::{Survey, SurveyOptions};

/// Width of the drawn queries and keys: q·k/√K is nearly normal.
const K: usize = 64;

/// The statistics of random attention over `len` tokens; the tokens themselves are all different.
pub(super) fn random_attention(len: usize, mask: Mask, options: SurveyOptions) -> Result<SurveyResult> {
    let mut rng = Streams::new(0).rng("random attention", len as u64);
    // Twelve uniform numbers sum to nearly a normal one of variance 1.
    let mut normal = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    let mut draw =
        || Tensor::from_vec((0..len * K).map(|_| normal()).collect(), (1, len, 1, K), &Device::Cpu);
    let (q, k) = (draw()?, draw()?);
    let spec = AttentionSpec {
        scale: 1.0 / (K as f64).sqrt(),
        causal: mask == Mask::Causal,
        window: None,
        softcap: None,
    };
    let tokens: Vec<u32> = (0..len as u32).collect();
    let mut survey = Survey::new(options);
    survey.begin_text(&tokens);
    attention_watched(&q, &k, &q, &Extras::default(), &spec, &survey.watch(0))?;
    Ok(survey.finish())
}

/// The one head of that.
pub(super) fn head(survey: &SurveyResult) -> Option<&HeadResult> {
    survey.head(0, 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn random_scores_lose_half_a_nat_of_entropy_against_uniform_ones() {
        let survey = random_attention(256, Mask::Bidirectional, SurveyOptions::default()).unwrap();
        // Of softmax(N(0, 1)) over n keys, H → ln n − σ²/2.
        let entropy = head(&survey).unwrap().mean("entropy").unwrap();
        assert!((entropy - (256f64.ln() - 0.5)).abs() < 0.05, "{entropy}");
        let again = random_attention(256, Mask::Bidirectional, SurveyOptions::default()).unwrap();
        assert_eq!(survey, again);
    }
}
