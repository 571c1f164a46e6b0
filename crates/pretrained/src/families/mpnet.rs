//! MPNet (Song et al. 2020): RoBERTa with T5's bias of distances.

use attnlab_model::{Layer, Mask};
use attnlab_positions::{PositionConfig, t5};

use super::bert::{self, PredictionHead};
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::Recipe;

pub(super) const FAMILY: Family = Family {
    title: "MPNet",
    model_types: &["mpnet"],
    prefix: "mpnet.",
    ignored: &["*pooler.dense.*", "lm_head.bias", "lm_head.decoder.bias", "*embeddings.position_ids"],
    translate,
};

const PARTS: &[(&str, &str)] = &[
    ("attn.q", "attention.attn.q"),
    ("attn.k", "attention.attn.k"),
    ("attn.v", "attention.attn.v"),
    ("attn.o", "attention.attn.o"),
    ("attn_norm", "attention.LayerNorm"),
    ("mlp.up", "intermediate.dense"),
    ("mlp.down", "output.dense"),
    ("mlp_norm", "output.LayerNorm"),
];

/// The first row of the table of positions, whatever the id of padding.
const PAD: usize = 1;

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let n_layers = cx.layers("num_hidden_layers")?;
    // The table may be larger, but transformers looks at 32 buckets.
    let buckets = t5::Config::default();
    let table = "relative_attention_num_buckets";
    if cx.config.count_or(table, buckets.buckets)? < buckets.buckets {
        return Err(cx.config.unsupported(table, "at least 32"));
    }
    let mut blueprint = bert::embeddings(cx, "mpnet.", n_layers)?;
    bert::count_from_padding(&mut blueprint, "mpnet.embeddings.position_embeddings.weight", PAD);
    let (config, names) = (&mut blueprint.config, &mut blueprint.names);
    config.mask = Mask::Bidirectional;
    config.details.segments = 0;
    let rows = 0..buckets.buckets;
    let position = Some(PositionConfig::T5(buckets));
    config.details.layers = vec![Layer { position, ..Layer::default() }; n_layers];
    let shared = "mpnet.encoder.relative_attention_bias.weight";
    names.add("distances", Recipe::tensor(shared).rows(rows));
    for l in 0..n_layers {
        names.add(format!("blocks.{l}.position.weight"), Recipe::same("distances"));
        names.pairs(&format!("blocks.{l}"), &format!("mpnet.encoder.layer.{l}"), PARTS);
    }
    let head = PredictionHead {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder.weight",
        bias: &["lm_head.decoder.bias", "lm_head.bias"],
        embedding: "mpnet.embeddings.word_embeddings.weight",
        activation: Activation::GeluErf,
    };
    head.add(cx, &mut blueprint)?;
    Ok(blueprint)
}
