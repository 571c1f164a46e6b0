//! ELECTRA (Clark et al. 2020): its generator, and the body of its discriminator.

use attnlab_model::{Factorised, Projected};

use super::bert::{self, PredictionHead};
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "ELECTRA",
    model_types: &["electra"],
    prefix: "electra.",
    ignored: &[
        "discriminator_predictions.*",
        "generator_lm_head.bias",
        "*embeddings.position_ids",
        "*embeddings.token_type_ids",
    ],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let mut blueprint = bert::body(cx, "electra.")?;
    let width = c.count_or("embedding_size", 128)?;
    if width != blueprint.config.architecture.d_model {
        blueprint.config.details.factorised =
            Some(Factorised { width, projected: Projected::AfterNorm, bias: true });
        blueprint.names.pair("embed_projection", "electra.embeddings_project");
    }
    let head = PredictionHead {
        dense: "generator_predictions.dense",
        norm: "generator_predictions.LayerNorm",
        decoder: "generator_lm_head.weight",
        bias: &["generator_lm_head.bias"],
        embedding: "electra.embeddings.word_embeddings.weight",
        activation: Activation::GeluErf,
    };
    head.add(cx, &mut blueprint)?;
    Ok(blueprint)
}
