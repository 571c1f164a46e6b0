//! Gemma 2 (Gemma Team 2024, arXiv 2408.00118), and what Gemma 3 shares with it.

use attnlab_model::NormPlacement;

use super::gemma::{self, norm};
use super::llama::{Defaults, Form, IGNORED};
use super::{Blueprint, Context, Family, windows};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Gemma 2", model_types: &["gemma2"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_flag("use_bidirectional_attention")?;
    let mut blueprint = body(cx, 8192)?;
    let a = &mut blueprint.config.architecture;
    a.attention_softcap = c.number_or_null("attn_logit_softcapping", Some(50.0))?;
    a.logit_softcap = c.number_or_null("final_logit_softcapping", Some(30.0))?;
    let sliding = windows::sliding(c, a.n_layers, |l| l % 2 == 0)?;
    let window = c.count_or_null("sliding_window", Some(4096))?;
    blueprint.config.details.layers = windows::layers(c, &sliding, window)?;
    Ok(blueprint)
}

/// Gemma with a norm before and after each sublayer, and a scale of its own on the scores.
pub(super) fn body(cx: &Context<'_>, max_len: usize) -> Result<Blueprint> {
    let c = cx.config;
    let mlp = Form::Gated("hidden_activation", "gelu_pytorch_tanh");
    let mut blueprint = gemma::body(cx, Defaults { kv_heads: Some(4), mlp, max_len, ..Defaults::default() })?;
    let a = &mut blueprint.config.architecture;
    cx.head_width(a.d_model, a.n_heads)?; // transformers refuses what does not divide, whatever head_dim says
    a.norm_placement = NormPlacement::Sandwich;
    a.attention_scale = Some(1.0 / c.number_or("query_pre_attn_scalar", 256.0)?.sqrt());
    for l in 0..a.n_layers {
        for (our, their) in [
            ("attn_norm", "input_layernorm"),
            ("attn_norm_post", "post_attention_layernorm"),
            ("mlp_norm", "pre_feedforward_layernorm"),
            ("mlp_norm_post", "post_feedforward_layernorm"),
        ] {
            let (ours, theirs) = (format!("blocks.{l}.{our}"), format!("model.layers.{l}.{their}"));
            norm(&mut blueprint.names, &ours, &theirs);
        }
    }
    Ok(blueprint)
}
