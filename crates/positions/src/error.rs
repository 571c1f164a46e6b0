//! What can be wrong with a configuration or with the positions asked for.

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, PositionError>;

/// A field of the `[position]` table that no encoding can be built from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position.{}: {problem}", self.path())]
pub struct ConfigError {
    /// The tables between `[position]` and the field, each with a dot after it: `over.` of an encoding that another
    /// one changes.
    pub above: String,
    /// The field.
    pub field: &'static str,
    /// What was found, what was expected and what to do.
    pub problem: String,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { above: String::new(), field, problem: problem.into() }
    }

    /// Refuses more positions than a u32 can number.
    pub(crate) fn unless_numbered(field: &'static str, positions: usize) -> std::result::Result<(), Self> {
        match u32::try_from(positions) {
            Ok(_) => Ok(()),
            Err(_) => Err(Self::new(field, format!("{positions} is more than {} positions", u32::MAX))),
        }
    }

    /// The same error of an encoding that stands in the table `table` of another.
    pub(crate) fn below(self, table: &str) -> Self {
        Self { above: format!("{table}.{}", self.above), ..self }
    }

    /// The field as a dotted key of the `[position]` table.
    pub fn path(&self) -> String {
        format!("{}{}", self.above, self.field)
    }
}

/// Why an encoding could not be built or applied.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The configuration describes no encoding for this model.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A position that a learned table does not have.
    #[error(
        "position {position} is beyond the learned table, which has {table} positions (0 to {}); \
         set position.max_len to at least {} and train again, or use an encoding without a table",
        table - 1, position + 1
    )]
    BeyondTable {
        /// The position asked for.
        position: usize,
        /// The length of the table.
        table: usize,
    },
    /// A digit whose place within its number a table does not have.
    #[error(
        "digit {place} of a number, counted with its offset, is beyond the table, which has {table} places; \
         set position.max_digits so that the longest number fits, and train again"
    )]
    BeyondDigits {
        /// The digit's place, counted from 1, with the offset.
        place: usize,
        /// The length of the table.
        table: usize,
    },
    /// Rows of positions that differ in length, or none at all.
    #[error("places: rows of positions have lengths {found:?}; expected at least one row, all of one length")]
    RaggedRows {
        /// The lengths.
        found: Vec<usize>,
    },
    /// Positions that do not belong to the tensor.
    #[error(
        "{moment}: {rows} rows of {len} positions do not fit a tensor of {batch} × {time} tokens; \
         expected 1 or {batch} rows of {time}"
    )]
    Misfit {
        /// "embed", "rotate", "bias" or "content_bias".
        moment: &'static str,
        /// Rows of positions.
        rows: usize,
        /// Positions a row.
        len: usize,
        /// B of the tensor.
        batch: usize,
        /// T of the tensor.
        time: usize,
    },
    /// A sequence beyond what an encoding was set to.
    #[error(
        "{encoding}: a sequence of {len} tokens is beyond position.max_len = {most}; raise it and mind that time grows \
         with the third power of the length, or use an encoding without that limit"
    )]
    TooLong {
        /// The encoding's kind.
        encoding: &'static str,
        /// Tokens of the sequence.
        len: usize,
        /// The most it takes.
        most: usize,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// So that code whose result is Candle's can use `?`.
impl From<PositionError> for candle_core::Error {
    fn from(error: PositionError) -> Self {
        match error {
            PositionError::Tensor(error) => error,
            other => Self::wrap(other),
        }
    }
}
