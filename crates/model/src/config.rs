//! What a transformer is made of: every choice a field, nothing decided elsewhere.

mod attention;
mod details;
pub(crate) mod kind;
mod kinds;

use attnlab_positions::PositionConfig;
use serde::{Deserialize, Serialize};

pub use attention::{AttentionForm, ExtraKey, Gate, ScoreScale};
pub use details::{Convolution, Counting, Details, Factorised, HeadTransform, Layer, Projected};
pub use kind::Nothing;
pub use kinds::{
    Clamp, Experts, Initialisation, Mask, Mlp, Norm, NormPlacement, NullOption, Over, QkNorm, Residual,
};

/// The choices a person makes, as the `[model]` table of an experiment holds them.
///
/// The defaults are a small GPT-2: pre-norm LayerNorm, GELU in its tanh form, biases everywhere, untied head.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Architecture {
    /// Width D of the residual stream.
    pub d_model: usize,
    /// Number of blocks.
    pub n_layers: usize,
    /// Query heads H of each block.
    pub n_heads: usize,
    /// Key/value heads G, each serving H/G query heads (Ainslie et al. 2023). Default: H.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_kv_heads: Option<usize>,
    /// Width K of one head. Default: D/H.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Width of the MLP's inner layer. Default: 4·D.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub d_mlp: Option<usize>,
    /// What the MLP computes.
    pub mlp: Mlp,
    /// What bounds `clamped_swiglu`.
    #[serde(skip_serializing_if = "is_default")]
    pub clamp: Clamp,
    /// Several MLPs, of which a router chooses some for each token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experts: Option<Experts>,
    /// Which normalisation.
    pub norm: Norm,
    /// ε inside the normalisation's square root.
    pub norm_eps: f64,
    /// Where the normalisation stands.
    pub norm_placement: NormPlacement,
    /// How attention and MLP are added to the stream.
    pub residual: Residual,
    /// Factor on what attention and MLP add (Granite).
    #[serde(skip_serializing_if = "is_one")]
    pub residual_scale: f64,
    /// Normalise the embeddings before the first block (BLOOM, BERT).
    pub embedding_norm: bool,
    /// Factor on the token embeddings (Vaswani et al. 2017 and Gemma: √D).
    pub embedding_scale: f64,
    /// Normalise queries and keys before positions enter (Henry et al. 2020, Qwen3).
    pub qk_norm: bool,
    /// How they are normalised: by default RMSNorm over each head.
    #[serde(skip_serializing_if = "is_default")]
    pub qk_norm_form: QkNorm,
    /// Bound on queries, keys and values, right after their projection (MPT).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_qkv: Option<f64>,
    /// Scores s become c·tanh(s/c) (Gemma 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_softcap: Option<f64>,
    /// Factor on q·k. Default: 1/√K.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attention_scale: Option<f64>,
    /// Biases on the query, key and value projections.
    pub qkv_bias: bool,
    /// Bias on the attention's output projection.
    pub out_bias: bool,
    /// Biases in the MLP.
    pub mlp_bias: bool,
    /// Biases of LayerNorm.
    pub norm_bias: bool,
    /// Bias of the head.
    pub head_bias: bool,
    /// The head's weight is the token embedding's.
    pub tie_embeddings: bool,
    /// Factor on the logits (Granite, Cohere).
    #[serde(skip_serializing_if = "is_one")]
    pub logit_scale: f64,
    /// Logits x become c·tanh(x/c) (Gemma 2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_softcap: Option<f64>,
    /// Dropout on the embeddings and on what each sublayer adds to the stream, in training.
    pub dropout: f64,
    /// Dropout on the attention pattern, in training.
    pub attention_dropout: f64,
    /// Whether a head may attend to nothing.
    pub null_option: NullOption,
    /// How weights are drawn.
    pub init: Initialisation,
    /// Learned tokens in front of every sequence. They take the positions 0, …, n − 1, and the text's begin at n; hidden
    /// states and logits are those of the text.
    #[serde(skip_serializing_if = "is_default")]
    pub registers: usize,
    /// The form of attention, where it is not plain softmax.
    #[serde(skip_serializing_if = "is_default")]
    pub attention: AttentionForm,
}

