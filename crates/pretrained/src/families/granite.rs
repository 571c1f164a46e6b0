//! Granite 3 (IBM 2024): Llama with a factor at four places.

use super::llama::{self, Defaults, IGNORED};
use super::{Blueprint, Context, Family};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Granite", model_types: &["granite"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let mut blueprint = llama::body(cx, &Defaults::default())?;
    let a = &mut blueprint.config.architecture;
    llama::biases(cx, a)?;
    a.embedding_scale = c.number_or("embedding_multiplier", 1.0)?;
    a.attention_scale = Some(c.number_or("attention_multiplier", 1.0)?); // in place of 1/√K
    a.residual_scale = c.number_or("residual_multiplier", 1.0)?;
    a.logit_scale = 1.0 / c.number_or("logits_scaling", 1.0)?;
    Ok(blueprint)
}
