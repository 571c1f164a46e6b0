//! BERT (Devlin et al. 2018), and what other encoders share with it.

use attnlab_model::{Architecture, Counting, HeadTransform, Mask, NormPlacement};
use attnlab_positions::{PositionConfig, learned};

use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "BERT",
    model_types: &["bert"],
    prefix: "bert.",
    ignored: &[
        "*pooler.dense.*",
        "cls.seq_relationship.*",
        "cls.predictions.bias",
        "cls.predictions.decoder.bias",
        "*embeddings.position_ids",
        "*embeddings.token_type_ids",
    ],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let mut blueprint = body(cx, "bert.")?;
    let activation = Activation::read(c, "hidden_act", "gelu")?;
    let head = PredictionHead {
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        decoder: "cls.predictions.decoder.weight",
        bias: &["cls.predictions.decoder.bias", "cls.predictions.bias"],
        embedding: "bert.embeddings.word_embeddings.weight",
        activation,
    };
    head.add(cx, &mut blueprint)?;
    Ok(blueprint)
}

/// The parts of a block, by our names and BERT's.
pub(super) const PARTS: &[(&str, &str)] = &[
    ("attn.q", "attention.self.query"),
    ("attn.k", "attention.self.key"),
    ("attn.v", "attention.self.value"),
    ("attn.o", "attention.output.dense"),
    ("attn_norm", "attention.output.LayerNorm"),
    ("mlp.up", "intermediate.dense"),
    ("mlp.down", "output.dense"),
    ("mlp_norm", "output.LayerNorm"),
];

/// An encoder with LayerNorm after each sublayer, learned positions and segments; `prefix` stands before its names.
pub(super) fn body(cx: &Context<'_>, prefix: &str) -> Result<Blueprint> {
    cx.config.refuse_flag("add_cross_attention")?;
    cx.config.refuse_unless("position_embedding_type", &"absolute".into())?;
    let n_layers = cx.layers("num_hidden_layers")?;
    let mut blueprint = embeddings(cx, prefix, n_layers)?;
    for l in 0..n_layers {
        blueprint.names.pairs(&format!("blocks.{l}"), &format!("{prefix}encoder.layer.{l}"), PARTS);
    }
    Ok(blueprint)
}

/// Such an encoder, `n_layers` deep, with the names of its embeddings only.
pub(super) fn embeddings(cx: &Context<'_>, prefix: &str, n_layers: usize) -> Result<Blueprint> {
    let c = cx.config;
    let architecture = Architecture {
        d_model: c.count("hidden_size")?,
        n_layers,
        n_heads: c.count("num_attention_heads")?,
        d_mlp: Some(c.count("intermediate_size")?),
        mlp: Activation::read(c, "hidden_act", "gelu")?.plain(),
        norm_eps: c.number_or("layer_norm_eps", 1e-12)?,
        ..postnorm()
    };
    let positions = format!("{prefix}embeddings.position_embeddings.weight");
    let mask = if c.flag_or("is_decoder", false)? { Mask::Causal } else { Mask::Bidirectional };
    let position = PositionConfig::Learned(learned::Config::default());
    let sizes = (c.count("vocab_size")?, 0, cx.rows(&positions).max(1));
    let mut config = cx.model(sizes, mask, position, architecture);
    config.details.segments = c.count_or("type_vocab_size", 2)?;

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(format!("{prefix}embeddings.word_embeddings.weight")));
    names.add("position.weight", Recipe::tensor(positions));
    names.add("segment.weight", Recipe::tensor(format!("{prefix}embeddings.token_type_embeddings.weight")));
    names.pair("embed_norm", &format!("{prefix}embeddings.LayerNorm"));
    Ok(Blueprint { config, names })
}

/// What all of BERT's relatives have in common.
pub(super) fn postnorm() -> Architecture {
    Architecture { norm_placement: NormPlacement::Post, embedding_norm: true, ..Architecture::default() }
}

/// Positions as RoBERTa counts them: padding stands at `pad`, the other tokens at pad + 1, pad + 2, …
pub(super) fn count_from_padding(blueprint: &mut Blueprint, positions: &str, pad: usize) {
    let rows = blueprint.config.max_len;
    blueprint.config.details.counting = Counting::WithoutPadding { pad: pad as u32 };
    // The table begins with padding's row.
    blueprint.config.max_len = rows.saturating_sub(pad).max(1);
    blueprint.names.add("position.weight", Recipe::tensor(positions).rows(pad.min(rows)..rows));
}

/// The head of a masked language model: dense, activation, norm, and the embedding once more with a bias of its own.
pub(super) struct PredictionHead<'a> {
    pub(super) dense: &'a str,
    pub(super) norm: &'a str,
    /// The output's weight, in files that do not leave it out.
    pub(super) decoder: &'a str,
    /// The output's bias by all its names, first the one that counts where a file has both: if tied, they hold the same.
    pub(super) bias: &'a [&'a str],
    pub(super) embedding: &'a str,
    pub(super) activation: Activation,
}

impl PredictionHead<'_> {
    /// Adds the head, if the checkpoint has one.
    pub(super) fn add(&self, cx: &Context<'_>, blueprint: &mut Blueprint) -> Result<()> {
        let dense = format!("{}.weight", self.dense);
        if !cx.has(&dense) {
            return Ok(());
        }
        let config = &mut blueprint.config;
        (config.n_outputs, config.architecture.tie_embeddings) =
            cx.head(config.vocab_size, self.decoder, self.embedding, true)?;
        let bias = self.bias.iter().find(|name| cx.has(name));
        config.architecture.head_bias = bias.is_some();
        config.details.head_transform = Some(HeadTransform {
            width: cx.rows(&dense).max(1),
            bias: true,
            activation: Some(self.activation.plain()),
            norm: true,
            of_body: false,
        });
        blueprint.names.pair("head_transform", self.dense);
        blueprint.names.pair("head_transform.norm", self.norm);
        blueprint.names.add("head.weight", Recipe::tensor(self.decoder));
        if let Some(bias) = bias {
            blueprint.names.add("head.bias", Recipe::tensor(*bias));
        }
        Ok(())
    }
}
