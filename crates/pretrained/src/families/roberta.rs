//! RoBERTa (Liu et al. 2019), and with other vocabularies XLM-RoBERTa and CamemBERT.

use super::bert::{self, PredictionHead};
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "RoBERTa, XLM-RoBERTa, CamemBERT",
    model_types: &["roberta", "xlm-roberta", "camembert"],
    prefix: "roberta.",
    ignored: &[
        "*pooler.dense.*",
        "lm_head.bias",
        "lm_head.decoder.bias",
        "*embeddings.position_ids",
        "*embeddings.token_type_ids",
    ],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let mut blueprint = bert::body(cx, "roberta.")?;
    let pad = c.count_or("pad_token_id", 1)?;
    bert::count_from_padding(&mut blueprint, "roberta.embeddings.position_embeddings.weight", pad);
    let head = PredictionHead {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        decoder: "lm_head.decoder.weight",
        bias: &["lm_head.decoder.bias", "lm_head.bias"],
        embedding: "roberta.embeddings.word_embeddings.weight",
        activation: Activation::GeluErf,
    };
    head.add(cx, &mut blueprint)?;
    Ok(blueprint)
}
