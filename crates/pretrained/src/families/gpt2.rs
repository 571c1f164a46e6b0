//! GPT-2 (Radford et al. 2019).

use attnlab_model::{Architecture, Layer, Mask};
use attnlab_positions::{PositionConfig, learned};

use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "GPT-2",
    model_types: &["gpt2"],
    prefix: "transformer.",
    ignored: &["*.attn.bias", "*.attn.masked_bias"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let Blueprint { mut config, mut names } = body(cx, "gelu_new")?;
    let a = &config.architecture;
    let d = a.d_model;
    if c.flag_or("scale_attn_by_inverse_layer_idx", false)? {
        let scale = a.attention_scale.unwrap_or(1.0 / (a.head_width() as f64).sqrt());
        let layer = |l: usize| Layer { attention_scale: Some(scale / (l + 1) as f64), ..Layer::default() };
        config.details.layers = (0..a.n_layers).map(layer).collect();
    }
    for l in 0..config.architecture.n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        for (at, part) in ["q", "k", "v"].into_iter().enumerate() {
            names.pair_with(&format!("{ours}.attn.{part}"), &format!("{theirs}.attn.c_attn"), |recipe| {
                recipe.columns(at * d..(at + 1) * d).transposed()
            });
        }
        for (our, their) in MATRICES {
            names.pair_with(&format!("{ours}.{our}"), &format!("{theirs}.{their}"), Recipe::transposed);
        }
    }
    Ok(Blueprint { config, names })
}

/// The matrices of a block that hold one thing each. GPT-2 stores them transposed.
pub(super) const MATRICES: &[(&str, &str)] =
    &[("attn.o", "attn.c_proj"), ("mlp.up", "mlp.c_fc"), ("mlp.down", "mlp.c_proj")];

/// The model, with all names but those of its blocks' matrices; `activation` is what it has if nothing is said.
pub(super) fn body(cx: &Context<'_>, activation: &str) -> Result<Blueprint> {
    let c = cx.config;
    c.refuse_flag("add_cross_attention")?;
    let d = c.count("n_embd|hidden_size")?;
    let n_layers = cx.layers("n_layer|num_hidden_layers")?;
    let n_heads = c.count("n_head|num_attention_heads")?;
    cx.head_width(d, n_heads)?;
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        d_mlp: c.maybe_count("n_inner")?,
        mlp: Activation::read(c, "activation_function", activation)?.plain(),
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
    for l in 0..n_layers {
        let norms = [("attn_norm", "ln_1"), ("mlp_norm", "ln_2")];
        names.pairs(&format!("blocks.{l}"), &format!("transformer.h.{l}"), &norms);
    }
    names.pair("final_norm", "transformer.ln_f");
    names.pair("head", "lm_head");
    Ok(Blueprint { config, names })
}
