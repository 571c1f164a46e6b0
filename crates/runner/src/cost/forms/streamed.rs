use attnlab_model::ModelConfig;
use attnlab_ops::{Extras, Result, attention};
use candle_core::Tensor;

use crate::cost::form::{Form, Needs, Reach, causal, triangle};

/// Full attention in tiles: the same numbers, and no map (Dao et al. 2022).
pub(crate) struct Streamed;

impl Form for Streamed {
    fn name(&self) -> &'static str {
        "streamed"
    }

    fn about(&self) -> &'static str {
        "the same in one kernel that holds a tile of the map at a time"
    }

    fn operations(&self) -> &'static str {
        "2N(N + 1)K"
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, _: &Reach) -> Result<Tensor> {
        attention(q, k, v, &Extras::default(), &causal(q)?)
    }

    fn shape(&self, _: &mut ModelConfig, _: &Reach) {}

    fn needs(&self, n: u64, k: u64, _: &Reach) -> Needs {
        Needs::of_kernel(triangle(n), k)
    }
}
