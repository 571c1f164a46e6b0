//! Llama 1 to 3 (Touvron et al. 2023), and what its many relatives share with it.

use attnlab_model::{Architecture, Mask, Mlp, Norm};

use super::rope::RopeDefaults;
use super::{Activation, Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "Llama", model_types: &["llama"], prefix: "model.", ignored: IGNORED, translate };

/// Tables of rotary positions, which old checkpoints hold.
pub(super) const IGNORED: &[&str] =
    &["*.rotary_emb.inv_freq", "*.rotary_emb.cos_cached", "*.rotary_emb.sin_cached"];

/// In what the relatives' configurations differ where a key is absent.
pub(super) struct Defaults {
    pub(super) kv_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) eps: (&'static str, f64),
    pub(super) mlp: Form,
    pub(super) tied: bool,
    pub(super) max_len: usize,
    pub(super) rope: RopeDefaults,
}

/// What of the configuration says which MLP it is: a key, and the activation where the key is absent.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Gated(&'static str, &'static str),
    Plain(&'static str, &'static str),
    /// This one, whatever the configuration says.
    Fixed(Mlp),
}

impl Form {
    fn read(self, config: &Config) -> Result<Mlp> {
        match self {
            Self::Gated(key, default) => Activation::read(config, key, default)?.gated(config, key),
            Self::Plain(key, default) => Ok(Activation::read(config, key, default)?.plain()),
            Self::Fixed(mlp) => Ok(mlp),
        }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            kv_heads: None,
            head_dim: None,
            eps: ("rms_norm_eps", 1e-6),
            mlp: Form::Gated("hidden_act", "silu"),
            tied: false,
            max_len: 2048,
            rope: RopeDefaults::whole(1e4),
        }
    }
}

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let mut blueprint = body(cx, &Defaults::default())?;
    biases(cx, &mut blueprint.config.architecture)?;
    Ok(blueprint)
}

/// `attention_bias` and `mlp_bias`, which some relatives heed.
pub(super) fn biases(cx: &Context<'_>, architecture: &mut Architecture) -> Result<()> {
    architecture.qkv_bias = cx.config.flag_or("attention_bias", false)?;
    architecture.out_bias = architecture.qkv_bias;
    architecture.mlp_bias = cx.config.flag_or("mlp_bias", false)?;
    Ok(())
}

/// A decoder with RMSNorm before each sublayer, rotary positions and an MLP, without biases.
pub(super) fn body(cx: &Context<'_>, defaults: &Defaults) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("hidden_size")?;
    let n_layers = cx.layers("num_hidden_layers")?;
    let n_heads = c.count("num_attention_heads")?;
    // A default counts where the key is absent, not where it is null.
    let head_dim = match c.value("head_dim") {
        Some(_) => Some(c.count("head_dim")?),
        None => c.count_or_null("head_dim", defaults.head_dim)?,
    };
    let head_dim = match head_dim {
        Some(width) => width,
        None => cx.head_width(d, n_heads)?,
    };
    let kv_heads = c.count_or_null("num_key_value_heads", defaults.kv_heads)?.unwrap_or(n_heads);
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) =
        cx.head(vocab, "lm_head.weight", "model.embed_tokens.weight", defaults.tied)?;
    let max_len = c.count_or("max_position_embeddings", defaults.max_len)?.max(1);
    // Transformers turns a decoder into an encoder with it.
    c.refuse_unless("is_causal", &true.into())?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        n_kv_heads: Some(kv_heads),
        head_dim: Some(head_dim),
        d_mlp: Some(c.count("intermediate_size")?),
        mlp: defaults.mlp.read(c)?,
        norm: Norm::Rms,
        norm_eps: c.number_or(defaults.eps.0, defaults.eps.1)?,
        qkv_bias: false,
        out_bias: false,
        mlp_bias: false,
        tie_embeddings,
        ..Architecture::default()
    };
    let position = defaults.rope.read(c, max_len)?;
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names: names(n_layers) })
}

/// The names of such a decoder.
pub(super) fn names(n_layers: usize) -> Names {
    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("model.embed_tokens.weight"));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        for (our, their) in [
            ("attn_norm", "input_layernorm"),
            ("attn.q", "self_attn.q_proj"),
            ("attn.k", "self_attn.k_proj"),
            ("attn.v", "self_attn.v_proj"),
            ("attn.o", "self_attn.o_proj"),
            ("attn.q_norm", "self_attn.q_norm"),
            ("attn.k_norm", "self_attn.k_norm"),
            ("mlp_norm", "post_attention_layernorm"),
            ("mlp.gate", "mlp.gate_proj"),
            ("mlp.up", "mlp.up_proj"),
            ("mlp.down", "mlp.down_proj"),
        ] {
            names.pair(&format!("{ours}.{our}"), &format!("{theirs}.{their}"));
        }
    }
    names.pair("final_norm", "model.norm");
    names.pair("head", "lm_head");
    names
}
