//! ALBERT (Lan et al. 2019): blocks share their weights.

use attnlab_model::{Factorised, Mask, Projected};

use super::bert::{self, PredictionHead};
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "ALBERT",
    model_types: &["albert"],
    prefix: "albert.",
    ignored: &[
        "*pooler.*",
        "sop_classifier.*",
        "predictions.bias",
        "predictions.decoder.bias",
        "*embeddings.position_ids",
        "*embeddings.token_type_ids",
    ],
    translate,
};

const PARTS: &[(&str, &str)] = &[
    ("attn.q", "attention.query"),
    ("attn.k", "attention.key"),
    ("attn.v", "attention.value"),
    ("attn.o", "attention.dense"),
    ("attn_norm", "attention.LayerNorm"),
    ("mlp.up", "ffn"),
    ("mlp.down", "ffn_output"),
    ("mlp_norm", "full_layer_layer_norm"),
];

/// The most blocks: they need no tensors of their own, so that the file does not bound them.
const MOST_BLOCKS: usize = 1024;

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_unless("position_embedding_type", &"absolute".into())?;
    let layers = c.count("num_hidden_layers")?;
    let groups = if c.has("num_hidden_groups") { c.count("num_hidden_groups")? } else { 1 };
    let inner = if c.has("inner_group_num") { c.count("inner_group_num")? } else { 1 };
    for (key, count) in [("num_hidden_layers", layers), ("inner_group_num", layers.saturating_mul(inner))] {
        if count > MOST_BLOCKS {
            return Err(c.unsupported(key, &format!("at most {MOST_BLOCKS} blocks in all")));
        }
    }
    let mut blueprint = bert::embeddings(cx, "albert.", layers * inner)?;
    blueprint.config.mask = Mask::Bidirectional;
    let width = c.count_or("embedding_size", 128)?;
    blueprint.config.details.factorised =
        Some(Factorised { width, projected: Projected::AfterNorm, bias: true });
    let names = &mut blueprint.names;
    names.pair("embed_projection", "albert.encoder.embedding_hidden_mapping_in");
    for layer in 0..layers {
        // As transformers computes it, in floating point.
        let group = (layer as f64 / (layers as f64 / groups as f64)) as usize;
        for at in 0..inner {
            let shared = format!("groups.{group}.{at}");
            let theirs = format!("albert.encoder.albert_layer_groups.{group}.albert_layers.{at}");
            names.pairs(&shared, &theirs, PARTS);
            for (part, _) in PARTS {
                let block = layer * inner + at;
                names.pair_same(&format!("blocks.{block}.{part}"), &format!("{shared}.{part}"));
            }
        }
    }
    let head = PredictionHead {
        dense: "predictions.dense",
        norm: "predictions.LayerNorm",
        decoder: "predictions.decoder.weight",
        bias: &["predictions.decoder.bias", "predictions.bias"],
        embedding: "albert.embeddings.word_embeddings.weight",
        activation: Activation::read(c, "hidden_act", "gelu_new")?,
    };
    head.add(cx, &mut blueprint)?;
    blueprint.config.architecture.mlp = head.activation.plain();
    Ok(blueprint)
}
