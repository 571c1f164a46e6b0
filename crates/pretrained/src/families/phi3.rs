//! Phi-3 and Phi-4 (Abdin et al. 2024, arXiv 2404.14219): Llama with fused projections, stretched by LongRoPE.

use attnlab_positions::rope::Layout;
use serde_json::{Map, Value};

use super::llama::{self, Defaults, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family, windows};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::Recipe;

pub(super) const FAMILY: Family =
    Family { title: "Phi-3", model_types: &["phi3"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = &settled(cx.config)?;
    let cx = &cx.with(c);
    let defaults = Defaults {
        eps: ("rms_norm_eps", 1e-5),
        rope: RopeDefaults { base: 1e4, fraction: Some(1.0), layout: Layout::Half },
        max_len: 4096,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &blueprint.config.architecture;
    blueprint.config.details.layers =
        windows::everywhere(a.n_layers, c.count_or_null("sliding_window", None)?);
    let (q, kv, f) = (a.n_heads * a.head_width(), a.kv_heads() * a.head_width(), a.mlp_width());
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        let fused = format!("{theirs}.self_attn.qkv_proj.weight");
        cx.need_shape(&fused, "queries, keys and values", &[q + 2 * kv, a.d_model])?;
        for (part, rows) in [("q", 0..q), ("k", q..q + kv), ("v", q + kv..q + 2 * kv)] {
            blueprint.names.add(format!("{ours}.attn.{part}.weight"), Recipe::tensor(&fused).rows(rows));
        }
        let fused = format!("{theirs}.mlp.gate_up_proj.weight");
        cx.need_shape(&fused, "the MLP", &[2 * f, a.d_model])?;
        for (part, rows) in [("gate", 0..f), ("up", f..2 * f)] {
            blueprint.names.add(format!("{ours}.mlp.{part}.weight"), Recipe::tensor(&fused).rows(rows));
        }
    }
    Ok(blueprint)
}

/// The configuration with what this family alone assumes: the length of training is 4096 where the configuration itself
/// (not its table of rotary positions) says nothing, and LongRoPE has had other names.
fn settled(c: &Config) -> Result<Config> {
    let mut changes = Map::new();
    if c.value("original_max_position_embeddings").is_none() {
        changes.insert("original_max_position_embeddings".to_owned(), 4096.into());
    }
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(table) = c.table(key)? else { continue };
        match table.maybe_text("rope_type|type")?.as_deref() {
            None | Some("default" | "longrope") => {}
            Some("su" | "yarn") => {
                let mut values = c.value(key).and_then(Value::as_object).cloned().unwrap_or_default();
                values.insert("rope_type".to_owned(), "longrope".into());
                changes.insert(key.to_owned(), values.into());
            }
            Some(_) => {
                let key = if table.value("rope_type").is_some() { "rope_type" } else { "type" };
                return Err(table.unsupported(key, "default, longrope"));
            }
        }
    }
    Ok(c.with(&changes))
}
