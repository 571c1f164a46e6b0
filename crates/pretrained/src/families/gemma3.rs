//! Gemma 3's language model (Gemma Team 2025, arXiv 2503.19786).

use attnlab_model::Mask;
use attnlab_positions::PositionConfig;
use serde_json::{Map, Value};

use super::gemma::norm;
use super::llama::IGNORED;
use super::rope::RopeDefaults;
use super::{Blueprint, Context, Family, gemma2, windows};
use crate::config::Config;
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "Gemma 3 (text)",
    model_types: &["gemma3_text"],
    prefix: "model.",
    ignored: IGNORED,
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    // The tables of rotary positions are one for each kind of layer, which the common reading refuses: read here.
    let plain = Map::from_iter([
        ("rope_parameters".to_owned(), Value::Null),
        ("rope_scaling".to_owned(), Value::Null),
    ]);
    let mut blueprint = gemma2::body(&cx.with(&c.with(&plain)), 131_072)?;
    let (full, local) = positions(c, blueprint.config.max_len)?;
    blueprint.config.position = full;

    let a = &mut blueprint.config.architecture;
    // Transformers reads `attn_logit_softcapping` and does nothing with it.
    a.logit_softcap = c.maybe_number("final_logit_softcapping")?;
    a.qk_norm = true;
    let pattern = c.count_or("sliding_window_pattern", 6)?;
    if pattern == 0 {
        return Err(c.unsupported("sliding_window_pattern", "a number above 0"));
    }
    let sliding = windows::sliding(c, a.n_layers, |l| (l + 1) % pattern != 0)?;
    let mut window = c.count_or_null("sliding_window", Some(4096))?;
    if c.flag_or("use_bidirectional_attention", false)? {
        blueprint.config.mask = Mask::Bidirectional;
        window = window.map(|both_sides| both_sides / 2 + 1);
    }
    let mut layers = windows::layers(c, &sliding, window)?;
    for (layer, _) in layers.iter_mut().zip(&sliding).filter(|(_, slides)| **slides) {
        layer.position = Some(local.clone());
    }
    blueprint.config.details.layers = layers;
    for l in 0..a.n_layers {
        for part in ["q_norm", "k_norm"] {
            let (ours, theirs) =
                (format!("blocks.{l}.attn.{part}"), format!("model.layers.{l}.self_attn.{part}"));
            norm(&mut blueprint.names, &ours, &theirs);
        }
    }
    Ok(blueprint)
}

/// The rotary positions of full and of sliding layers. Version 4 of transformers has a scaling for full layers and two
/// bases, version 5 a table for each kind.
fn positions(c: &Config, max_len: usize) -> Result<(PositionConfig, PositionConfig)> {
    let table = c.table("rope_parameters")?;
    if table.as_ref().is_some_and(|table| !table.has("full_attention") && !table.has("sliding_attention")) {
        return Err(c.unsupported("rope_parameters", "tables `full_attention` and `sliding_attention`"));
    }
    let of = |kind: &str| table.as_ref().map_or(Ok(None), |table| table.table(kind));
    let mut full = of("full_attention")?;
    if let Some(scaling) = c.table("rope_scaling")? {
        full = Some(match (full, c.value("rope_scaling").and_then(Value::as_object)) {
            (Some(full), Some(values)) => full.with(values),
            // Transformers starts from a table that says "default", over which the older key `type` does not win.
            _ if !scaling.has("rope_type") => {
                scaling.with(&Map::from_iter([("rope_type".to_owned(), "default".into())]))
            }
            _ => scaling,
        });
    }
    let (base, local) = (c.maybe_number("rope_theta")?, c.maybe_number("rope_local_base_freq")?);
    Ok((
        RopeDefaults::whole(1e6).read_table(c, full.as_ref(), base, max_len)?,
        RopeDefaults::whole(1e4).read_table(c, of("sliding_attention")?.as_ref(), local, max_len)?,
    ))
}
