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
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, ModelError>;
