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
    c.refuse_flag("add_cross_attention")?;
    let d = c.count("n_embd|hidden_size")?;
    let n_layers = cx.layers("n_layer|num_hidden_layers")?;
    let n_heads = c.count("n_head|num_attention_heads")?;
    let width = cx.head_width(d, n_heads)?;
    let scale = if c.flag_or("scale_attn_weights", true)? { 1.0 / (width as f64).sqrt() } else { 1.0 };
    let vocab = c.count("vocab_size")?;
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", "transformer.wte.weight", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        d_mlp: c.maybe_count("n_inner")?,
        mlp: Activation::read(c, "activation_function", "gelu_new")?.plain(),
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        attention_scale: Some(scale),
        tie_embeddings,
        ..Architecture::default()
    };
    let max_len = cx.rows("transformer.wpe.weight").max(1);
    let position = PositionConfig::Learned(learned::Config::default());
    let mut config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    if c.flag_or("scale_attn_by_inverse_layer_idx", false)? {
        let layer = |l: usize| Layer { attention_scale: Some(scale / (l + 1) as f64), ..Layer::default() };
        config.details.layers = (0..n_layers).map(layer).collect();
    }

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor("transformer.wte.weight"));
    names.add("position.weight", Recipe::tensor("transformer.wpe.weight"));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        names.pair(&format!("{ours}.attn_norm"), &format!("{theirs}.ln_1"));
        for (at, part) in ["q", "k", "v"].into_iter().enumerate() {
            names.pair_with(&format!("{ours}.attn.{part}"), &format!("{theirs}.attn.c_attn"), |recipe| {
                recipe.columns(at * d..(at + 1) * d).transposed()
            });
        }
        names.pair_with(&format!("{ours}.attn.o"), &format!("{theirs}.attn.c_proj"), Recipe::transposed);
        names.pair(&format!("{ours}.mlp_norm"), &format!("{theirs}.ln_2"));
        names.pair_with(&format!("{ours}.mlp.up"), &format!("{theirs}.mlp.c_fc"), Recipe::transposed);
        names.pair_with(&format!("{ours}.mlp.down"), &format!("{theirs}.mlp.c_proj"), Recipe::transposed);
    }
    names.pair("final_norm", "transformer.ln_f");
    names.pair("head", "lm_head");
    Ok(Blueprint { config, names })
}
