//! Cohere's Command R (Cohere 2024): attention and MLP side by side, interleaved rotary pairs, LayerNorm without bias.

use attnlab_model::{Norm, Over, QkNorm, Residual};
use attnlab_positions::rope::Layout;

use super::llama::{self, Defaults, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::Recipe;

pub(super) const FAMILY: Family =
    Family { title: "Cohere", model_types: &["cohere"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let defaults = Defaults {
        eps: ("layer_norm_eps", 1e-5),
        tied: true,
        rope: RopeDefaults { base: 500_000.0, fraction: None, layout: Layout::Interleaved },
        max_len: 8192,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    a.norm = Norm::Layer;
    a.norm_bias = false;
    a.qkv_bias = c.flag_or("attention_bias", false)?;
    a.out_bias = a.qkv_bias;
    a.residual = Residual::ParallelSharedNorm;
    a.logit_scale = c.number_or("logit_scale", 0.0625)?;
    if c.flag_or("use_qk_norm", false)? {
        a.qk_norm = true;
        a.qk_norm_form = QkNorm { norm: Norm::Layer, over: Over::EachHead, bias: false };
        for l in 0..a.n_layers {
            for (part, heads) in [("q_norm", a.n_heads), ("k_norm", a.kv_heads())] {
                let theirs = format!("model.layers.{l}.self_attn.{part}.weight");
                cx.need_shape(&theirs, "the norm of queries and keys", &[heads, a.head_width()])?;
                for h in 0..heads {
                    let ours = format!("blocks.{l}.attn.{part}.{h}.weight");
                    blueprint.names.add(ours, Recipe::tensor(&theirs).row(h));
                }
            }
        }
    }
    Ok(blueprint)
}
