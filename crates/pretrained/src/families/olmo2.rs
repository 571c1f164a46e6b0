//! OLMo 2 (OLMo Team 2024, arXiv 2501.00656): norms after the sublayers, and over all queries and all keys.

use attnlab_model::{Norm, NormPlacement, Over, QkNorm};

use super::llama::{self, Defaults, IGNORED};
use super::{Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "OLMo 2", model_types: &["olmo2"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let mut blueprint = llama::body(cx, &Defaults { eps: ("rms_norm_eps", 1e-5), ..Defaults::default() })?;
    let a = &mut blueprint.config.architecture;
    a.qkv_bias = cx.config.flag_or("attention_bias", false)?;
    a.out_bias = a.qkv_bias;
    a.norm_placement = NormPlacement::Output;
    a.qk_norm = true;
    a.qk_norm_form = QkNorm { norm: Norm::Rms, over: Over::AllHeads, bias: false };
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        blueprint
            .names
            .pair(&format!("{ours}.attn_norm_post"), &format!("{theirs}.post_attention_layernorm"));
        blueprint
            .names
            .pair(&format!("{ours}.mlp_norm_post"), &format!("{theirs}.post_feedforward_layernorm"));
    }
    Ok(blueprint)
}
