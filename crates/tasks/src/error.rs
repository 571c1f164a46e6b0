//! What can go wrong with a task, each saying where, what was found, what was expected and what to do.

use std::path::PathBuf;

use crate::{Labelling, Protocol};

/// An error of building, sampling or scoring a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A value of the configuration is out of its range.
    #[error("task.{kind}.{field} is {found}, expected {expected}; {remedy}")]
    Config {
        /// The kind of task.
        kind: &'static str,
        /// The key within the kind's table.
        field: &'static str,
        /// The value found.
        found: String,
        /// The values allowed.
        expected: String,
        /// What to do about it.
        remedy: String,
    },
    /// The kind cannot be put this way.
    #[error(
        "task.protocol is `{found}`, but `{kind}` offers {}; choose one of these or leave `protocol` out",
        names(offered)
    )]
    Protocol {
        /// The kind of task.
        kind: &'static str,
        /// The protocol asked for.
        found: Protocol,
        /// The protocols the kind has.
        offered: &'static [Protocol],
    },
    /// `bos = false` under the protocol that always has one.
    #[error(
        "task.bos is false, but the protocol `language` always begins with <bos>; \
         remove `bos = false` or choose another protocol than `language` for `{kind}`"
    )]
    Bos {
        /// The kind of task.
        kind: &'static str,
    },
    /// The task has no strings of this length.
    #[error(
        "{task}: no string of length {length}; lengths must be {expected}: skip the others or change the lengths asked for"
    )]
    Length {
        /// The task's label.
        task: String,
        /// The length asked for.
        length: usize,
        /// The lengths there are.
        expected: String,
    },
    /// A text asked for the labels of a control.
    #[error(
        "{task}: a text has no {found} labels, because every token is the label of the one before it; \
         ask for true ones"
    )]
    Labelling {
        /// The task's label.
        task: String,
        /// What was asked for.
        found: Labelling,
    },
    /// A problem breaks a promise of its own (a bug in the problem).
    #[error("{task}: the problem {how}; this is a bug of the problem, whose tests should compare the two")]
    Broken {
        /// The task's label.
        task: String,
        /// Which promise.
        how: &'static str,
    },
    /// A file could not be read.
    #[error("task.text: cannot read {}: {source}; give a file that exists and is readable", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not the one that the configuration was resolved for.
    #[error(
        "task.text.digest is \"{expected}\", but that of {files} is \"{found}\": the text has changed since this \
         configuration was resolved; restore it, or remove `digest` for a new run on the text as it is now"
    )]
    Changed {
        /// What was read, in words.
        files: String,
        /// The digest configured.
        expected: String,
        /// The digest of what the files hold.
        found: String,
    },
    /// A tokenizer file could not be used.
    #[error("task.text.tokens: {} is no usable tokenizer.json: {reason}; give `bytes` or the path of a tokenizer.json", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Predictions that do not fit the batch they are for.
    #[error("{found} predictions for a batch that needs {expected} ({shape}); give one for each")]
    Predictions {
        /// How many came.
        found: usize,
        /// How many belong.
        expected: usize,
        /// What they are.
        shape: &'static str,
    },
    /// A prompt has a word that is no token of the task.
    #[error("{task}: `{word}` is not a token of this task; its tokens are {tokens}, separated by spaces")]
    Prompt {
        /// The task's label.
        task: String,
        /// The word found.
        word: String,
        /// The task's tokens.
        tokens: String,
    },
}

fn names(protocols: &[Protocol]) -> String {
    let names: Vec<String> = protocols.iter().map(|p| format!("`{p}`")).collect();
    names.join(", ")
}
