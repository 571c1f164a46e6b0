//! CodeGen (Nijkamp et al. 2022): GPT-J whose queries, values and keys lie in one matrix, in four blocks.

use super::{Blueprint, Context, Family, gptj};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "CodeGen",
    model_types: &["codegen"],
    prefix: "transformer.",
    ignored: &["*.attn.causal_mask"],
    translate,
};

/// The blocks, one for each of the devices that it was trained on.
const BLOCKS: usize = 4;

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let mut blueprint = gptj::body(cx)?;
    let a = &blueprint.config.architecture;
    if !a.n_heads.is_multiple_of(BLOCKS) {
        return Err(cx.config.unsupported("n_head", "a multiple of 4"));
    }
    let width = a.d_model / BLOCKS;
    for l in 0..a.n_layers {
        let qkv = format!("transformer.h.{l}.attn.qkv_proj");
        for (at, part) in ["q", "v", "k"].into_iter().enumerate() {
            blueprint.names.pair_with(&format!("blocks.{l}.attn.{part}"), &qkv, |recipe| {
                recipe.unfused((BLOCKS, 3, width), at..at + 1)
            });
        }
    }
    Ok(blueprint)
}
