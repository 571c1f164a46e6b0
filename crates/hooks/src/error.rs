//! What can go wrong with a hook, said so that the reader knows what to type instead.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, HookError>;

/// A hook that names nothing, asks for what the model lacks, or never fired.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The text is no point's name.
    #[error("unknown hook point `{name}`; nearest names: {near}")]
    UnknownPoint {
        /// The text as given.
        name: String,
        /// The nearest names that exist.
        near: String,
    },
    /// The layer part of a pattern cannot be read.
    #[error(
        "hook point `{name}`: layers `{found}` are not a number, `*`, or a set such as `{{0,3-5}}` with ascending ranges"
    )]
    BadLayers {
        /// The pattern as given.
        name: String,
        /// Its layer part.
        found: String,
    },
    /// The layer does not exist.
    #[error("hook point `{name}`: layer {layer} does not exist; the model has layers 0 to {}", n_layers.saturating_sub(1))]
    NoSuchLayer {
        /// The pattern as given.
        name: String,
        /// The layer asked for.
        layer: usize,
        /// How many layers the model has.
        n_layers: usize,
    },
    /// The model cannot fire this point.
    #[error("hook point `{name}` never fires in this model: {why}")]
    Absent {
        /// The pattern as given.
        name: String,
        /// Why, and what to hook instead.
        why: &'static str,
    },
    /// Heads were selected at a point that has none.
    #[error("hook point `{name}` has no head axis ({axes}): leave out the selection of heads")]
    NoHeads {
        /// The pattern as given.
        name: String,
        /// The point's axes.
        axes: &'static str,
    },
    /// The head does not exist.
    #[error("hook point `{name}`: head {head} does not exist; the point has {kind} 0 to {}", n_heads.saturating_sub(1))]
    NoSuchHead {
        /// The pattern as given.
        name: String,
        /// The head asked for.
        head: usize,
        /// How many the point has.
        n_heads: usize,
        /// "query heads" or "key/value heads".
        kind: &'static str,
    },
    /// A selection is empty or out of order.
    #[error(
        "hook point `{name}`: the {axis} selection {found:?} must be ascending, without repeats, and not empty"
    )]
    BadSelection {
        /// The pattern as given.
        name: String,
        /// "batch", "rows" or "heads".
        axis: &'static str,
        /// The selection as given.
        found: Vec<usize>,
    },
    /// Two captures of one point.
    #[error("hook point `{point}` is captured twice: give one capture whose scope covers both")]
    CapturedTwice {
        /// The point.
        point: String,
    },
    /// This change makes no sense at this point.
    #[error("hook point `{name}` cannot be changed by `{change}`: {why}")]
    BadChange {
        /// The pattern as given.
        name: String,
        /// The change's name.
        change: &'static str,
        /// Why, and what to do instead.
        why: &'static str,
    },
    /// A selection reaches beyond the tensor that fired.
    #[error("{site}: {axis} {index} does not exist; this run's tensor has {size} along that axis")]
    OutOfRange {
        /// The site.
        site: String,
        /// "batch", "rows", "heads" or "key".
        axis: &'static str,
        /// The index asked for.
        index: usize,
        /// The size found.
        size: usize,
    },
    /// A tensor does not have the axes its point promises.
    #[error("{site}: a tensor of shape {found:?} fired; expected {expected}")]
    WrongRank {
        /// The site.
        site: String,
        /// The shape found.
        found: Vec<usize>,
        /// The axes expected.
        expected: &'static str,
    },
    /// A replacement does not fit.
    #[error(
        "{point}: the replacement of shape {found:?} does not broadcast to the selected part {expected:?}"
    )]
    BadReplacement {
        /// The point.
        point: String,
        /// The replacement's shape.
        found: Vec<usize>,
        /// The shape it must broadcast to.
        expected: Vec<usize>,
    },
    /// Something asked for did not happen.
    #[error("these hooks never fired: {points}; the model ran without reaching them, or did not run")]
    NeverFired {
        /// The points.
        points: String,
    },
    /// A value was asked of a capture that does not hold it.
    #[error("`{point}` was not captured; captured are: {captured}")]
    NotCaptured {
        /// The point.
        point: String,
        /// What is there.
        captured: String,
    },
    /// A point fired another number of times than the question supposes.
    #[error("`{point}` fired {times} times: read all of them with `Capture::values`")]
    FiredOften {
        /// The point.
        point: String,
        /// How often it fired.
        times: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// So that a model whose forward pass returns Candle's error can use `?` on [`observe`](crate::observe).
impl From<HookError> for candle_core::Error {
    fn from(error: HookError) -> Self {
        match error {
            HookError::Tensor(error) => error,
            other => Self::wrap(other),
        }
    }
}
