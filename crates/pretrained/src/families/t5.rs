//! The encoder of T5 (Raffel et al. 2019).

use attnlab_model::{Architecture, Mask, Norm};
use attnlab_positions::{PositionConfig, t5};

use super::{Activation, Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "T5 encoder",
    model_types: &["t5"],
    prefix: "",
    // What a whole T5 has besides: its decoder, and the embedding by other names.
    ignored: &["decoder.*", "lm_head.weight", "encoder.embed_tokens.weight"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let n_layers = cx.layers("num_layers|num_hidden_layers")?;
    let (activation, gated) = feed_forward(c)?;
    let architecture = Architecture {
        d_model: c.count("d_model|hidden_size")?,
        n_layers,
        n_heads: c.count("num_heads|num_attention_heads")?,
        head_dim: Some(c.count("d_kv|head_dim")?),
        d_mlp: Some(c.count("d_ff")?),
        mlp: if gated { activation.gated(c, "feed_forward_proj")? } else { activation.plain() },
        norm: Norm::Rms,
        norm_eps: c.number_or("layer_norm_epsilon", 1e-6)?,
        attention_scale: Some(1.0),
        qkv_bias: false,
        out_bias: false,
        mlp_bias: false,
        ..Architecture::default()
    };
    let position = PositionConfig::T5(t5::Config {
        buckets: c.count_or("relative_attention_num_buckets", 32)?,
        max_distance: c.count_or("relative_attention_max_distance", 128)?,
    });
    let sizes = (c.count("vocab_size")?, 0, c.count_or("n_positions", 512)?.max(1));
    let config = cx.model(sizes, Mask::Bidirectional, position, architecture);

    let mut names = Names::new();
    let embedding = if cx.has("shared.weight") { "shared.weight" } else { "encoder.embed_tokens.weight" };
    names.add("embed.weight", Recipe::tensor(embedding));
    let first = "encoder.block.0.layer.0.SelfAttention";
    names.add("position.weight", Recipe::tensor(format!("{first}.relative_attention_bias.weight")));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("encoder.block.{l}"));
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "layer.0.layer_norm"),
                ("attn.q", "layer.0.SelfAttention.q"),
                ("attn.k", "layer.0.SelfAttention.k"),
                ("attn.v", "layer.0.SelfAttention.v"),
                ("attn.o", "layer.0.SelfAttention.o"),
                ("mlp_norm", "layer.1.layer_norm"),
                ("mlp.gate", "layer.1.DenseReluDense.wi_0"),
                ("mlp.up", if gated { "layer.1.DenseReluDense.wi_1" } else { "layer.1.DenseReluDense.wi" }),
                ("mlp.down", "layer.1.DenseReluDense.wo"),
            ],
        );
    }
    names.pair("final_norm", "encoder.final_layer_norm");
    Ok(Blueprint { config, names })
}

/// The activation, and whether the MLP is gated: "relu", "gated-gelu", …
fn feed_forward(c: &Config) -> Result<(Activation, bool)> {
    let key = "feed_forward_proj";
    let name = c.maybe_text(key)?.unwrap_or_else(|| "relu".to_owned());
    let (name, gated) = match name.strip_prefix("gated-") {
        // The form of T5 1.1, whatever the name says.
        Some("gelu") => ("gelu_new", true),
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    let activation = Activation::named(name)
        .ok_or_else(|| c.unsupported(key, "relu, gelu, silu, gated-gelu, gated-silu, gated-relu"))?;
    Ok((activation, gated))
}
