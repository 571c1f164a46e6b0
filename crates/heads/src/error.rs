//! What can be wrong with a map.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, HeadsError>;

/// A tensor that is no attention map.
#[derive(Debug, thiserror::Error)]
pub enum HeadsError {
    /// Not four axes, or not as many rows as said.
    #[error("pattern has shape {found:?}; expected (batch, heads, {rows} query rows, keys)")]
    Shape {
        /// The shape found.
        found: Vec<usize>,
        /// The number of rows expected, in words.
        rows: String,
    },
    /// A map with another number of heads than those before it.
    #[error("pattern has {found} heads, but the maps before it had {expected}; use one tally a layer")]
    Heads {
        /// Heads found.
        found: usize,
        /// Heads expected.
        expected: usize,
    },
    /// A query row that stands at no key.
    #[error("query row {row} does not exist in a map of {keys} keys")]
    NoSuchRow {
        /// The row's position.
        row: usize,
        /// The number of keys.
        keys: usize,
    },
    /// A weight that is negative or not finite.
    #[error(
        "pattern[{batch}, {head}, {row}, {key}] is {value}; expected a finite weight of at least 0 (is this the scores?)"
    )]
    Weight {
        /// Batch entry.
        batch: usize,
        /// Head, counted in this tensor.
        head: usize,
        /// Position of the query row.
        row: usize,
        /// Key.
        key: usize,
        /// The value.
        value: f64,
    },
    /// A weight on a key the mask hides.
    #[error(
        "pattern[{batch}, {head}, {row}, {key}] is {value}, but a causal query sees no key after itself; use Mask::Full"
    )]
    Ahead {
        /// Batch entry.
        batch: usize,
        /// Head, counted in this tensor.
        head: usize,
        /// Position of the query row.
        row: usize,
        /// Key.
        key: usize,
        /// The value.
        value: f64,
    },
    /// The captured points are not what statistics are made of.
    #[error(transparent)]
    Hook(#[from] attnlab_hooks::HookError),
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}
