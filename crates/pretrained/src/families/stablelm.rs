//! StableLM 2 and 3B (Bellagente et al. 2024, arXiv 2402.17834): Llama with LayerNorm, of which a part of each head turns.

use attnlab_model::{Norm, Over, QkNorm, Residual};
use attnlab_positions::rope::Layout;

use super::llama::{self, Defaults, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "StableLM", model_types: &["stablelm"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    // Null is all of a head, absent is a quarter.
    let fraction = if c.has("partial_rotary_factor") { 1.0 } else { 0.25 };
    let defaults = Defaults {
        kv_heads: Some(32),
        eps: ("layer_norm_eps", 1e-5),
        rope: RopeDefaults { base: 1e4, fraction: Some(fraction), layout: Layout::Half },
        max_len: 4096,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    c.refuse_unless("head_dim", &cx.head_width(a.d_model, a.n_heads)?.into())?;
    a.norm = Norm::Layer;
    a.qkv_bias = c.flag_or("use_qkv_bias", false)?;
    if c.flag_or("use_parallel_residual", false)? {
        a.residual = Residual::ParallelSharedNorm;
    }
    if c.flag_or("qk_layernorm", false)? {
        a.qk_norm = true;
        a.qk_norm_form = QkNorm { norm: Norm::Layer, over: Over::EachHead, bias: false };
        for l in 0..a.n_layers {
            for (part, norms, heads) in
                [("q_norm", "q_layernorm", a.n_heads), ("k_norm", "k_layernorm", a.kv_heads())]
            {
                let theirs = format!("model.layers.{l}.self_attn.{norms}.norms");
                // Before a recipe is made for each of as many as a configuration may claim.
                let last = format!("{theirs}.{}.weight", heads.saturating_sub(1));
                cx.need(&last, "the norm of the last head's queries and keys")?;
                for h in 0..heads {
                    let ours = format!("blocks.{l}.attn.{part}.{h}");
                    blueprint.names.pair(&ours, &format!("{theirs}.{h}"));
                }
            }
        }
    }
    Ok(blueprint)
}
