use attnlab_model::ModelConfig;
use attnlab_ops::{Result, composed};
use candle_core::{Device, Tensor};

use crate::cost::Span;
use crate::cost::form::{Form, Needs, Reach, causal, top, triangle};

/// A query keeps the keys with the k largest scores (Gupta et al. 2021): all scores are computed to find them.
pub(crate) struct TopK;

impl Form for TopK {
    fn name(&self) -> &'static str {
        "top-k"
    }

    fn about(&self) -> &'static str {
        "the k largest scores of each query; the scores are all computed and held, and the products with v are dense here"
    }

    fn operations(&self) -> &'static str {
        "N(N + 1)K + 2(Nk − k(k − 1)/2)K"
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, reach: &Reach) -> Result<Tensor> {
        let spec = causal(q)?;
        let scores = composed::mask(&composed::raw_scores(q, k, spec.scale)?, &spec)?; // (B, H, N, N)
        let scores = self.edit(&scores, reach)?.unwrap_or(scores);
        composed::weighted_values(&composed::pattern(&scores, None)?, v)
    }

    fn shape(&self, _: &mut ModelConfig, _: &Reach) {}

    fn holds_maps(&self) -> bool {
        true
    }

    fn edit(&self, scores: &Tensor, reach: &Reach) -> Result<Option<Tensor>> {
        let (_, _, n, _) = scores.dims4()?;
        let mut values: Vec<f32> = scores.flatten_all()?.to_vec1()?;
        values.chunks_exact_mut((n * n).max(1)).for_each(|head| Span::TopK(reach.top_k).narrow(head, n));
        let kept: Vec<u8> = values.iter().map(|score| u8::from(*score > f32::NEG_INFINITY)).collect();
        let kept = Tensor::from_vec(kept, scores.shape(), &Device::Cpu)?;
        let hidden = Tensor::full(f32::NEG_INFINITY, scores.shape(), &Device::Cpu)?;
        // The choice has no gradient, what is chosen has.
        Ok(Some(kept.where_cond(scores, &hidden)?))
    }

    fn needs(&self, n: u64, k: u64, reach: &Reach) -> Needs {
        let (scored, read) = (triangle(n), top(n, reach.top_k as u64));
        Needs { pairs: scored, forward: 2 * k * (scored + read), backward: 8 * k * read }
    }
}
