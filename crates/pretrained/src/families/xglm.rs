//! XGLM (Lin et al. 2021).

use attnlab_model::{Architecture, Mask};
use attnlab_positions::{PositionConfig, sinusoidal};

use super::{Activation, Blueprint, Context, Family, opt};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "XGLM",
    model_types: &["xglm"],
    prefix: "model.",
    ignored: &["*embed_positions.weights"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_flag("add_cross_attention")?;
    let d = c.count("d_model|hidden_size")?;
    let n_layers = cx.layers("num_layers|num_hidden_layers")?;
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "model.embed_tokens.weight", true)?;
    let scaled = c.flag_or("scale_embedding", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads: c.count("attention_heads|num_attention_heads")?,
        d_mlp: Some(c.count("ffn_dim")?),
        mlp: Activation::read(c, "activation_function", "gelu")?.plain(),
        embedding_scale: if scaled { (d as f64).sqrt() } else { 1.0 },
        tie_embeddings,
        ..Architecture::default()
    };
    // The row of the padding's id is left at zero, although it is a position's.
    let pad = if c.has("pad_token_id") { c.maybe_count("pad_token_id")? } else { Some(1) };
    let position = PositionConfig::Sinusoidal(sinusoidal::Config {
        columns: sinusoidal::Columns::Halves,
        offset: 2,
        zeroed: pad.map(|pad| pad as u32),
        ..sinusoidal::Config::default()
    });
    let max_len = c.count_or("max_position_embeddings", 2048)?.max(1);

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("model.embed_tokens.weight"));
    for l in 0..n_layers {
        names.pairs(&format!("blocks.{l}"), &format!("model.layers.{l}"), opt::PARTS);
    }
    names.pair("final_norm", "model.layer_norm");
    names.pair("head", "lm_head");
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names })
}
