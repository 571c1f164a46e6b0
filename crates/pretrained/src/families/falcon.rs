//! Falcon (Almazrouei et al. 2023), with ALiBi or rotary positions, the old decoder and the new.

use attnlab_model::{Architecture, Mask, Residual};
use attnlab_positions::{PositionConfig, alibi};

use super::rope::RopeDefaults;
use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family = Family {
    title: "Falcon",
    model_types: &["falcon", "RefinedWeb", "RefinedWebModel"],
    prefix: "transformer.",
    ignored: &["*.rotary_emb.inv_freq", "*.rotary.inv_freq", "*.maybe_rotary.inv_freq"],
    translate,
};

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("n_embed|hidden_size")?;
    let n_layers = cx.layers("num_hidden_layers|n_layer")?;
    let n_heads = c.count("num_attention_heads|n_head")?;
    let width = cx.head_width(d, n_heads)?;
    let Decoder { kv_heads, residual, norms } = decoder(cx, n_heads)?;
    let vocab = c.count("vocab_size")?;
    let embedding = "transformer.word_embeddings.weight";
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", embedding, true)?;
    let bias = c.flag_or("bias", false)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        n_kv_heads: Some(kv_heads),
        d_mlp: c.maybe_count("ffn_hidden_size")?,
        mlp: Activation::read(c, "activation", "gelu")?.plain(),
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        residual,
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: bias,
        tie_embeddings,
        ..Architecture::default()
    };
    let max_len = c.count_or("max_position_embeddings", 2048)?.max(1);
    let position = if c.flag_or("alibi", false)? {
        let falcon = Some(alibi::Falcon { scale: 1.0 / (width as f64).sqrt() });
        PositionConfig::Alibi(alibi::Config { falcon, ..alibi::Config::default() })
    } else {
        RopeDefaults::whole(1e4).read(c, max_len)?
    };

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(embedding));
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        let qkv = format!("{theirs}.self_attention.query_key_value");
        names.fused_qkv(&format!("{ours}.attn"), &qkv, kv_heads, n_heads / kv_heads, width);
        names.pairs(&ours, &theirs, norms);
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn.o", "self_attention.dense"),
                ("mlp.up", "mlp.dense_h_to_4h"),
                ("mlp.down", "mlp.dense_4h_to_h"),
            ],
        );
    }
    names.pair("final_norm", "transformer.ln_f");
    names.pair("head", "lm_head");
    let config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    Ok(Blueprint { config, names })
}

/// In what Falcon's decoders differ.
struct Decoder {
    /// The key/value heads, each the end of a group of the fused projection's rows.
    kv_heads: usize,
    residual: Residual,
    norms: &'static [(&'static str, &'static str)],
}

fn decoder(cx: &Context<'_>, n_heads: usize) -> Result<Decoder> {
    let c = cx.config;
    // Configurations from before Falcon came to transformers leave it to their code.
    let early = c.maybe_text("model_type")?.as_deref() != Some("falcon");
    let new = c.flag_or("new_decoder_architecture", early && cx.has("transformer.h.0.ln_attn.weight"))?;
    let multi_query = c.flag_or("multi_query", true)?;
    let parallel = c.flag_or("parallel_attn", true)?;
    let kv_key = if c.has("n_head_kv") { "n_head_kv" } else { "num_kv_heads" };
    let given = c.count_or(kv_key, n_heads)?;
    let kv_heads = if new || !multi_query { given } else { 1 };
    if new && (given == 0 || !n_heads.is_multiple_of(given)) {
        return Err(c.unsupported(kv_key, &format!("a divisor of the {n_heads} heads")));
    }
    if !new && !multi_query && given != n_heads {
        return Err(c.unsupported(kv_key, &format!("the {n_heads} heads, where multi_query is false")));
    }
    if new && !parallel {
        return Err(c.unsupported("parallel_attn", "true, with the new decoder"));
    }
    let norms_key = "num_ln_in_parallel_attn";
    let count = c.count_or(norms_key, if new { 2 } else { 1 })?;
    let two = match (new, count) {
        (true, 2) => true,
        (true, 1) => false,
        (true, _) => return Err(c.unsupported(norms_key, "1, 2")),
        (false, 2) if parallel => return Err(c.unsupported(norms_key, "1, with the old decoder")),
        (false, _) => false,
    };
    let (residual, norms): (_, &'static [_]) = match (two, parallel) {
        (true, _) => (Residual::Parallel, &[("attn_norm", "ln_attn"), ("mlp_norm", "ln_mlp")]),
        (false, true) => (Residual::ParallelSharedNorm, &[("attn_norm", "input_layernorm")]),
        (false, false) => {
            let norms = &[("attn_norm", "input_layernorm"), ("mlp_norm", "post_attention_layernorm")];
            (Residual::Sequential, norms)
        }
    };
    Ok(Decoder { kv_heads, residual, norms })
}
