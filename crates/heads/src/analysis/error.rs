//! Why an analysis could not be made.

use attnlab_hooks::HookError;
use attnlab_model::ModelError;

/// The result of an analysis.
pub type Result<T> = std::result::Result<T, AnalysisError>;

/// Why an analysis could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// A sequence without tokens, or no sequences.
    #[error("{what}: there is nothing to analyse; give at least one token")]
    Empty {
        /// What is empty.
        what: &'static str,
    },
    /// A position beyond the sequence.
    #[error("position {position} does not exist in a sequence of {len} tokens")]
    NoSuchPosition {
        /// The position asked for.
        position: usize,
        /// The length.
        len: usize,
    },
    /// A position without a token to be predicted there.
    #[error("position {position} has no target: no token follows it; leave it out or name the target")]
    NoTarget {
        /// The position asked for.
        position: usize,
    },
    /// A token that the head has no logit for.
    #[error("token {token} has no logit; the head has {outputs}")]
    NoSuchToken {
        /// The token asked for.
        token: u32,
        /// The head's width.
        outputs: usize,
    },
    /// Something asked of the vocabulary, of a model whose head does not predict tokens.
    #[error(
        "{what} needs a head that predicts tokens; this model has a vocabulary of {vocabulary} and {outputs} outputs"
    )]
    NoVocabulary {
        /// What was asked for.
        what: &'static str,
        /// The size of the vocabulary.
        vocabulary: usize,
        /// The number of outputs.
        outputs: usize,
    },
    /// The architecture does not permit the analysis.
    #[error("{what} does not exist for this model: {why}")]
    Architecture {
        /// What was asked for.
        what: &'static str,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// Two prompts whose positions do not correspond.
    #[error("the prompts have {source_len} and {target_len} tokens; {remedy}")]
    Lengths {
        /// That of the prompt which activations are taken from.
        source_len: usize,
        /// That of the prompt which they are put into.
        target_len: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A list of positions that does not fit the list it is mapped to.
    #[error("`{point}`: {found} positions of the source for {expected} of the target; give one for each")]
    Positions {
        /// The hook point.
        point: String,
        /// Positions of the source.
        found: usize,
        /// Positions of the target.
        expected: usize,
    },
    /// A sequence too long for what was asked.
    #[error("{what} of {len} tokens would hold {len}×{len} numbers; the limit is {limit} tokens: {remedy}")]
    TooLong {
        /// What was asked for.
        what: &'static str,
        /// The length.
        len: usize,
        /// The limit.
        limit: usize,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor of another shape than the model's.
    #[error("{what} has shape {found:?}; expected {expected}")]
    Shape {
        /// Which tensor.
        what: &'static str,
        /// The shape found.
        found: Vec<usize>,
        /// The shape expected, in words.
        expected: String,
    },
    /// A computation that did not converge: the numbers it was given are not finite.
    #[error("{what} did not converge; are the model's weights finite?")]
    NotConverged {
        /// Which computation.
        what: &'static str,
    },
    /// Threads could not be had.
    #[error("cannot start {count} threads: {why}; ask for fewer")]
    Threads {
        /// How many were asked for.
        count: usize,
        /// What the system said.
        why: String,
    },
    /// The model refused.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A hook asked for what is not there.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
