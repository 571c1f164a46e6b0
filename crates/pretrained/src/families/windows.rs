//! Layers that see a window of keys only.

use attnlab_model::Layer;

use crate::config::Config;
use crate::error::Result;

/// Which layers slide: as `layer_types` says, or where it is absent, those whose number fulfils `default`.
pub(crate) fn sliding(
    config: &Config,
    n_layers: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let key = "layer_types";
    let Some(types) = config.maybe_texts(key)? else { return Ok((0..n_layers).map(default).collect()) };
    if types.len() != n_layers {
        return Err(config.unsupported(key, &format!("a type for each of {n_layers} layers")));
    }
    let slides = |kind: &String| match kind.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" | "attention" => Ok(false),
        _ => Err(config.unsupported(key, "full_attention, sliding_attention")),
    };
    types.iter().map(slides).collect()
}

/// A description of each layer: those that slide see `window` keys, themselves included.
pub(crate) fn layers(config: &Config, sliding: &[bool], window: Option<usize>) -> Result<Vec<Layer>> {
    if window.is_none() && sliding.contains(&true) {
        return Err(config.unsupported("sliding_window", "a number, since some layers slide"));
    }
    let layer = |&slides: &bool| Layer { window: window.filter(|_| slides), ..Layer::default() };
    Ok(sliding.iter().map(layer).collect())
}

/// The same window for all layers, or none.
pub(crate) fn everywhere(n_layers: usize, window: Option<usize>) -> Vec<Layer> {
    match window {
        Some(_) => vec![Layer { window, ..Layer::default() }; n_layers],
        None => Vec::new(),
    }
}