impl Default for Architecture {
    fn default() -> Self {
        Self {
            d_model: 64,
            n_layers: 2,
            n_heads: 4,
            n_kv_heads: None,
            head_dim: None,
            d_mlp: None,
            mlp: Mlp::Gelu,
            clamp: Clamp::default(),
            experts: None,
            norm: Norm::Layer,
            norm_eps: 1e-5,
            norm_placement: NormPlacement::Pre,
            residual: Residual::Sequential,
            residual_scale: 1.0,
            embedding_norm: false,
            embedding_scale: 1.0,
            qk_norm: false,
            qk_norm_form: QkNorm::default(),
            clip_qkv: None,
            attention_softcap: None,
            attention_scale: None,
            qkv_bias: true,
            out_bias: true,
            mlp_bias: true,
            norm_bias: true,
            head_bias: false,
            tie_embeddings: false,
            logit_scale: 1.0,
            logit_softcap: None,
            dropout: 0.0,
            attention_dropout: 0.0,
            null_option: NullOption::None,
            init: Initialisation::Gpt2,
            registers: 0,
            attention: AttentionForm::default(),
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// A whole model: the architecture, and what the task or checkpoint decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Number of token ids V.
    pub vocab_size: usize,
    /// Width of the head: V for a language model, the number of classes for a labeller, 0 for a body without head.
    pub n_outputs: usize,
    /// Longest token sequence that is promised to work; a learned position table is this long.
    pub max_len: usize,
    /// Which keys a query may see.
    pub mask: Mask,
    /// The positional encoding.
    pub position: PositionConfig,
    /// Everything else that a person chooses.
    pub architecture: Architecture,
    /// What pretrained models have besides.
    #[serde(default, skip_serializing_if = "is_default")]
    pub details: Details,
}

/// A field of a model's configuration that cannot be.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// The field, as the `[model]` or `[position]` table calls it.
    pub field: &'static str,
    /// What was found, what was expected, what to do.
    pub problem: String,
}

impl Architecture {
    /// Key/value heads G.
    pub fn kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Width K of one head.
    pub fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.d_model / self.n_heads.max(1))
    }

    /// Width of the MLP's inner layer.
    pub fn mlp_width(&self) -> usize {
        self.d_mlp.unwrap_or(4 * self.d_model)
    }

    /// Refuses what no model can be built from.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |field, problem| Err(ConfigError { field, problem });
        for (field, value) in [
            ("d_model", Some(self.d_model)),
            ("n_layers", Some(self.n_layers)),
            ("n_heads", Some(self.n_heads)),
            ("n_kv_heads", self.n_kv_heads),
            ("head_dim", self.head_dim),
            ("d_mlp", self.d_mlp),
        ] {
            // 2^20 is far above any model and keeps every product of two sizes inside usize.
            if value.is_some_and(|v| v == 0 || v > 1 << 20) {
                let found = value.unwrap_or_default();
                return refuse(field, format!("{found} is not between 1 and 1048576"));
            }
        }
        if self.head_dim.is_none() && !self.d_model.is_multiple_of(self.n_heads) {
            let (d, h) = (self.d_model, self.n_heads);
            return refuse(
                "n_heads",
                format!("d_model {d} is not divisible by {h} heads; choose a divisor of {d} or set head_dim"),
            );
        }
        if !self.n_heads.is_multiple_of(self.kv_heads()) {
            let (h, g) = (self.n_heads, self.kv_heads());
            return refuse(
                "n_kv_heads",
                format!("{h} query heads cannot share {g} key/value heads evenly; choose a divisor of {h}"),
            );
        }
        for (field, p) in [("dropout", self.dropout), ("attention_dropout", self.attention_dropout)] {
            if !(0.0..1.0).contains(&p) {
                return refuse(field, format!("{p} is not in 0 ≤ p < 1"));
            }
        }
        if !(self.norm_eps > 0.0 && self.norm_eps.is_finite()) {
            return refuse("norm_eps", format!("{} is not a positive number", self.norm_eps));
        }
        for (field, factor) in [
            ("embedding_scale", Some(self.embedding_scale)),
            ("attention_scale", self.attention_scale),
            ("residual_scale", Some(self.residual_scale)),
            ("logit_scale", Some(self.logit_scale)),
        ] {
            if factor.is_some_and(|f| !f.is_finite()) {
                return refuse(field, "is not finite".to_string());
            }
        }
        for (field, bound) in [
            ("clamp.limit", Some(self.clamp.limit)),
            ("clamp.gain", Some(self.clamp.gain)),
            ("clip_qkv", self.clip_qkv),
            ("attention_softcap", self.attention_softcap),
            ("logit_softcap", self.logit_softcap),
        ] {
            if bound.is_some_and(|c| !(c.is_finite() && c > 0.0)) {
                return refuse(field, "is not a finite number above 0".to_string());
            }
        }
        if let Some(experts) = self.experts {
            let Experts { count, per_token, .. } = experts;
            if count == 0 || count > 1 << 16 || per_token == 0 || per_token > count {
                let problem =
                    format!("{per_token} of {count} experts cannot be chosen; at least one of them must");
                return refuse("experts", problem);
            }
            if self.mlp == Mlp::None {
                return refuse("experts", "experts are MLPs, and mlp is \"none\"".to_string());
            }
        }
        self.attention.validate(self)?;
        if self.registers > 1 << 16 {
            return refuse("registers", format!("{} is not between 0 and 65536", self.registers));
        }
        let alone = matches!(
            self.norm_placement,
            NormPlacement::Post | NormPlacement::Output | NormPlacement::Normed
        );
        if self.residual.is_parallel() && alone {
            return refuse(
                "residual",
                "a parallel block has no place for this norm; use norm_placement = \"pre\" or \"sandwich\""
                    .to_string(),
            );
        }
        if self.residual.is_parallel() && self.mlp == Mlp::None {
            return refuse(
                "residual",
                "a block without MLP has nothing to run in parallel; use \"sequential\"".to_string(),
            );
        }
        Ok(())
    }
}

