//! BLOOM (BigScience 2022).

use attnlab_model::{Architecture, Mask, NormPlacement};
use attnlab_positions::{PositionConfig, alibi};

use super::{Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "BLOOM", model_types: &["bloom"], prefix: "transformer.", ignored: &[], translate };

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("n_embed|hidden_size")?;
    let n_layers = cx.layers("n_layer|num_hidden_layers")?;
    let n_heads = c.count("n_head|num_attention_heads")?;
    let width = cx.head_width(d, n_heads)?;
    let vocab = c.count("vocab_size")?;
    let embedding = "transformer.word_embeddings.weight";
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", embedding, true)?;
    let normed = c.flag_or("apply_residual_connection_post_layernorm", false)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads,
        norm_eps: c.number_or("layer_norm_epsilon", 1e-5)?,
        norm_placement: if normed { NormPlacement::Normed } else { NormPlacement::Pre },
        embedding_norm: true,
        tie_embeddings,
        ..Architecture::default()
    };
    let position = PositionConfig::Alibi(alibi::Config::default());
    let max_len = c.count_or("seq_length", 2048)?.max(1);

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(embedding));
    names.pair("embed_norm", "transformer.word_embeddings_layernorm");
    for l in 0..n_layers {
        let (ours, theirs) = (format!("blocks.{l}"), format!("transformer.h.{l}"));
        let qkv = format!("{theirs}.self_attention.query_key_value");
        names.fused_qkv(&format!("{ours}.attn"), &qkv, n_heads, 1, width);
        names.pairs(
            &ours,
            &theirs,
            &[
                ("attn_norm", "input_layernorm"),
                ("attn.o", "self_attention.dense"),
                ("mlp_norm", "post_attention_layernorm"),
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
