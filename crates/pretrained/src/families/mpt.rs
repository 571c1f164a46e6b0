//! MPT (MosaicML 2023).

use attnlab_model::{Architecture, Mask, Mlp};
use attnlab_positions::{PositionConfig, alibi};

use super::{Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "MPT", model_types: &["mpt"], prefix: "transformer.", ignored: &[], translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let attention = c.table("attn_config")?;
    refuse(c, attention.as_ref())?;
    let of_attention = |key: &str| attention.as_ref().map_or(Ok(None), |table| table.maybe_number(key));
    let d = c.count("d_model|hidden_size")?;
    let n_layers = cx.layers("n_layers|num_hidden_layers")?;
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads: c.count("n_heads|num_attention_heads")?,
        mlp: Mlp::GeluErf,
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        clip_qkv: of_attention("clip_qkv")?.filter(|&bound| bound != 0.0),
        attention_scale: of_attention("softmax_scale")?,
        qkv_bias: false,
        out_bias: false,
        mlp_bias: false,
        norm_bias: false,
        tie_embeddings,
        ..Architecture::default()
    };
    let position =
        PositionConfig::Alibi(alibi::Config { slopes: alibi::Slopes::Mpt, ..alibi::Config::default() });
    let max_len = c.count_or("max_seq_len", 2048)?.max(1);

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("transformer.wte.weight"));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.blocks.{l}"));
        names.fused_qkv(&format!("{ours}.attn"), &format!("{theirs}.attn.Wqkv"), 1, 1, d);
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "norm_1"),
                ("attn.o", "attn.out_proj"),
                ("mlp_norm", "norm_2"),
                ("mlp.up", "ffn.up_proj"),
                ("mlp.down", "ffn.down_proj"),
            ],
        );
    }
    names.pair("final_norm", "transformer.norm_f");
    names.pair("head", "lm_head");
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names })
}

/// Refuses what MPT's own code heeds and transformers does not: the weights were trained for another model.
fn refuse(c: &Config, attention: Option<&Config>) -> Result<()> {
    c.refuse_unless("expansion_ratio", &4.into())?;
    c.refuse_unless("no_bias", &true.into())?;
    if c.value("logit_scale").is_some() {
        return Err(c.unsupported("logit_scale", "null"));
    }
    if !matches!(c.maybe_text("norm_type")?.as_deref(), None | Some("low_precision_layernorm" | "layernorm"))
    {
        return Err(c.unsupported("norm_type", "low_precision_layernorm, layernorm"));
    }
    let Some(attention) = attention else { return Ok(()) };
    for flag in ["prefix_lm", "qk_ln", "attn_uses_sequence_id"] {
        attention.refuse_flag(flag)?;
    }
    attention.refuse_unless("alibi", &true.into())?;
    attention.refuse_unless("alibi_bias_max", &8.into())?;
    attention.refuse_unless("attn_type", &"multihead_attention".into())
}