impl ModelConfig {
    /// What a positional encoding may know of this model.
    pub fn position_shape(&self) -> attnlab_positions::Shape {
        let narrow = self.details.factorised.filter(|f| f.projected != Projected::BeforePositions);
        attnlab_positions::Shape {
            d_model: narrow.map_or(self.architecture.d_model, |factorised| factorised.width),
            n_heads: self.architecture.n_heads,
            head_dim: self.architecture.head_width() / self.architecture.attention.weights.parts(),
            max_len: self.max_len + self.architecture.registers,
            causal: self.mask == Mask::Causal,
        }
    }

    /// What a block's own encoding may know: it acts on the stream, whatever the embeddings' width is.
    pub fn layer_position_shape(&self) -> attnlab_positions::Shape {
        attnlab_positions::Shape { d_model: self.architecture.d_model, ..self.position_shape() }
    }

    /// Width of the embeddings' norm.
    pub fn embedding_norm_width(&self) -> usize {
        let narrow = self.details.factorised.filter(|f| f.projected == Projected::AfterNorm);
        narrow.map_or(self.architecture.d_model, |factorised| factorised.width)
    }

    /// Width of what the head reads.
    pub fn head_input(&self) -> usize {
        self.details.head_transform.map_or(self.architecture.d_model, |transform| transform.width)
    }

    /// Whether it is a language model that says, at each token, what follows.
    pub fn predicts_next_token(&self) -> bool {
        self.mask == Mask::Causal && self.n_outputs == self.vocab_size
    }

    /// What block `layer` has of its own.
    pub fn layer(&self, layer: usize) -> Layer {
        self.details.layers.get(layer).cloned().unwrap_or_default()
    }

