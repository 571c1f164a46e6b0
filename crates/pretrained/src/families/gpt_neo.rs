//! GPT-Neo (Black et al. 2021): GPT-2 whose blocks take turns in seeing everything and the last few tokens.

use attnlab_model::{Architecture, Layer, Mask};
use attnlab_positions::{PositionConfig, learned};
use serde_json::Value;

use super::{Activation, Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "GPT-Neo",
    model_types: &["gpt_neo"],
    prefix: "transformer.",
    ignored: &["*.attn.attention.bias", "*.attn.attention.masked_bias"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let n_layers = cx.layers("num_layers|num_hidden_layers")?;
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", true)?;
    let architecture = Architecture {
        d_model: c.count("hidden_size")?,
        n_layers,
        n_heads: c.count("num_heads|num_attention_heads")?,
        d_mlp: c.maybe_count("intermediate_size")?,
        mlp: Activation::read(c, "activation_function", "gelu_new")?.plain(),
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        attention_scale: Some(1.0),
        qkv_bias: false,
        tie_embeddings,
        ..Architecture::default()
    };
    let max_len = cx.rows("transformer.wpe.weight").max(1);
    let position = PositionConfig::Learned(learned::Config::default());
    let mut config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    let window = c.count_or("window_size", 256)?;
    let layer = |local| Layer { window: if local { Some(window) } else { None }, ..Layer::default() };
    config.details.layers = local_layers(c, n_layers)?.into_iter().map(layer).collect();

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("transformer.wte.weight"));
    names.add("position.weight", Recipe::tensor("transformer.wpe.weight"));
    for l in 0..n_layers {
        names.pairs(
            &format!("blocks.{l}"),
            &format!("transformer.h.{l}"),
            &[
                ("attn_norm", "ln_1"),
                ("attn.q", "attn.attention.q_proj"),
                ("attn.k", "attn.attention.k_proj"),
                ("attn.v", "attn.attention.v_proj"),
                ("attn.o", "attn.attention.out_proj"),
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

/// Which blocks are local, from `attention_types`: lists of kinds, each with how often it is repeated.
fn local_layers(c: &Config, n_layers: usize) -> Result<Vec<bool>> {
    let key = "attention_types";
    let Some(types) = c.value(key) else { return Ok((0..n_layers).map(|l| l % 2 == 1).collect()) };
    let expected = format!("[[[\"global\" or \"local\", …], repeats], …] for {n_layers} blocks");
    let wrong = || c.unsupported(key, &expected);
    let mut layers = Vec::new();
    for item in types.as_array().ok_or_else(wrong)? {
        let kinds = item.get(0).and_then(Value::as_array).ok_or_else(wrong)?;
        let repeats = item.get(1).and_then(Value::as_u64).ok_or_else(wrong)?;
        let local = |kind: &Value| match kind.as_str() {
            Some("global") => Some(false),
            Some("local") => Some(true),
            _ => None,
        };
        let kinds: Vec<bool> = kinds.iter().map(local).collect::<Option<_>>().ok_or_else(wrong)?;
        for _ in 0..repeats {
            if layers.len() > n_layers || kinds.is_empty() {
                return Err(wrong());
            }
            layers.extend_from_slice(&kinds);
        }
    }
    if layers.len() == n_layers { Ok(layers) } else { Err(wrong()) }
}
