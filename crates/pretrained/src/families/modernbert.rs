//! ModernBERT (Warner et al. 2024).

use attnlab_model::{Architecture, Layer, Mask};
use attnlab_positions::PositionConfig;

use super::bert::PredictionHead;
use super::rope::RopeDefaults;
use super::{Activation, Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "ModernBERT",
    model_types: &["modernbert"],
    prefix: "model.",
    ignored: &["*.rotary_emb.inv_freq"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("hidden_size")?;
    let n_layers = cx.layers("num_hidden_layers")?;
    let inner = c.count("intermediate_size")?;
    let (attention_bias, mlp_bias) = (c.flag_or("attention_bias", false)?, c.flag_or("mlp_bias", false)?);
    let key = "hidden_activation";
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads: c.count("num_attention_heads")?,
        d_mlp: Some(inner),
        mlp: Activation::read(c, key, "gelu")?.gated(c, key)?,
        norm_eps: c.number_or("norm_eps", 1e-5)?,
        norm_bias: c.flag_or("norm_bias", false)?,
        embedding_norm: true,
        qkv_bias: attention_bias,
        out_bias: attention_bias,
        mlp_bias,
        ..Architecture::default()
    };
    let max_len = c.count_or("max_position_embeddings", 8192)?.max(1);
    let everywhere = rope(c, "full_attention", ("global_rope_theta", 160_000.0), max_len)?;
    let nearby = rope(c, "sliding_attention", ("local_rope_theta", 10_000.0), max_len)?;
    // As far as this to either side.
    let reach = c.count_or("local_attention", 128)? / 2;
    let sizes = (c.count("vocab_size")?, 0, max_len);
    let mut config = cx.model(sizes, Mask::Bidirectional, everywhere, architecture);
    let local = local_layers(c, n_layers)?;
    let layer = |(l, local): (usize, &bool)| Layer {
        window: if *local { Some(reach + 1) } else { None },
        position: if *local { Some(nearby.clone()) } else { None },
        attention_norm: l != 0,
        ..Layer::default()
    };
    config.details.layers = local.iter().enumerate().map(layer).collect();

    let embedding = "model.embeddings.tok_embeddings.weight";
    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(embedding));
    names.pair("embed_norm", "model.embeddings.norm");
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("model.layers.{l}"));
        names.fused_qkv(&format!("{ours}.attn"), &format!("{theirs}.attn.Wqkv"), 1, 1, d);
        for (at, part) in ["gate", "up"].into_iter().enumerate() {
            let rows = at * inner..(at + 1) * inner;
            names.pair_with(&format!("{ours}.mlp.{part}"), &format!("{theirs}.mlp.Wi"), |recipe| {
                recipe.rows(rows.clone())
            });
        }
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "attn_norm"),
                ("attn.o", "attn.Wo"),
                ("mlp_norm", "mlp_norm"),
                ("mlp.down", "mlp.Wo"),
            ],
        );
    }
    names.pair("final_norm", "model.final_norm");
    let mut blueprint = Blueprint { config, names };
    let head = PredictionHead {
        dense: "head.dense",
        norm: "head.norm",
        decoder: "decoder.weight",
        bias: if c.flag_or("decoder_bias", true)? { &["decoder.bias"] } else { &[] },
        embedding,
        activation: Activation::read(c, "classifier_activation", "gelu")?,
    };
    head.add(cx, &mut blueprint)?;
    if let Some(transform) = &mut blueprint.config.details.head_transform {
        transform.bias = c.flag_or("classifier_bias", false)?;
    }
    Ok(blueprint)
}

/// Rotary positions of one kind of block: version 5's table of this kind, or the base's own key and a common scaling.
fn rope(c: &Config, kind: &str, (key, default): (&str, f64), max_len: usize) -> Result<PositionConfig> {
    let of_kind = match c.table("rope_parameters")? {
        Some(tables) => tables.table(kind)?,
        None => None,
    };
    let scaling = c.table("rope_scaling")?;
    if scaling.as_ref().is_some_and(|scaling| !scaling.has("rope_type")) {
        // Transformers would leave it out without a word.
        return Err(c.unsupported("rope_scaling", "a table with `rope_type`"));
    }
    if c.has(key) && c.maybe_number(key)?.is_none() {
        return Err(c.unsupported(key, "a number"));
    }
    let inside = match &of_kind {
        Some(table) => table.maybe_number("rope_theta")?,
        None => None,
    };
    let base = inside.or(c.maybe_number(key)?);
    RopeDefaults::whole(default).read_table(c, scaling.as_ref().or(of_kind.as_ref()), base, max_len)
}

/// Which blocks see only what is near: those listed, or all but every third.
fn local_layers(c: &Config, n_layers: usize) -> Result<Vec<bool>> {
    let key = "layer_types";
    let Some(types) = c.maybe_texts(key)? else {
        let period = c.count_or("global_attn_every_n_layers", 3)?;
        if period == 0 {
            return Err(c.unsupported("global_attn_every_n_layers", "at least 1"));
        }
        return Ok((0..n_layers).map(|l| !l.is_multiple_of(period)).collect());
    };
    let local = |kind: &String| match kind.as_str() {
        "sliding_attention" => Some(true),
        "full_attention" => Some(false),
        _ => None,
    };
    let layers: Option<Vec<bool>> = types.iter().map(local).collect();
    layers.filter(|layers| layers.len() == n_layers).ok_or_else(|| {
        c.unsupported(
            key,
            &format!("\"full_attention\" or \"sliding_attention\" for each of {n_layers} blocks"),
        )
    })
}