    /// Refuses what no model can be built from.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.architecture.validate()?;
        let refuse = |field, problem| Err(ConfigError { field, problem });
        let details = &self.details;
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("n_outputs", self.n_outputs.max(1)),
            ("max_len", self.max_len),
            ("segments", details.segments.max(1)),
            ("factorised.width", details.factorised.map_or(1, |f| f.width)),
            ("head_transform.width", details.head_transform.map_or(1, |t| t.width)),
        ] {
            if value == 0 || value > 1 << 28 {
                return refuse(field, format!("{value} is not between 1 and 268435456"));
            }
        }
        let (layers, blocks) = (details.layers.len(), self.architecture.n_layers);
        if layers != 0 && layers != blocks {
            return refuse("layers", format!("{layers} layers are described of {blocks}"));
        }
        for (at, layer) in details.layers.iter().enumerate() {
            if layer.window == Some(0) {
                return refuse("layers", format!("layer {at}: a window of 0 hides every key"));
            }
            if let Some(position) = &layer.position {
                position
                    .validate(&self.layer_position_shape())
                    .map_err(|e| ConfigError { field: "layers", problem: format!("layer {at}: {e}") })?;
            }
        }
        if let Some(Convolution { kernel, .. }) = details.convolution
            && (kernel.is_multiple_of(2) || kernel > 1 << 10 || self.mask == Mask::Causal)
        {
            let problem =
                format!("a kernel of {kernel} tokens; expected an odd number, in a model that sees ahead");
            return refuse("convolution", problem);
        }
        let read = self.head_input();
        let embedded = details.factorised.map_or(self.architecture.d_model, |f| f.width);
        if self.architecture.tie_embeddings && self.n_outputs != 0 && read != embedded {
            return refuse(
                "tie_embeddings",
                format!(
                    "the head reads {read} numbers a token and the embedding has {embedded}; set it to false"
                ),
            );
        }
        if self.architecture.tie_embeddings && self.n_outputs != 0 && self.n_outputs != self.vocab_size {
            return refuse(
                "tie_embeddings",
                format!(
                    "a head of {} classes cannot share the embedding of {} tokens; set it to false",
                    self.n_outputs, self.vocab_size
                ),
            );
        }
        let registers = self.architecture.registers;
        if registers > 0 && self.position.places_tokens() {
            let problem = format!(
                "{registers} registers stand in front of the tokens, whose places \"{}\" decides; use another encoding or none",
                self.position.kind()
            );
            return refuse("registers", problem);
        }
        if registers > 0 && details.counting != Counting::All {
            return refuse(
                "registers",
                "positions that leave out padding have no place for registers".to_string(),
            );
        }
        self.position
            .validate(&self.position_shape())
            .map_err(|e| ConfigError { field: "position", problem: e.to_string() })
    }

    /// Multiply-adds ×2 of the matrix products in forward and backward, as `docs/performance.md` counts them:
    /// 3·B·T·(L·(24·D² + 2·T·D) + 2·D·V) for a plain block; causal attention counted at half of T×T.
    pub fn training_flops(&self, batch: usize, len: usize) -> f64 {
        let a = &self.architecture;
        let (h, k, t) = (a.n_heads as f64, a.head_width() as f64, len as f64);
        let attention = 4.0 * t * h * k * if self.mask == Mask::Causal { 0.5 } else { 1.0 };
        let per_token = a.n_layers as f64 * attention + self.linear_flops();
        3.0 * batch as f64 * t * per_token
    }

    /// Multiply-adds ×2 of the linear maps for one token in a forward pass: projections, MLP and head.
    pub fn linear_flops(&self) -> f64 {
        let a = &self.architecture;
        let (d, k) = (a.d_model as f64, a.head_width() as f64);
        let (h, g) = (a.n_heads as f64, a.kv_heads() as f64);
        let projections = 2.0 * d * k * (2.0 * h + 2.0 * g);
        let mlp_matrices = match a.mlp {
            Mlp::None => 0.0,
            gated if gated.is_gated() => 3.0,
            _ => 2.0,
        };
        let mlp = 2.0 * mlp_matrices * d * a.mlp_width() as f64;
        a.n_layers as f64 * (projections + mlp) + 2.0 * d * self.n_outputs as f64
    }
}
