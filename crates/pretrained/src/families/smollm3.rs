//! SmolLM3 (Hugging Face 2025): Llama with layers that do not see positions.

use attnlab_positions::{PositionConfig, none};

use super::llama::{self, Defaults, IGNORED};
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family, windows};
use crate::config::Config;
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "SmolLM3", model_types: &["smollm3"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let defaults = Defaults {
        kv_heads: Some(4),
        tied: true,
        rope: RopeDefaults::whole(2e6),
        max_len: 32_768,
        ..Defaults::default()
    };
    let mut blueprint = llama::body(cx, &defaults)?;
    let a = &mut blueprint.config.architecture;
    llama::biases(cx, a)?;
    let turns = turning(c, a.n_layers)?;
    let window = c.maybe_count("sliding_window")?;
    // The switch decides which layers slide by default; those that `layer_types` names slide in any case.
    let on = c.flag_or("use_sliding_window", false)? && window.is_some();
    let sliding = windows::sliding(c, a.n_layers, |l| on && !turns[l])?;
    let mut layers = windows::layers(c, &sliding, window)?;
    for (layer, _) in layers.iter_mut().zip(&turns).filter(|(_, turns)| !**turns) {
        layer.position = Some(PositionConfig::None(none::Config::default()));
    }
    blueprint.config.details.layers = layers;
    Ok(blueprint)
}

/// Whether each layer has rotary positions. `no_rope_layers` says 1 where it does, whatever its name.
fn turning(c: &Config, n_layers: usize) -> Result<Vec<bool>> {
    let key = "no_rope_layers";
    let flag = |value: &serde_json::Value| match value.as_u64() {
        Some(number) => Some(number != 0),
        None => value.as_bool(),
    };
    if let Some(mut turns) = c.maybe_list(key, "a list of 0 and 1", flag)? {
        if turns.len() < n_layers {
            return Err(c.unsupported(key, &format!("0 or 1 for each of {n_layers} layers")));
        }
        turns.truncate(n_layers);
        return Ok(turns);
    }
    let key = "no_rope_layer_interval";
    match c.count_or(key, 4)? {
        0 => Err(c.unsupported(key, "a number above 0")),
        interval => Ok((1..=n_layers).map(|l| l % interval != 0).collect()),
    }
}
