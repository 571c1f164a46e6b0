//! Phi-1, 1.5 and 2 (Gunasekar et al. 2023, arXiv 2306.11644): attention and MLP side by side, a part of each head turns.

use attnlab_model::{Norm, Over, QkNorm, Residual};
use attnlab_positions::rope::Layout;

use super::llama::{self, Defaults, Form, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Phi", model_types: &["phi"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    // Null is all of a head, absent is half.
    let fraction = if c.has("partial_rotary_factor") { 1.0 } else { 0.5 };
    let defaults = Defaults {
        eps: ("layer_norm_eps", 1e-5),
        mlp: Form::Plain("hidden_act", "gelu_new"),
        rope: RopeDefaults { base: 1e4, fraction: Some(fraction), layout: Layout::Half },
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    a.norm = Norm::Layer;
    (a.qkv_bias, a.out_bias, a.mlp_bias, a.head_bias) = (true, true, true, true);
    a.residual = Residual::ParallelSharedNorm;
    a.qk_norm = c.flag_or("qk_layernorm", false)?;
    a.qk_norm_form = QkNorm { norm: Norm::Layer, over: Over::Head, bias: true };
    let names = &mut blueprint.names;
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        for (our, their) in [
            ("attn.o", "self_attn.dense"),
            ("attn.q_norm", "self_attn.q_layernorm"),
            ("attn.k_norm", "self_attn.k_layernorm"),
            ("mlp.up", "mlp.fc1"),
            ("mlp.down", "mlp.fc2"),
        ] {
            names.pair(&format!("{ours}.{our}"), &format!("{theirs}.{their}"));
        }
    }
    names.pair("final_norm", "model.final_layernorm");
    Ok(blueprint)
}
