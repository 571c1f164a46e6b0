//! Qwen3 (Yang et al. 2025, arXiv 2505.09388): Qwen2 with queries and keys normalised, and biases optional.

use super::llama::IGNORED;
use super::{Blueprint, Context, Family, qwen2};
use crate::error::Result;

pub(super) const FAMILY: Family =
    Family { title: "Qwen3", model_types: &["qwen3"], prefix: "model.", ignored: IGNORED, translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let mut blueprint = qwen2::body(cx, Some(128))?;
    let a = &mut blueprint.config.architecture;
    a.qkv_bias = cx.config.flag_or("attention_bias", false)?;
    a.out_bias = a.qkv_bias;
    a.qk_norm = true;
    Ok(blueprint)
}
