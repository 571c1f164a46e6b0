//! gpt-oss (OpenAI 2025, arXiv 2508.10925): a mixture of experts whose attention has learned sinks.

use attnlab_model::{Clamp, Experts, Mlp, NullOption};
use serde_json::{Map, json};

use super::llama::{self, Defaults, Form, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family, windows};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "gpt-oss", model_types: &["gpt_oss"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = &settled(cx.config);
    if c.value("quantization_config").is_some() {
        let remedy =
            "null: have transformers dequantise the experts (Mxfp4Config(dequantize=True)) and save them";
        return Err(c.unsupported("quantization_config", remedy));
    }
    let defaults = Defaults {
        kv_heads: Some(8),
        head_dim: Some(64),
        eps: ("rms_norm_eps", 1e-5),
        mlp: Form::Fixed(Mlp::ClampedSwiglu),
        rope: RopeDefaults::whole(150_000.0),
        max_len: 131_072,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(&cx.with(c), &defaults)?;
    let a = &mut blueprint.config.architecture;
    a.qkv_bias = c.flag_or("attention_bias", true)?;
    a.out_bias = a.qkv_bias;
    a.mlp_bias = true;
    a.clamp = Clamp {
        limit: c.number_or("swiglu_limit", Clamp::default().limit)?,
        gain: c.number_or("swiglu_alpha", Clamp::default().gain)?,
    };
    a.null_option = NullOption::Learned;
    let experts = Experts {
        count: c.count_or("num_local_experts|num_experts", 128)?,
        per_token: c.count_or("num_experts_per_tok", 4)?,
        router_bias: true,
    };
    a.experts = Some(experts);
    let sizes = (experts.count, a.d_model, a.mlp_width());
    let sliding = windows::sliding(c, a.n_layers, |l| l % 2 == 0)?;
    let window = c.count_or_null("sliding_window", Some(128))?;
    blueprint.config.details.layers = windows::layers(c, &sliding, window)?;
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        let names = &mut blueprint.names;
        names.add(format!("{ours}.attn.null"), Recipe::tensor(format!("{theirs}.self_attn.sinks")));
        names.pair(&format!("{ours}.mlp.router"), &format!("{theirs}.mlp.router"));
        mixture(cx, names, (&format!("{ours}.mlp.experts"), &format!("{theirs}.mlp.experts")), sizes)?;
    }
    Ok(blueprint)
}

/// The experts, of which there are E in each tensor. gate_up_proj is (E, D, 2F), its even columns the gate's and its odd
/// ones those of up; down_proj is (E, F, D).
fn mixture(
    cx: &Context<'_>,
    names: &mut Names,
    (ours, theirs): (&str, &str),
    (count, d, f): (usize, usize, usize),
) -> Result<()> {
    let (gate_up, down) = (format!("{theirs}.gate_up_proj"), format!("{theirs}.down_proj"));
    let needed_for = "the experts (those stored in 4 bits as `_blocks` and `_scales` are not read)";
    cx.need_shape(&gate_up, needed_for, &[count, d, 2 * f])?;
    cx.need_shape(&format!("{gate_up}_bias"), needed_for, &[count, 2 * f])?;
    cx.need_shape(&down, needed_for, &[count, f, d])?;
    cx.need_shape(&format!("{down}_bias"), needed_for, &[count, d])?;
    for e in 0..count {
        for (at, part) in ["gate", "up"].into_iter().enumerate() {
            let weight = Recipe::tensor(&gate_up).row(e).then(move |x| {
                x.reshape((d, f, 2))?.narrow(2, at, 1)?.squeeze(2)?.t()?.contiguous() // (F, D)
            });
            let bias = Recipe::tensor(format!("{gate_up}_bias"))
                .row(e)
                .then(move |x| x.reshape((f, 2))?.narrow(1, at, 1)?.flatten_all()?.contiguous());
            names.add(format!("{ours}.{e}.{part}.weight"), weight);
            names.add(format!("{ours}.{e}.{part}.bias"), bias);
        }
        names.add(format!("{ours}.{e}.down.weight"), Recipe::tensor(&down).row(e).transposed());
        names.add(format!("{ours}.{e}.down.bias"), Recipe::tensor(format!("{down}_bias")).row(e));
    }
    Ok(())
}

/// The configuration with the stretching of positions that this family has where nothing is said of it.
fn settled(c: &Config) -> Config {
    if c.value("rope_scaling").is_some() || c.value("rope_parameters").is_some() {
        return c.clone();
    }
    let yarn = json!({
        "rope_type": "yarn", "factor": 32.0, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": false,
        "original_max_position_embeddings": 4096,
    });
    c.with(&Map::from_iter([("rope_parameters".to_owned(), yarn)]))
}
