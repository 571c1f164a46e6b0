//! What an encoding says of itself, and the macro that makes the configuration enum from one line per encoding.

use std::fmt;

use candle_nn::VarBuilder;

use crate::PositionConfig;
use crate::error::{ConfigError, Result};
use crate::none::NoPosition;
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
    /// Where another encoding does, which it changes.
    Another,
}

impl fmt::Display for Enters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nowhere => "nowhere",
            Self::Embeddings => "embeddings",
            Self::QueriesAndKeys => "queries and keys",
            Self::Scores => "scores",
            Self::Another => "another encoding",
        })
    }
}

/// What of an encoding is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it, for a model whose blocks share it.
    Whole,
    /// Where tokens stand and what acts on the embeddings: the model's part of an encoding whose blocks have their own.
    Embeddings,
    /// What acts on queries, keys and scores: a block's own part.
    Attention,
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

    /// The encoding that this one changes, `over` in its table.
    fn over(&self) -> Option<&PositionConfig> {
        None
    }

    /// What the encoding that this one changes may know of the model.
    fn shape_over(&self, shape: &Shape) -> Shape {
        *shape
    }

    /// Whether it says where tokens stand, in training at least.
    fn places_tokens(&self) -> bool {
        self.over().is_some_and(PositionConfig::places_tokens)
    }

    /// Whether every block has parameters of its own for it, `blocks.{l}.position.*`, rather than sharing one set.
    fn per_layer(&self) -> bool {
        self.over().is_some_and(PositionConfig::per_layer)
    }

    /// Number of trainable scalars; saturates.
    fn parameter_count(&self, shape: &Shape) -> usize {
        self.over().map_or(0, |over| over.parameter_count(Part::Whole, &self.shape_over(shape)))
    }

    /// Builds it; trainable tensors come from `vb`. Called only with what [`Encoding::validate`] accepts.
    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>>;

    /// Builds a part of it. An encoding of which every block has its own is taken to leave the embeddings alone; one
    /// that acts on both says here which part does what.
    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        match part {
            Part::Embeddings if self.per_layer() => Ok(Box::new(NoPosition)),
            _ => self.build(shape, vb),
        }
    }

    /// Number of trainable scalars of a part; saturates.
    fn part_parameter_count(&self, part: Part, shape: &Shape) -> usize {
        match (self.over(), part) {
            (Some(over), part) => over.parameter_count(part, &self.shape_over(shape)),
            (None, Part::Embeddings) if self.per_layer() => 0,
            (None, _) => self.parameter_count(shape),
        }
    }
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

            /// The encoding that this one changes, if it changes one.
            pub fn over(&self) -> Option<&PositionConfig> {
                match self { $(Self::$variant(config) => config.over(),)* }
            }

            /// Whether it says where tokens stand, in training at least.
            pub fn places_tokens(&self) -> bool {
                match self { $(Self::$variant(config) => config.places_tokens(),)* }
            }

            /// Whether every block has parameters of its own for it: [`Part::Attention`] is built for each block,
            /// [`Part::Embeddings`] for the model.
            pub fn per_layer(&self) -> bool {
                match self { $(Self::$variant(config) => config.per_layer(),)* }
            }

            /// Number of trainable scalars of a part; saturates.
            pub fn parameter_count(&self, part: Part, shape: &Shape) -> usize {
                match self { $(Self::$variant(config) => config.part_parameter_count(part, shape),)* }
            }

            /// Builds a part of the encoding; its trainable tensors come from `vb`.
            pub fn build(
                &self,
                part: Part,
                shape: &Shape,
                vb: ::candle_nn::VarBuilder,
            ) -> Result<Box<dyn Position>> {
                self.validate(shape)?;
                match self { $(Self::$variant(config) => config.build_part(part, shape, vb),)* }
            }
        }

        /// Every encoding there is.
        pub fn registry() -> &'static [Info] {
            const { &[$(<$module::Config as Encoding>::INFO),*] }
        }
    };
}
pub(crate) use registry;
