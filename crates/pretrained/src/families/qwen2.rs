//! Qwen2 and 2.5 (Yang et al. 2024, arXiv 2407.10671), and what Qwen3 shares with it.

use super::llama::{self, Defaults, IGNORED};
use super::{Blueprint, Context, Family, windows};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Qwen2", model_types: &["qwen2"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let mut blueprint = body(cx, None)?;
    blueprint.config.architecture.qkv_bias = true;
    Ok(blueprint)
}

/// Llama with a window in its upper layers; `head_dim` is the width of a head where the configuration says nothing.
pub(super) fn body(cx: &Context<'_>, head_dim: Option<usize>) -> Result<Blueprint> {
    let c = cx.config;
    let defaults = Defaults { kv_heads: Some(32), head_dim, max_len: 32_768, ..Defaults::default() };
    let mut blueprint = llama::body(cx, &defaults)?;
    let on = c.flag_or("use_sliding_window", false)?;
    let window = c.count_or_null("sliding_window", Some(4096))?.filter(|_| on);
    let first = c.count_or("max_window_layers", 28)?;
    let n_layers = blueprint.config.architecture.n_layers;
    let sliding = windows::sliding(c, n_layers, |l| window.is_some() && l >= first)?;
    if !on && sliding.contains(&true) {
        return Err(c.unsupported("use_sliding_window", "true, since `layer_types` has layers that slide"));
    }
    blueprint.config.details.layers = windows::layers(c, &sliding, window)?;
    Ok(blueprint)
}
