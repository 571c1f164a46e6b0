//! What pretrained models have besides the choices of an [`super::Architecture`].

use attnlab_positions::PositionConfig;
use serde::{Deserialize, Serialize};

use super::Mlp;

/// What pretrained models have besides: nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Details {
    /// In what each block differs from the architecture; empty if all are alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<Layer>,
    /// Number of segment ids with an embedding (BERT's token types); 0: none.
    pub segments: usize,
    /// Token embeddings narrower than the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factorised: Option<Factorised>,
    /// What stands before the head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_transform: Option<HeadTransform>,
    /// A convolution beside the first block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub convolution: Option<Convolution>,
    /// The final norm is left out although the placement has one.
    pub no_final_norm: bool,
    /// How positions follow from the tokens.
    pub counting: Counting,
}

/// In what one block differs from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Layer {
    /// Only keys at a distance below this are seen (Beltagy et al. 2020, Mistral).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// An encoding for the queries, keys and scores of this block, in place of the model's, with its own tensors
    /// `blocks.{l}.position.*`. The model's acts on the embeddings in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<PositionConfig>,
    /// Factor on q·k, in place of the architecture's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_scale: Option<f64>,
    /// Whether attention has its norm (ModernBERT's first block has none).
    pub attention_norm: bool,
}

impl Default for Layer {
    fn default() -> Self {
        Self { window: None, position: None, attention_scale: None, attention_norm: true }
    }
}

/// How narrower token embeddings come to the width of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factorised {
    /// Width E of the token embeddings.
    pub width: usize,
    /// When they are projected to width D: what comes before has width E too.
    pub projected: Projected,
    /// Bias of the projection.
    pub bias: bool,
}

/// When narrower embeddings are projected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Projected {
    /// Before positions and segments are added (OPT).
    BeforePositions,
    /// After positions and segments, before the embeddings' norm (DeBERTa).
    BeforeNorm,
    /// After the embeddings' norm (ALBERT, ELECTRA).
    AfterNorm,
}

/// A convolution of the embeddings over time, whose result the first block's output takes up:
/// norm(x + f(conv(embeddings))) (DeBERTa-v2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convolution {
    /// Tokens under the kernel: an odd number, half of the rest on each side.
    pub kernel: usize,
    /// The activation f, named as the MLP that has it.
    pub activation: Mlp,
}

/// What stands between the last hidden state and the head: norm(f(x·W + b)) (BERT's prediction head).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadTransform {
    /// Its width, which the head reads.
    pub width: usize,
    /// Bias of the projection.
    pub bias: bool,
    /// The activation f, named as the MLP that has it.
    pub activation: Option<Mlp>,
    /// Whether the norm is there, of the architecture's kind.
    pub norm: bool,
    /// It belongs to the body: the final hidden states are what it gives (OPT).
    pub of_body: bool,
}

/// How positions follow from the tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// 0, 1, 2, …
    #[default]
    All,
    /// Padding has position 0, the other tokens 1, 2, 3, … (RoBERTa).
    WithoutPadding {
        /// The id of padding.
        pad: u32,
    },
}
