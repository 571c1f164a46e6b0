//! Why an examination could not be made.

/// The result of an examination.
pub type Result<T> = std::result::Result<T, DoctorError>;

/// Why an examination could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// An analysis that it rests on could not be made.
    #[error(transparent)]
    Analysis(#[from] crate::analysis::AnalysisError),
    /// The model refused.
    #[error(transparent)]
    Model(#[from] attnlab_model::ModelError),
    /// A hook asked for what is not there.
    #[error(transparent)]
    Hook(#[from] attnlab_hooks::HookError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
