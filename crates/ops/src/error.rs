//! What can be wrong with the arguments of an operation.

/// An argument that an operation of this crate cannot accept.
///
/// Functions return [`candle_core::Result`] so that they mix with Candle's own; the typed error
/// travels inside as a wrapped error.
#[derive(Debug, thiserror::Error)]
pub enum OpsError {
    /// A tensor of the wrong shape.
    #[error("{op}: `{argument}` has shape {found:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The name of its argument.
        argument: &'static str,
        /// The shape that was given.
        found: Vec<usize>,
        /// The shape that is needed, in the letters of the crate's documentation.
        expected: String,
    },
    /// A tensor of the wrong element type.
    #[error("{op}: `{argument}` has dtype {found}, expected {expected}; convert it with `to_dtype`")]
    DType {
        /// The operation.
        op: &'static str,
        /// The name of its argument.
        argument: &'static str,
        /// The dtype that was given.
        found: &'static str,
        /// The dtypes that are accepted.
        expected: &'static str,
    },
    /// A number outside its range.
    #[error("{op}: `{argument}` is {found}, expected {expected}")]
    Value {
        /// The operation.
        op: &'static str,
        /// The name of its argument.
        argument: &'static str,
        /// The value that was given.
        found: String,
        /// The range that is accepted.
        expected: String,
    },
    /// Names of tensors that do not fit the parameters of the model.
    #[error(
        "{op}: the names do not match the parameters: missing {missing:?}, unexpected {unexpected:?}; \
         use the model configuration the tensors were made with"
    )]
    Names {
        /// The operation.
        op: &'static str,
        /// Names that are needed and were not given.
        missing: Vec<String>,
        /// Names that were given and belong to nothing.
        unexpected: Vec<String>,
    },
    /// A tensor whose shape or dtype differs from the parameter of the same name.
    #[error("{op}: `{name}` has {found}, expected {expected}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// The name of the parameter.
        name: String,
        /// What was given.
        found: String,
        /// What the parameter has.
        expected: String,
    },
    /// Parameters that the loss does not depend on.
    #[error("gradients: no gradient reached {0:?}; use these parameters in the loss or do not create them")]
    NoGradient(Vec<String>),
}

impl From<OpsError> for candle_core::Error {
    fn from(error: OpsError) -> Self {
        candle_core::Error::wrap(error)
    }
}
