//! How scores become weights: one file each, one registry.
//!
//! To add one: a file with a `Config` that implements [`Kind`], and a line in the registry below.

mod support;

use attnlab_ops::{DistanceBias, Null};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use super::registry::Form;
use crate::config::kind::kinds;
use crate::config::{Architecture, ConfigError};
use crate::error::Result;

/// A way to weigh keys, built for one layer.
pub(crate) trait Weights: Send + Sync {
    /// Weights (B, H', R, T) of the keys. `scores` has a tensor of that shape for each of [`Kind::parts`], −∞ where a key
    /// is hidden; a hidden key's weight is 0, and so is that of every key in a row that sees none.
    fn weigh(&self, scores: &[Tensor], of: &Rows<'_>) -> Result<Tensor>;

    /// The softmaxes that the weights are a sum of, one for each part, if they are: the fused kernel does those.
    fn softmaxes(&self) -> Result<Option<Vec<Softmax<'_>>>> {
        Ok(None)
    }

    /// What is added to the scores, by distance.
    fn bias(&self, _: &Distances) -> Result<Option<DistanceBias>> {
        Ok(None)
    }

    /// What a row's weights sum to.
    fn mass(&self) -> Mass {
        Mass::One
    }

    /// What becomes of each head's weighted values, (B, T, H, K).
    fn finish(&self, z: Tensor) -> Result<Tensor> {
        Ok(z)
    }
}

/// factor · softmax(s), with a null option if there is one.
pub(crate) struct Softmax<'a> {
    /// A number, or 1.
    pub(crate) factor: Option<Tensor>,
    pub(crate) null: Option<Null<'a>>,
}

/// What a row's weights sum to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mass {
    /// 1, less what goes to a null option or an extra key.
    One,
    /// Anything from 0 on: what lacks to 1 is attention to nothing.
    Free,
    /// Anything, and some weights are below 0.
    Signed,
}

/// The rows that scores are of.
pub(crate) struct Rows<'a> {
    /// The query heads.
    pub(crate) heads: &'a [usize],
    /// n_i, how many tokens' keys each query may see.
    pub(crate) seen: &'a [usize],
    /// Whether this is a pass of training.
    pub(crate) training: bool,
}

impl Rows<'_> {
    /// f(n_i), (1, 1, R, 1); n_i at least 1.
    pub(crate) fn of_seen(&self, f: impl Fn(f64) -> f64, like: &Tensor) -> Result<Tensor> {
        let values: Vec<f64> = self.seen.iter().map(|&n| f(n.max(1) as f64)).collect();
        let values = Tensor::from_vec(values, (1, 1, self.seen.len(), 1), &Device::Cpu)?;
        Ok(values.to_dtype(like.dtype())?.to_device(like.device())?)
    }
}

/// The distances i − j between queries and keys.
pub(crate) struct Distances {
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    pub(crate) causal: bool,
}

/// Where a form is built.
pub(crate) struct Place<'a> {
    pub(crate) layer: usize,
    pub(crate) architecture: &'a Architecture,
}

/// A form's configuration: what the registry needs of it.
pub(crate) trait Kind {
    /// What a reader wants to know.
    const FORM: Form;

    /// Into how many parts the width of queries and keys is cut, each with scores of its own.
    fn parts(&self) -> usize {
        1
    }

    /// Whether a key's weight is a matter of its own score alone: then a key without a value does nothing.
    fn weighs_alone(&self) -> bool {
        false
    }

    /// Number of trainable scalars of a layer.
    fn parameter_count(&self, _: &Architecture) -> usize {
        0
    }

    /// Refuses what cannot be built.
    fn validate(&self, _: &Architecture) -> std::result::Result<(), ConfigError> {
        Ok(())
    }

    /// Builds it; trainable tensors come from `vb`, that of the layer's attention.
    fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>>;
}

/// Refuses an option of a form.
pub(crate) fn refuse(problem: String) -> std::result::Result<(), ConfigError> {
    Err(ConfigError { field: "attention.weights", problem })
}

/// Where keys are visible (1) and where hidden (0), in the shape of the scores.
pub(crate) fn visible(scores: &Tensor) -> Result<Tensor> {
    Ok(scores.ne(f64::NEG_INFINITY)?)
}

/// `x` where keys are visible, and zero elsewhere: for values and gradients alike.
pub(crate) fn where_visible(visible: &Tensor, x: &Tensor) -> Result<Tensor> {
    Ok(visible.where_cond(x, &x.zeros_like()?)?)
}

/// One line per form: `module => Variant`.
macro_rules! registry {
    ($($module:ident => $variant:ident),* $(,)?) => {
        $(pub(crate) mod $module;)*

        /// How scores become weights: `"softmax"`, or `{ kind = "elastic", tau = -1.0 }`.
        #[derive(Clone, Debug, PartialEq)]
        pub enum WeightsConfig {
            $(#[doc = concat!("See `", stringify!($module), "`.")]
            $variant($module::Config),)*
        }

        kinds!(WeightsConfig { $(<$module::Config as Kind>::FORM.name => $variant),* });

        impl WeightsConfig {
            /// Into how many parts the width of queries and keys is cut, each with scores of its own.
            pub fn parts(&self) -> usize {
                match self { $(Self::$variant(config) => config.parts(),)* }
            }

            /// Whether a key's weight is a matter of its own score alone.
            pub(crate) fn weighs_alone(&self) -> bool {
                match self { $(Self::$variant(config) => config.weighs_alone(),)* }
            }

            /// Number of trainable scalars of a layer.
            pub(crate) fn parameter_count(&self, a: &Architecture) -> usize {
                match self { $(Self::$variant(config) => config.parameter_count(a),)* }
            }

            /// Refuses what cannot be built.
            pub(crate) fn validate(&self, a: &Architecture) -> ::std::result::Result<(), ConfigError> {
                match self { $(Self::$variant(config) => config.validate(a),)* }
            }

            /// Builds it for a layer.
            pub(crate) fn build(&self, place: &Place<'_>, vb: VarBuilder) -> Result<Box<dyn Weights>> {
                match self { $(Self::$variant(config) => config.build(place, vb),)* }
            }
        }

        /// Every form there is.
        pub(crate) const FORMS: &[Form] = &[$(<$module::Config as Kind>::FORM),*];
    };
}

registry! {
    softmax => Softmax,
    sigmoid => Sigmoid,
    relu => Relu,
    elastic => Elastic,
    lazy => Lazy,
    softpick => Softpick,
    clipped => Clipped,
    entmax => Entmax,
    sparsemax => Sparsemax,
    top_k => TopK,
    adaptive => Adaptive,
    differential => Differential,
}

impl Default for WeightsConfig {
    fn default() -> Self {
        Self::Softmax(softmax::Config {})
    }
}

/// Values on the host as f64, row after row of the last dimension.
fn on_host(x: &Tensor) -> Result<Vec<f64>> {
    Ok(x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
