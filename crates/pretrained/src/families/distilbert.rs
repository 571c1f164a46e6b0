//! DistilBERT (Sanh et al. 2019).

use attnlab_model::{Architecture, Mask};
use attnlab_positions::{PositionConfig, learned};

use super::bert::{PredictionHead, postnorm};
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "DistilBERT",
    model_types: &["distilbert"],
    prefix: "distilbert.",
    ignored: &["*embeddings.position_ids"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let n_layers = cx.layers("n_layers|num_hidden_layers")?;
    let activation = Activation::read(c, "activation", "gelu")?;
    let architecture = Architecture {
        d_model: c.count("dim|hidden_size")?,
        n_layers,
        n_heads: c.count("n_heads|num_attention_heads")?,
        d_mlp: Some(c.count("hidden_dim")?),
        mlp: activation.plain(),
        norm_eps: 1e-12,
        ..postnorm()
    };
    let positions = "distilbert.embeddings.position_embeddings.weight";
    let position = PositionConfig::Learned(learned::Config::default());
    let sizes = (c.count("vocab_size")?, 0, cx.rows(positions).max(1));
    let config = cx.model(sizes, Mask::Bidirectional, position, architecture);

    let embedding = "distilbert.embeddings.word_embeddings.weight";
    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(embedding));
    names.add("position.weight", Recipe::tensor(positions));
    names.pair("embed_norm", "distilbert.embeddings.LayerNorm");
    for l in 0..n_layers {
        names.pairs(
            &format!("blocks.{l}"),
            &format!("distilbert.transformer.layer.{l}"),
            &[
                ("attn.q", "attention.q_lin"),
                ("attn.k", "attention.k_lin"),
                ("attn.v", "attention.v_lin"),
                ("attn.o", "attention.out_lin"),
                ("attn_norm", "sa_layer_norm"),
                ("mlp.up", "ffn.lin1"),
                ("mlp.down", "ffn.lin2"),
                ("mlp_norm", "output_layer_norm"),
            ],
        );
    }
    let mut blueprint = Blueprint { config, names };
    let head = PredictionHead {
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        decoder: "vocab_projector.weight",
        bias: &["vocab_projector.bias"],
        embedding,
        activation,
    };
    head.add(cx, &mut blueprint)?;
    Ok(blueprint)
}
