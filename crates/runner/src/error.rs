//! What can go wrong in a run, said so that the reader knows where and what to do.

use std::path::PathBuf;

use crate::config::ConfigError;

/// Why a run could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file or folder could not be read or written.
    #[error("could not {action} {}: {reason}", path.display())]
    File {
        /// What was tried, such as `write`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The output folder holds something else.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// A checkpoint that cannot be resumed from.
    #[error("checkpoint {}: {problem}; delete that folder to resume from an earlier one or from the start", path.display())]
    Checkpoint {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A text, or a model for it, that nothing can be measured on.
    #[error("{0}")]
    Text(String),
    /// The task refused.
    #[error(transparent)]
    Task(#[from] attnlab_tasks::TaskError),
    /// The model refused.
    #[error(transparent)]
    Model(#[from] attnlab_model::ModelError),
    /// Attention maps that no statistic can be made of.
    #[error(transparent)]
    Heads(#[from] attnlab_heads::HeadsError),
    /// A hook asked for what is not there.
    #[error(transparent)]
    Hook(#[from] attnlab_hooks::HookError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A bug: the run's thread panicked.
    #[error("the run panicked: {0}; this is a bug of attnlab, please report it")]
    Panic(String),
}

impl RunError {
    /// Wraps an input/output error with what was tried and where.
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |reason| Self::File { action, path, reason }
    }
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, RunError>;
