//! Gemma (Gemma Team 2024, arXiv 2403.08295), and what Gemma 2 and 3 share with it.

use super::llama::{self, Defaults, Form, IGNORED};
use super::{Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "Gemma", model_types: &["gemma"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_flag("use_bidirectional_attention")?;
    // The first configurations say "gelu" and mean its tanh form; `hidden_activation`, which some have besides, is not
    // heeded by transformers either.
    let mlp = match c.maybe_text("hidden_act")?.as_deref() {
        Some("gelu") => Form::Fixed(attnlab_model::Mlp::Geglu),
        _ => Form::Gated("hidden_act", "gelu_pytorch_tanh"),
    };
    let mut blueprint = body(cx, Defaults { kv_heads: Some(16), mlp, ..Defaults::default() })?;
    for l in 0..blueprint.config.architecture.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        norm(&mut blueprint.names, &format!("{ours}.attn_norm"), &format!("{theirs}.input_layernorm"));
        norm(
            &mut blueprint.names,
            &format!("{ours}.mlp_norm"),
            &format!("{theirs}.post_attention_layernorm"),
        );
    }
    Ok(blueprint)
}

/// Llama with embeddings times √D, heads of width 256 and a tied head; the norms in its blocks remain to be named.
pub(super) fn body(cx: &Context<'_>, defaults: Defaults) -> Result<Blueprint> {
    let defaults = Defaults { head_dim: Some(256), tied: true, ..defaults };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    a.embedding_scale = (a.d_model as f64).sqrt();
    a.qkv_bias = cx.config.flag_or("attention_bias", false)?;
    a.out_bias = a.qkv_bias;
    norm(&mut blueprint.names, "final_norm", "model.norm");
    Ok(blueprint)
}

/// A norm whose weight is stored as what differs from 1.
pub(super) fn norm(names: &mut Names, ours: &str, theirs: &str) {
    names.add(format!("{ours}.weight"), Recipe::tensor(format!("{theirs}.weight")).plus(1.0));
}
