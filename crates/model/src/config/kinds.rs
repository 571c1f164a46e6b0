//! The kinds there are of each part of a transformer.

use serde::{Deserialize, Serialize};

/// How queries and keys are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QkNorm {
    /// Which normalisation.
    pub norm: Norm,
    /// What it is taken over.
    pub over: Over,
    /// Bias of a LayerNorm.
    pub bias: bool,
}

impl Default for QkNorm {
    fn default() -> Self {
        Self { norm: Norm::Rms, over: Over::Head, bias: false }
    }
}

/// What the normalisation of queries and keys is taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Each head, with one weight (K) for all heads (Qwen3, Phi).
    Head,
    /// Each head, with a weight of its own: (H, K) (Cohere, StableLM).
    EachHead,
    /// All heads together, with a weight (H·K) (OLMo 2, MPT).
    AllHeads,
}

/// A mixture of experts in place of a block's MLP: router(x) gives a score for each expert, the `per_token` best
/// compute, and their outputs are summed with the softmax of their scores (Jiang et al. 2024, arXiv 2401.04088).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experts {
    /// Number of experts.
    pub count: usize,
    /// How many compute for a token.
    pub per_token: usize,
    /// Bias of the router.
    pub router_bias: bool,
}

/// The MLP of a block. `up`, `gate`: D → M; `down`: M → D.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mlp {
    /// No MLP: an attention-only model.
    None,
    /// down(relu(up(x))).
    Relu,
    /// down(gelu(up(x))), tanh form.
    Gelu,
    /// down(gelu(up(x))), exact form.
    GeluErf,
    /// down(silu(up(x))).
    Silu,
    /// down(silu(gate(x)) · up(x)) (Shazeer 2020).
    Swiglu,
    /// down(gelu(gate(x)) · up(x)), tanh form (Shazeer 2020).
    Geglu,
    /// down(gelu(gate(x)) · up(x)), exact form (ModernBERT).
    GegluErf,
    /// down(relu(gate(x)) · up(x)) (Shazeer 2020).
    Reglu,
    /// down(u·σ(1.702·u)), u = up(x) (CLIP).
    QuickGelu,
    /// down(relu(up(x))²) (So et al. 2021).
    ReluSquared,
    /// down(tanh(up(x))).
    Tanh,
    /// down(g·σ(a·g)·(u + 1)), g = min(gate(x), c), u = up(x) within ±c (gpt-oss); a and c: [`Clamp`].
    ClampedSwiglu,
}

/// The numbers in [`Mlp::ClampedSwiglu`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Clamp {
    /// The bound c.
    pub limit: f64,
    /// The factor a in the sigmoid.
    pub gain: f64,
}

impl Default for Clamp {
    fn default() -> Self {
        Self { limit: 7.0, gain: 1.702 }
    }
}

impl Mlp {
    /// Whether a gate projection stands beside `up`.
    pub fn is_gated(self) -> bool {
        matches!(self, Mlp::Swiglu | Mlp::Geglu | Mlp::GegluErf | Mlp::Reglu | Mlp::ClampedSwiglu)
    }
}

/// What stands in the softmax of attention beside the keys: a key that every query sees and whose value is zero, so that
/// a head for which nothing is relevant need not write anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NullOption {
    /// Nothing: the weights of the keys sum to 1.
    None,
    /// A key with score 0: exp(s)/(1 + Σ exp(s)), softmax "off by one" (Miller 2023).
    Zero,
    /// A key with a learned score for each head, 0 at first: the sinks of gpt-oss (OpenAI 2025; Xiao et al. 2024).
    Learned,
}

/// Normalisation over the last dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Norm {
    /// None at all.
    None,
    /// (x − mean)/√(var + ε)·w + b (Ba et al. 2016).
    Layer,
    /// x/√(mean(x²) + ε)·w (Zhang and Sennrich 2019).
    Rms,
}

/// Where the normalisation stands around a sublayer f.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// x + f(norm(x)), and once more before the head (GPT-2, Llama).
    Pre,
    /// norm(x + f(x)) (Vaswani et al. 2017, BERT).
    Post,
    /// x + norm(f(norm(x))), and once more before the head (Gemma 2).
    Sandwich,
    /// x + norm(f(x)), and once more before the head (OLMo 2).
    Output,
    /// n + f(n), n = norm(x), and once more before the head (BLOOM's and Falcon's option).
    Normed,
}

impl NormPlacement {
    /// Whether the stream itself passes a norm in every block, so that what a sublayer adds does not stay what it was.
    pub fn norms_the_stream(self) -> bool {
        matches!(self, Self::Post | Self::Normed)
    }

    /// Whether a norm stands before the head.
    pub fn ends_with_norm(self) -> bool {
        self != Self::Post
    }
}

/// How a block adds its two sublayers to the stream, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// The MLP reads the stream after attention has been added.
    Sequential,
    /// Attention and MLP read the same stream, each through its own norm (GPT-NeoX).
    Parallel,
    /// Attention and MLP read the same normalised stream (GPT-J, Phi).
    ParallelSharedNorm,
    /// No skip connection: x becomes f(x), attention first, then the MLP. Without MLP this is pure attention, whose
    /// tokens become one another doubly exponentially with depth (Dong et al. 2021, arXiv 2103.03404).
    None,
}

impl Residual {
    /// Whether attention and MLP read the same stream.
    pub fn is_parallel(self) -> bool {
        matches!(self, Self::Parallel | Self::ParallelSharedNorm)
    }
}

/// How weights are drawn. Biases start at 0.
///
/// It decides how loud positions are beside tokens: sinusoids have amplitude 1 and learned tables `init_std`, whatever
/// the token embeddings start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initialisation {
    /// N(0, 0.02²) for matrices and embeddings, ÷ √(2·n_layers) for those that write to the stream.
    Gpt2,
    /// PyTorch's defaults for weights: U(±1/√fan_in) for matrices, N(0, 1) for embeddings.
    Torch,
}

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Those up to itself.
    Causal,
    /// All.
    Bidirectional,
}
