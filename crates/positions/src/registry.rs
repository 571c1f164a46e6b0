//! What an encoding says of itself, and the macro that makes the configuration enum from one line per encoding.

use std::fmt;

use candle_nn::VarBuilder;

use crate::error::{ConfigError, Result};
use crate::position::Position;

/// What an encoding may know of the model it is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Width of the residual stream, D.
    pub d_model: usize,
    /// Number of query heads, H.
    pub n_heads: usize,
    /// Dimensions of one head, K.
    pub head_dim: usize,
    /// Longest sequence the model promises to work on; a learned table is this long unless it says otherwise.
    pub max_len: usize,
    /// Whether a query sees only keys at or before its own position.
    pub causal: bool,
}

/// Where an encoding enters the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enters {
    /// Nowhere.
    Nowhere,
    /// It is added to the embeddings.
    Embeddings,
    /// It turns queries and keys.
    QueriesAndKeys,
    /// It is added to the attention scores.
    Scores,
}

impl fmt::Display for Enters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "nowhere",
            Self::Embeddings => "embeddings",
            Self::QueriesAndKeys => "queries and keys",
            Self::Scores => "scores",
        })
    }
}

/// What a reader wants to know of an encoding.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// The name in a configuration: `kind = "rope"`.
    pub kind: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// The equation.
    pub formula: &'static str,
    /// Where it enters the model.
    pub enters: Enters,
    /// Its trainable parameters, in words.
    pub parameters: &'static str,
    /// The paper.
    pub source: &'static str,
    /// The lines of a `[position]` table that sets every field, in TOML.
    pub example: &'static str,
}

/// An encoding's configuration: what the registry needs of it.
pub trait Encoding {
    /// What a reader wants to know.
    const INFO: Info;

    /// The exact name of this variant for tables and legends, such as `learned+offset` or `rope (25 %)`.
    fn label(&self) -> String;

    /// Refuses what cannot be built for this model; the error names the field.
    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError>;

    /// Number of trainable scalars; saturates.
    fn parameter_count(&self, shape: &Shape) -> usize {
        let _ = shape;
        0
    }

    /// Builds it; trainable tensors come from `vb`. Called only with what [`Encoding::validate`] accepts.
    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>>;
}

/// One line per encoding: `module => Variant`. The variant in snake case is its `kind`.
macro_rules! registry {
    ($($module:ident => $variant:ident),* $(,)?) => {
        $(pub mod $module;)*

        /// The configuration of a positional encoding, externally tagged: `{ rope = { base = 10000.0 } }`.
        #[derive(Clone, Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum PositionConfig {
            $(#[doc = concat!("See [`mod@", stringify!($module), "`].")]
            $variant($module::Config),)*
        }

        impl PositionConfig {
            /// The name in a configuration: `kind = "rope"`.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => <$module::Config as Encoding>::INFO.kind,)* }
            }

            /// The exact name of this variant for tables and legends, such as `learned+offset` or `rope (25 %)`.
            pub fn label(&self) -> String {
                match self { $(Self::$variant(config) => config.label(),)* }
            }

            /// Refuses what cannot be built for this model; the error names the field.
            pub fn validate(&self, shape: &Shape) -> ::std::result::Result<(), ConfigError> {
                match self { $(Self::$variant(config) => config.validate(shape),)* }
            }

            /// Number of trainable scalars of the encoding; saturates.
            pub fn parameter_count(&self, shape: &Shape) -> usize {
                match self { $(Self::$variant(config) => config.parameter_count(shape),)* }
            }

            /// Builds the encoding; its trainable tensors come from `vb`.
            pub fn build(&self, shape: &Shape, vb: ::candle_nn::VarBuilder) -> Result<Box<dyn Position>> {
                self.validate(shape)?;
                match self { $(Self::$variant(config) => config.build(shape, vb),)* }
            }
        }

        /// Every encoding there is.
        pub fn registry() -> &'static [Info] {
            const { &[$(<$module::Config as Encoding>::INFO),*] }
        }
    };
}
pub(crate) use registry;
