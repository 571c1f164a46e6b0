//! The one transformer. Toy models and pretrained checkpoints are the same [`Transformer`] with another
//! [`ModelConfig`]; there is no file per family, and nothing here matches on the kind of encoding, task or metric.
//!
//! ```text
//! tokens (B,T) → embedding → position.embed → n_layers × Block → final norm → head → logits (B,T,n_outputs)
//! Block:  x + attention(norm(x)),  then  x + mlp(norm(x))         (pre-norm; the other placements are in `block`)
//! ```
//! Letters in shape comments: B batch, T tokens, H query heads, G key/value heads, K head width, D model width,
//! M inner width of the MLP, V outputs.

mod attention;
mod block;
mod cache;
mod config;
mod convolution;
mod dropout;
mod error;
mod experts;
mod generate;
mod head;
mod mlp;
mod norm;
mod projection;
mod score;
mod spectral;
mod transformer;
mod weights;

pub use attention::gate::Bias;
pub use attention::registry::{Form, registry};
pub use attention::ssmax::Ssmax;
pub use attention::weights::WeightsConfig;
pub use cache::Cache;
pub use config::{
    Architecture, AttentionForm, Clamp, ConfigError, Convolution, Counting, Details, Experts, ExtraKey,
    Factorised, Gate, HeadTransform, Initialisation, Layer, Mask, Mlp, ModelConfig, Norm, NormPlacement,
    Nothing, NullOption, Over, Projected, QkNorm, Residual, ScoreScale,
};
pub use dropout::Dropout;
pub use error::{ModelError, Result};
pub use generate::Sampling;
pub use transformer::{Pass, Transformer};
pub use weights::{FrozenNorm, HeadWeights};
