use attnlab_model::{Layer, ModelConfig};
use attnlab_ops::{AttentionSpec, Extras, Result, attention};
use candle_core::Tensor;

use crate::cost::form::{Form, Needs, Reach, band, causal};

/// A query sees the last w keys, itself among them (Beltagy et al. 2020).
pub(crate) struct Window;

impl Form for Window {
    fn name(&self) -> &'static str {
        "window"
    }

    fn about(&self) -> &'static str {
        "each query sees the last w keys; other tiles are never computed"
    }

    fn operations(&self) -> &'static str {
        "4(Nw − w(w − 1)/2)K"
    }

    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, reach: &Reach) -> Result<Tensor> {
        let spec = AttentionSpec { window: Some(reach.window), ..causal(q)? };
        attention(q, k, v, &Extras::default(), &spec)
    }

    fn shape(&self, config: &mut ModelConfig, reach: &Reach) {
        let layers = config.architecture.n_layers;
        config.details.layers = vec![Layer { window: Some(reach.window), ..Layer::default() }; layers];
    }

    fn needs(&self, n: u64, k: u64, reach: &Reach) -> Needs {
        Needs::of_kernel(band(n, reach.window as u64), k)
    }
}
