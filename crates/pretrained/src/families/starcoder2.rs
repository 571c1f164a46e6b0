//! StarCoder2 (Lozhkov et al. 2024, arXiv 2402.19173): rotary positions and a window in blocks like GPT-2's.

use attnlab_model::Norm;

use super::llama::{self, Defaults, Form, IGNORED};
use super::{Blueprint, Context, Family, windows};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "StarCoder2",
    model_types: &["starcoder2"],
    prefix: "model.",
    ignored: IGNORED,
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let defaults = Defaults {
        kv_heads: Some(2),
        eps: ("norm_epsilon", 1e-5),
        mlp: Form::Plain("hidden_act", "gelu_pytorch_tanh"),
        tied: true,
        max_len: 4096,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    a.norm = Norm::Layer;
    let bias = c.flag_or("use_bias", true)?;
    (a.qkv_bias, a.out_bias, a.mlp_bias) = (bias, bias, bias);
    blueprint.config.details.layers =
        windows::everywhere(a.n_layers, c.count_or_null("sliding_window", None)?);
    for l in 0..a.n_layers {
        for (part, theirs) in [("up", "c_fc"), ("down", "c_proj")] {
            blueprint
                .names
                .pair(&format!("blocks.{l}.mlp.{part}"), &format!("model.layers.{l}.mlp.{theirs}"));
        }
    }
    Ok(blueprint)
}
