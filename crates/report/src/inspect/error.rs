//! Why a map could not be packed or a page not be written.

/// What was wrong with the data of an inspection page, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A map of nothing, or of more tokens than an index of 32 bits counts.
    #[error("a map of {tokens} tokens cannot be packed; it needs at least 1 and at most {most}", most = u32::MAX - 1)]
    Tokens {
        /// Tokens asked for.
        tokens: usize,
    },
    /// A row outside the map.
    #[error("query {query} is outside a map of {tokens} tokens; queries count from 0")]
    Query {
        /// The row given.
        query: usize,
        /// Tokens of the map.
        tokens: usize,
    },
    /// Weights outside the keys a row can see.
    #[error(
        "row {query} was given keys {first}..{end}; it sees 0..{visible}{}",
        if *causal { " (the map is causal: pack the visible keys only, or pack it as a full map)" } else { "" }
    )]
    Keys {
        /// The row given.
        query: usize,
        /// First key given.
        first: usize,
        /// One past the last key given.
        end: usize,
        /// Keys that the row sees.
        visible: usize,
        /// Whether the map is causal.
        causal: bool,
    },
    /// A head outside its model.
    #[error("{what} of layer {layer}, head {head}: the model has {n_layers} layers of {n_heads} heads")]
    Head {
        /// What was given for it.
        what: &'static str,
        /// Layer asked for.
        layer: usize,
        /// Head asked for.
        head: usize,
        /// Layers there are.
        n_layers: usize,
        /// Heads of each.
        n_heads: usize,
    },
    /// A reading of a model that the page does not list.
    #[error("reading {reading} ({text}) names model {model}; the page has {models}")]
    Model {
        /// Index of the reading.
        reading: usize,
        /// Its text's label.
        text: String,
        /// The model's index as given.
        model: usize,
        /// Models there are.
        models: usize,
    },
    /// A list whose length does not fit.
    #[error("reading {reading} ({text}) has {found} {what}; expected {expected}")]
    Count {
        /// Index of the reading.
        reading: usize,
        /// Its text's label.
        text: String,
        /// What is counted.
        what: &'static str,
        /// How many were given.
        found: usize,
        /// How many belong there.
        expected: usize,
    },
    /// Two maps of the same head and quantity in one reading.
    #[error("reading {reading} ({text}) has two maps of {quantity} for layer {layer}, head {head}")]
    Twice {
        /// Index of the reading.
        reading: usize,
        /// Its text's label.
        text: String,
        /// Layer of both.
        layer: usize,
        /// Head of both.
        head: usize,
        /// What both show.
        quantity: &'static str,
    },
    /// A packed map that does not unpack: its bytes were damaged.
    #[error("a packed map of {tokens} tokens unpacks to {found} bytes; expected {expected}")]
    Damaged {
        /// Tokens of the map.
        tokens: usize,
        /// Bytes found.
        found: usize,
        /// Bytes expected.
        expected: usize,
    },
    /// A picture of nothing.
    #[error("no picture of {what}: {reason}")]
    Picture {
        /// What was to be drawn.
        what: &'static str,
        /// Why it was not.
        reason: String,
    },
    /// The template failed.
    #[error("rendering the page: {0}")]
    Template(#[from] askama::Error),
    /// The page's data failed.
    #[error("writing the page's data: {0}")]
    Data(#[from] serde_json::Error),
    /// The file could not be written, or compression failed.
    #[error("writing: {0}")]
    Io(#[from] std::io::Error),
}

/// Shorthand.
pub(super) type Result<T> = std::result::Result<T, InspectError>;
