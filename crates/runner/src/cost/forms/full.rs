use attnlab_model::ModelConfig;
use attnlab_ops::{Extras, Result, composed};
use candle_core::Tensor;

use crate::cost::form::{Form, Needs, Reach, causal, triangle};

/// Full attention that holds its map.
pub(crate) struct Full;

impl Form for Full {
    fn name(&self) -> &'static str {
        "full"
    }

    fn about(&self) -> &'static str {
        "softmax(mask(q·kᵀ))·v from plain operations, with the map (B, H, N, N) in memory"
    }

    fn operations(&self) -> &'static str {
        "2N(N + 1)K"
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, _: &Reach) -> Result<Tensor> {
        composed::attention(q, k, v, &Extras::default(), &causal(q)?)
    }

    fn shape(&self, _: &mut ModelConfig, _: &Reach) {}

    fn holds_maps(&self) -> bool {
        true
    }

    fn needs(&self, n: u64, k: u64, _: &Reach) -> Needs {
        Needs::of_maps(triangle(n), k)
    }
}
