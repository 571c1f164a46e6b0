//! What can go wrong in building or running a model.

use attnlab_hooks::HookError;
use attnlab_positions::PositionError;

use crate::config::ConfigError;

/// Why a model could not be built or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The configuration describes no model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A tensor operation failed: shapes, devices, a missing tensor.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A hook asked for what is not there, or an edit changed a shape.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The positional encoding refused: a position beyond a learned table, for one.
    #[error(transparent)]
    Position(#[from] PositionError),
    /// Logits were asked of a model that ends with its hidden states.
    #[error("the model has no head, so there are no logits; use its hidden states")]
    NoHead,
    /// Text was asked of a model that cannot continue it.
    #[error(
        "the model does not predict next tokens: it sees ahead, or its head is not a language model's; \
         only causal language models generate"
    )]
    NoLanguageModel,
    /// There is nothing to continue.
    #[error("the prompt has no tokens; give at least one")]
    EmptyPrompt,
    /// Blocks that the model does not have.
    #[error("blocks {first} to {end} (the last not among them) were asked for; the model has {n_layers}")]
    NoSuchBlocks {
        /// The first asked for.
        first: usize,
        /// The one after the last.
        end: usize,
        /// How many there are.
        n_layers: usize,
    },
    /// A head that the model does not have.
    #[error(
        "head {head} of layer {layer} does not exist; the model has {n_layers} layers of {n_heads} heads"
    )]
    NoSuchHead {
        /// The layer asked for.
        layer: usize,
        /// The head asked for.
        head: usize,
        /// How many layers there are.
        n_layers: usize,
        /// How many query heads each has.
        n_heads: usize,
    },
    /// A residual stream that does not belong to the tokens or the model.
    #[error(
        "a residual stream of shape {found:?} was given; expected {expected:?}: the tokens' shape and d_model"
    )]
    Stream {
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected.
        expected: Vec<usize>,
    },
    /// Segment ids for a model without them.
    #[error("segment ids were given, but the model has no segment embeddings; leave them out")]
    NoSegments,
    /// Segment ids that do not belong to the tokens or the model.
    #[error("segment ids of shape {shape:?} reach {found}; expected one id below {count} for each token")]
    Segments {
        /// The largest id.
        found: usize,
        /// Number of segments.
        count: usize,
        /// The ids' shape.
        shape: Vec<usize>,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;
