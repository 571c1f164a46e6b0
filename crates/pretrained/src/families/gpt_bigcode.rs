//! GPT-BigCode (Li et al. 2023, StarCoder; Allal et al. 2023, SantaCoder): GPT-2 with one key and value for all heads.

use attnlab_model::{Architecture, Mask};
use attnlab_positions::{PositionConfig, learned};

use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "GPT-BigCode",
    model_types: &["gpt_bigcode"],
    prefix: "transformer.",
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_flag("add_cross_attention")?;
    let d = c.count("n_embd|hidden_size")?;
    let n_layers = cx.layers("n_layer|num_hidden_layers")?;
    let n_heads = c.count("n_head|num_attention_heads")?;
    let width = cx.head_width(d, n_heads)?;
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", true)?;
    let shared = c.flag_or("multi_query", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        n_kv_heads: Some(if shared { 1 } else { n_heads }),
        d_mlp: c.maybe_count("n_inner")?,
        mlp: Activation::read(c, "activation_function", "gelu_pytorch_tanh")?.plain(),
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        attention_scale: if c.flag_or("scale_attn_weights", true)? { None } else { Some(1.0) },
        tie_embeddings,
        ..Architecture::default()
    };
    let max_len = cx.rows("transformer.wpe.weight").max(1);
    let position = PositionConfig::Learned(learned::Config::default());
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("transformer.wte.weight"));
    names.add("position.weight", Recipe::tensor("transformer.wpe.weight"));
    let (groups, queries) = if shared { (1, n_heads) } else { (n_heads, 1) };
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        names.fused_qkv(&format!("{ours}.attn"), &format!("{theirs}.attn.c_attn"), groups, queries, width);
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "ln_1"),
                ("attn.o", "attn.c_proj"),
                ("mlp_norm", "ln_2"),
                ("mlp.up", "mlp.c_fc"),
                ("mlp.down", "mlp.c_proj"),
            ],
        );
    }
    names.pair("final_norm", "transformer.ln_f");
    names.pair("head", "lm_head");
    Ok(Blueprint { config, names })
}
