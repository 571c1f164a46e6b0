//! GPT-NeoX (Black et al. 2022) and Pythia (Biderman et al. 2023).

use attnlab_model::{Architecture, Mask, Residual};
use attnlab_positions::rope::Layout;

use super::rope::RopeDefaults;
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "GPT-NeoX, Pythia",
    model_types: &["gpt_neox"],
    prefix: "gpt_neox.",
    ignored: &["*.attention.bias", "*.attention.masked_bias", "*.rotary_emb.inv_freq"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("hidden_size")?;
    let n_layers = cx.layers("num_hidden_layers")?;
    let n_heads = c.count("num_attention_heads")?;
    let width = cx.head_width(d, n_heads)?;
    let vocab = c.count("vocab_size")?;
    let head = if cx.has("lm_head.weight") { "lm_head" } else { "embed_out" };
    let (n_outputs, tie_embeddings) =
        cx.head(vocab, &format!("{head}.weight"), "gpt_neox.embed_in.weight", false)?;
    let bias = c.flag_or("attention_bias", true)?;
    let parallel = c.flag_or("use_parallel_residual", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        d_mlp: Some(c.count("intermediate_size")?),
        mlp: Activation::read(c, "hidden_act", "gelu")?.plain(),
        norm_eps: c.number_or("layer_norm_eps", 1e-5)?,
        residual: if parallel { Residual::Parallel } else { Residual::Sequential },
        qkv_bias: bias,
        out_bias: bias,
        tie_embeddings,
        ..Architecture::default()
    };

    let max_len = c.count_or("max_position_embeddings", 2048)?.max(1);
    let table = match c.table("rope_scaling")? {
        Some(table) => Some(table),
        None => c.table("rope_parameters")?,
    };
    let inside = match &table {
        Some(table) => table.maybe_number("partial_rotary_factor")?,
        None => None,
    };
    let fraction = match inside {
        Some(fraction) => fraction,
        None => c.number_or("rotary_pct", 0.25)?,
    };
    // Transformers heeds neither at this place.
    c.refuse_unless("partial_rotary_factor", &fraction.into())?;
    let base = c.maybe_number("rotary_emb_base")?;
    let rope = RopeDefaults { base: 1e4, fraction: Some(fraction), layout: Layout::Half };
    let position = rope.read_table(c, table.as_ref(), base, max_len)?;

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("gpt_neox.embed_in.weight"));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("gpt_neox.layers.{l}"));
        let qkv = format!("{theirs}.attention.query_key_value");
        names.fused_qkv(&format!("{ours}.attn"), &qkv, n_heads, 1, width);
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "input_layernorm"),
                ("attn.o", "attention.dense"),
                ("mlp_norm", "post_attention_layernorm"),
                ("mlp.up", "mlp.dense_h_to_4h"),
                ("mlp.down", "mlp.dense_4h_to_h"),
            ],
        );
    }
    names.pair("final_norm", "gpt_neox.final_layer_norm");
    names.pair("head", head);
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names })
}
