//! OPT (Zhang et al. 2022).

use attnlab_model::{Architecture, Factorised, HeadTransform, Mask, NormPlacement, Projected};
use attnlab_positions::{PositionConfig, learned};

use super::{Activation, Blueprint, Context, Family};
use crate::error::Result;
use crate::recipe::{Names, Recipe};

pub(super) const FAMILY: Family =
    Family { title: "OPT", model_types: &["opt"], prefix: "model.", ignored: &[], translate };

/// The first rows of the table of positions, which stand for no position.
const OFFSET: usize = 2;

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let d = c.count("hidden_size")?;
    let n_layers = cx.layers("num_hidden_layers")?;
    let vocab = c.count("vocab_size")?;
    let embedding = "model.decoder.embed_tokens.weight";
    let (n_outputs, tie_embeddings) = cx.head(vocab, "lm_head.weight", embedding, true)?;
    let bias = c.flag_or("enable_bias", true)?;
    let before = c.flag_or("do_layer_norm_before", true)?;
    let learned_norm = c.flag_or("layer_norm_elementwise_affine", true)?;
    let architecture = Architecture {
        d_model: d,
        n_layers,
        n_heads: c.count("num_attention_heads")?,
        d_mlp: Some(c.count("ffn_dim")?),
        mlp: Activation::read(c, "activation_function", "relu")?.plain(),
        norm_placement: if before { NormPlacement::Pre } else { NormPlacement::Post },
        norm_bias: learned_norm,
        qkv_bias: bias,
        out_bias: bias,
        mlp_bias: bias,
        tie_embeddings,
        ..Architecture::default()
    };
    let positions = "model.decoder.embed_positions.weight";
    let rows = cx.rows(positions);
    let max_len = rows.saturating_sub(OFFSET).max(1);
    let position = PositionConfig::Learned(learned::Config::default());
    let mut config = cx.model((vocab, n_outputs, max_len), Mask::Causal, position, architecture);
    config.details.no_final_norm = c.flag_or("_remove_final_layer_norm", false)?;
    let width = c.count_or("word_embed_proj_dim", d)?;
    if width != d {
        config.details.factorised =
            Some(Factorised { width, projected: Projected::BeforePositions, bias: false });
        config.details.head_transform =
            Some(HeadTransform { width, bias: false, activation: None, norm: false, of_body: true });
    }

    let mut names = Names::new();
    names.add("embed.weight", Recipe::tensor(embedding));
    names.add("position.weight", Recipe::tensor(positions).rows(OFFSET.min(rows)..rows));
    names.pair("embed_projection", "model.decoder.project_in");
    names.pair("head_transform", "model.decoder.project_out");
    for l in 0..n_layers {
        names.pairs(&format!("blocks.{l}"), &format!("model.decoder.layers.{l}"), PARTS);
    }
    names.pair("final_norm", "model.decoder.final_layer_norm");
    names.pair("head", "lm_head");
    if !learned_norm {
        let norms = (0..n_layers).flat_map(|l| ["attn", "mlp"].map(|of| format!("blocks.{l}.{of}_norm")));
        for norm in norms.chain(["final_norm".to_owned()]) {
            names.add(format!("{norm}.weight"), Recipe::constant(1.0));
        }
    }
    Ok(Blueprint { config, names })
}

/// The parts of a block, which fairseq's decoders share.
pub(super) const PARTS: &[(&str, &str)] = &[
    ("attn_norm", "self_attn_layer_norm"),
    ("attn.q", "self_attn.q_proj"),
    ("attn.k", "self_attn.k_proj"),
    ("attn.v", "self_attn.v_proj"),
    ("attn.o", "self_attn.out_proj"),
    ("mlp_norm", "final_layer_norm"),
    ("mlp.up", "fc1"),
    ("mlp.down", "fc2"),
];
