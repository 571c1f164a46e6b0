//! What can be wrong with a checkpoint: the file, what was found, what was expected, what to do.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, PretrainedError>;

/// Why a checkpoint could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// A file could not be read.
    #[error("could not {action} {}: {reason}", path.display())]
    File {
        /// What was tried, such as `open`.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The path is no checkpoint.
    #[error("{}: {found}; expected {expected}", path.display())]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What would be read, and how to come by it.
        expected: String,
    },
    /// Weights as a Python pickle, which can run code when it is read.
    #[error(
        "{}: Python pickles are not read, since unpickling runs whatever code the file holds. Convert it once, where \
         torch is installed:\n  {convert}",
        path.display()
    )]
    Pickle {
        /// The pickle.
        path: PathBuf,
        /// The command that converts it.
        convert: String,
    },
    /// The bytes do not say what they should.
    #[error("{}: {place}: found {found}, expected {expected}; the file is damaged: download or write it again", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in it: the header, a tensor, a key.
        place: String,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A format, a type of numbers or a layout that is not read.
    #[error("{}: {found} is not supported; {remedy}", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// What was found.
        found: String,
        /// What is supported, and what to do.
        remedy: String,
    },
    /// A configuration lacks a key, or the key holds something else.
    #[error("{}: `{key}` is missing or unusable; expected {expected}", file.display())]
    MissingConfig {
        /// The configuration's file.
        file: PathBuf,
        /// The key.
        key: String,
        /// What should stand there.
        expected: String,
    },
    /// A switch of the configuration that this program does not honour.
    #[error("{}: `{key}` = {value} is not supported; supported: {supported}", file.display())]
    Unsupported {
        /// The configuration's file.
        file: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// The values that are supported.
        supported: String,
    },
    /// A tensor that the model needs is not there.
    #[error("{}: tensor `{name}` is missing; it is needed for {needed_for}", file.display())]
    MissingTensor {
        /// The checkpoint.
        file: PathBuf,
        /// The tensor.
        name: String,
        /// What it would be.
        needed_for: String,
    },
    /// Tensors that nothing uses: the configuration describes another model than the weights.
    #[error(
        "{}: nothing uses {} of its tensors: {}; the configuration describes another model than these weights",
        file.display(), names.len(), some(names)
    )]
    UnusedTensors {
        /// The checkpoint.
        file: PathBuf,
        /// The tensors' names.
        names: Vec<String>,
    },
    /// A tensor's shape contradicts the configuration.
    #[error("{}: tensor `{tensor}` has shape {found:?}, expected {expected:?} by the configuration", file.display())]
    Shape {
        /// The checkpoint.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that follows from the configuration.
        expected: Vec<usize>,
    },
    /// A kind of model that this program does not know.
    #[error("model type `{model_type}` is not known; known: {known}")]
    UnknownFamily {
        /// The type as the checkpoint names it.
        model_type: String,
        /// The types that are known.
        known: String,
    },
    /// A tokenizer's files cannot be used.
    #[error("{}: {problem}", file.display())]
    Tokenizer {
        /// The tokenizer's file.
        file: PathBuf,
        /// What was found, what was expected, what to do.
        problem: String,
    },
    /// The Hub did not give what was asked for.
    #[error("{id}: {problem}")]
    Hub {
        /// The repository as given.
        id: String,
        /// What happened, and what to do.
        problem: String,
    },
    /// The model could not be built or run.
    #[error(transparent)]
    Model(#[from] attnlab_model::ModelError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl PretrainedError {
    /// Wraps an input/output error with what was tried and where.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |reason| Self::File { action, path: path.to_owned(), reason }
    }

    pub(crate) fn corrupt(
        file: &Path,
        place: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        let (place, found, expected) = (place.into(), found.into(), expected.into());
        Self::Corrupt { file: file.to_owned(), place, found, expected }
    }
}

/// The first names of a list, and how many more there are.
pub(crate) fn some(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown =
        names.iter().take(SHOWN).map(|name| format!("`{}`", short(name))).collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

/// A text from a file as a message may show it: on one line and not long.
pub(crate) fn short(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut short: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        short.push('…');
    }
    short
}
