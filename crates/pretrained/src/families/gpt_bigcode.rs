//! GPT-BigCode (Li et al. 2023, StarCoder; Allal et al. 2023, SantaCoder): GPT-2 with one key and value for all heads.

use super::{Blueprint, Context, Family, gpt2};
use crate::error::Result;

pub(super) const FAMILY: Family = Family {
    title: "GPT-BigCode",
    model_types: &["gpt_bigcode"],
    prefix: "transformer.",
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let Blueprint { mut config, mut names } = gpt2::body(cx, "gelu_pytorch_tanh")?;
    let a = &mut config.architecture;
    let (groups, queries) =
        if cx.config.flag_or("multi_query", true)? { (1, a.n_heads) } else { (a.n_heads, 1) };
    a.n_kv_heads = Some(groups);
    let width = a.head_width();
    for l in 0..a.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        names.fused_qkv(&format!("{ours}.attn"), &format!("{theirs}.attn.c_attn"), groups, queries, width);
        names.pairs(&ours, &theirs, gpt2::MATRICES);
    }
    Ok(Blueprint { config, names })
}
