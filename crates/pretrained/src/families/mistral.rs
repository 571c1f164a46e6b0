//! Mistral (Jiang et al. 2023, arXiv 2310.06825): Llama with fewer key/value heads and a window.

use super::llama::{self, Defaults, IGNORED};
use super::{Blueprint, Context, Family, windows};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Mistral", model_types: &["mistral"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    if c.value("layer_types").is_some() {
        return Err(c.unsupported("layer_types", "null: in Mistral all layers are alike"));
    }
    let mut blueprint =
        llama::body(cx, &Defaults { kv_heads: Some(8), max_len: 131_072, ..Defaults::default() })?;
    let window = c.count_or_null("sliding_window", Some(4096))?;
    blueprint.config.details.layers = windows::everywhere(blueprint.config.architecture.n_layers, window);
    Ok(blueprint)
}
