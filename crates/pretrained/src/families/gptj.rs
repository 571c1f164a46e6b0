//! GPT-J (Wang and Komatsuzaki 2021).

use attnlab_model::{Architecture, Mask, Residual};
use attnlab_positions::PositionConfig;
use attnlab_positions::rope::{Config as Rope, Layout};

use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "GPT-J",
    model_types: &["gptj"],
    prefix: "transformer.",
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    cx.config.refuse_unless("rotary", &true.into())?;
    let mut blueprint = body(cx)?;
    for l in 0..blueprint.config.architecture.n_layers {
        blueprint.names.pairs(
            &format!("blocks.{l}.attn"),
            &format!("transformer.h.{l}.attn"),
            &[("q", "q_proj"), ("k", "k_proj"), ("v", "v_proj")],
        );
    }
    Ok(blueprint)
}

/// The model, with all names but those of queries, keys and values.
pub(super) fn body(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("n_embd|hidden_size")?;
    let n_layers = cx.layers("n_layer|num_hidden_layers")?;
    let n_heads = c.count("n_head|num_attention_heads")?;
    let width = cx.head_width(d, n_heads)?;
    let turning = if c.has("rotary_dim") { c.count("rotary_dim")? } else { 64 };
    if turning > width || !turning.is_multiple_of(2) {
        return Err(c.unsupported("rotary_dim", &format!("an even number up to the head's width, {width}")));
    }
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", false)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        d_mlp: c.maybe_count("n_inner")?,
        mlp: Activation::read(c, "activation_function", "gelu_new")?.plain(),
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        residual: Residual::ParallelSharedNorm,
        qkv_bias: false,
        out_bias: false,
        head_bias: true,
        tie_embeddings,
        ..Architecture::default()
    };
    let position = PositionConfig::Rope(Rope {
        fraction: turning as f64 / width as f64,
        layout: Layout::Interleaved,
        ..Rope::default()
    });
    let max_len = c.count_or("n_positions|max_position_embeddings", 2048)?.max(1);

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("transformer.wte.weight"));
    for l in 0..n_layers {
        names.pairs(
            &format!("blocks.{l}"),
            &format!("transformer.h.{l}"),
            &[
                ("attn_norm", "ln_1"),
                ("attn.o", "attn.out_proj"),
                ("mlp.up", "mlp.fc_in"),
                ("mlp.down", "mlp.fc_out"),
            ],
        );
    }
    names.pair("final_norm", "transformer.ln_f");
    names.pair("head", "lm_head");
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names })
}
