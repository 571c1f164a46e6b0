//! DeBERTa versions 2 and 3 (He et al. 2020, 2021).

use attnlab_model::{Convolution, Factorised, Layer, Mask, Projected};
use attnlab_positions::{PositionConfig, disentangled, none};
use candle_core::Tensor;

use super::bert::{self, PredictionHead};
use super::{Activation, Blueprint, Context, Family};
use crate::config::Config;
use crate::error::Result;
use crate::recipe::Recipe;

pub(super) const FAMILY: Family = Family {
    title: "DeBERTa-v2, DeBERTa-v3",
    model_types: &["deberta-v2"],
    prefix: "deberta.",
    ignored: &[
        "*embeddings.position_ids",
        // There even where the configuration does not have it added.
        "*embeddings.position_embeddings.weight",
        "*pooler.dense.*",
        "mask_predictions.*",
        "cls.predictions.bias",
        "cls.predictions.decoder.bias",
        // The norm of distances, where no block has them.
        "*encoder.LayerNorm.*",
    ],
    translate,
};

const PARTS: &[(&str, &str)] = &[
    ("attn.q", "attention.self.query_proj"),
    ("attn.k", "attention.self.key_proj"),
    ("attn.v", "attention.self.value_proj"),
    ("attn.o", "attention.output.dense"),
    ("attn_norm", "attention.output.LayerNorm"),
    ("mlp.up", "intermediate.dense"),
    ("mlp.down", "output.dense"),
    ("mlp_norm", "output.LayerNorm"),
];

fn translate(cx: &Context<'_>) -> Result<Blueprint> {
    let c = cx.config;
    let n_layers = cx.layers("num_hidden_layers")?;
    let mut blueprint = bert::embeddings(cx, "deberta.", n_layers)?;
    embed(cx, &mut blueprint)?;
    let (config, names) = (&mut blueprint.config, &mut blueprint.names);
    config.mask = Mask::Bidirectional;
    for l in 0..n_layers {
        names.pairs(&format!("blocks.{l}"), &format!("deberta.encoder.layer.{l}"), PARTS);
    }

    let a = &mut config.architecture;
    a.norm_eps = c.number_or("layer_norm_eps", 1e-7)?;
    let width = match c.maybe_count("attention_head_size")? {
        Some(width) => width,
        None => cx.head_width(a.d_model, a.n_heads)?,
    };
    a.head_dim = Some(width);
    let distances = distances(c, a.norm_eps)?;
    a.attention_scale = Some(1.0 / ((width * distances.terms()) as f64).sqrt());
    let norm = "deberta.encoder.LayerNorm.weight";
    if cx.has(norm) && !distances.norm {
        return Err(c.unsupported("norm_rel_ebd", &format!("layer_norm, as the file holds `{norm}`")));
    }
    if c.flag_or("relative_attention", false)? {
        let shared = c.flag_or("share_att_key", false)?;
        let position = Some(PositionConfig::Disentangled(distances));
        config.details.layers = vec![Layer { position, ..Layer::default() }; n_layers];
        names.add("distances.weight", Recipe::tensor("deberta.encoder.rel_embeddings.weight"));
        names.pair("distances.norm", "deberta.encoder.LayerNorm");
        for l in 0..n_layers {
            let block = format!("blocks.{l}");
            names.add(format!("{block}.position.weight"), Recipe::same("distances.weight"));
            names.pair_same(&format!("{block}.position.norm"), "distances.norm");
            for (part, own) in [("k", "pos_key_proj"), ("q", "pos_query_proj")] {
                let theirs = format!("deberta.encoder.layer.{l}.attention.self");
                let (ours, both) = (format!("{block}.position.{part}"), format!("both.{l}.{part}"));
                if shared {
                    let name = if part == "k" { "key_proj" } else { "query_proj" };
                    names.pair(&both, &format!("{theirs}.{name}"));
                    names.pair_same(&format!("{block}.attn.{part}"), &both);
                    names.pair_same(&ours, &both);
                } else {
                    names.pair(&ours, &format!("{theirs}.{own}"));
                }
            }
        }
    }
    convolve(cx, &mut blueprint)?;
    head(cx, &mut blueprint)?;
    Ok(blueprint)
}

/// Embeddings: positions if they are added at all, no segments by default, a projection without bias.
fn embed(cx: &Context<'_>, blueprint: &mut Blueprint) -> Result<()> {
    let (c, config) = (cx.config, &mut blueprint.config);
    config.details.segments = c.count_or("type_vocab_size", 0)?;
    if !c.flag_or("position_biased_input", true)? {
        config.position = PositionConfig::None(none::Config::default());
        config.max_len = c.count_or("max_position_embeddings", 512)?.max(1);
    }
    let width = c.count_or("embedding_size", config.architecture.d_model)?;
    if width != config.architecture.d_model {
        config.details.factorised = Some(Factorised { width, projected: Projected::BeforeNorm, bias: false });
        blueprint.names.pair("embed_projection", "deberta.embeddings.embed_proj");
    }
    Ok(())
}

/// How distances enter the scores, if they do.
fn distances(c: &Config, norm_eps: f64) -> Result<disentangled::Config> {
    let key = "pos_att_type";
    let kinds = match c.value(key) {
        Some(list) if list.is_array() => c.maybe_texts(key)?.unwrap_or_default(),
        _ => {
            let text = c.maybe_text(key)?.unwrap_or_default().to_lowercase();
            text.split('|').map(|kind| kind.trim().to_owned()).collect()
        }
    };
    if kinds.iter().any(|kind| kind == "p2p") {
        return Err(c.unsupported(key, "c2p, p2c"));
    }
    let has = |name: &str| kinds.iter().any(|kind| kind == name);
    let positive = |key: &str| -> Result<Option<usize>> {
        Ok(c.maybe_number(key)?.filter(|&n| n >= 1.0).map(|n| n as usize))
    };
    let longest = match positive("max_relative_positions")? {
        Some(longest) => longest,
        None => c.count_or("max_position_embeddings", 512)?,
    };
    let buckets = positive("position_buckets")?;
    let norms = c.maybe_text("norm_rel_ebd")?.unwrap_or_else(|| "none".to_owned()).to_lowercase();
    Ok(disentangled::Config {
        span: buckets.unwrap_or(longest),
        max_distance: buckets.map(|_| longest),
        content_to_position: has("c2p"),
        position_to_content: has("p2c"),
        norm: norms.split('|').any(|norm| norm.trim() == "layer_norm"),
        bias: true,
        norm_eps,
    })
}

/// The convolution beside the first block, if there is one.
fn convolve(cx: &Context<'_>, blueprint: &mut Blueprint) -> Result<()> {
    let c = cx.config;
    let (key, groups_key) = ("conv_kernel_size", "conv_groups");
    let kernel = c.maybe_number(key)?.filter(|&n| n >= 1.0).map_or(0, |n| n as usize);
    if kernel == 0 {
        return Ok(());
    }
    if kernel.is_multiple_of(2) {
        return Err(c.unsupported(key, "0 or an odd number"));
    }
    let d = blueprint.config.architecture.d_model;
    let groups = c.count_or(groups_key, 1)?;
    if groups == 0 || !d.is_multiple_of(groups) {
        return Err(c.unsupported(groups_key, &format!("a divisor of the width {d}")));
    }
    let activation = Activation::read(c, "conv_act", "tanh")?.plain();
    blueprint.config.details.convolution = Some(Convolution { kernel, activation });
    let theirs = "deberta.encoder.conv";
    blueprint.names.pair("convolution.norm", &format!("{theirs}.LayerNorm"));
    blueprint.names.add("convolution.bias", Recipe::tensor(format!("{theirs}.conv.bias")));
    let weight = Recipe::tensor(format!("{theirs}.conv.weight"));
    blueprint.names.add("convolution.weight", weight.then(move |x| neighbourhood(&x, groups)));
    Ok(())
}

/// The weight of a convolution in groups, (D, D/groups, kernel), as that of a linear map: (D, kernel·D).
fn neighbourhood(weight: &Tensor, groups: usize) -> candle_core::Result<Tensor> {
    let (output, input, kernel) = weight.dims3()?;
    let rows = output / groups;
    let whole = (0..groups).map(|group| {
        let own = weight.narrow(0, group * rows, rows)?;
        own.pad_with_zeros(1, group * input, (groups - 1 - group) * input)
    });
    let whole = Tensor::cat(&whole.collect::<candle_core::Result<Vec<_>>>()?, 0)?; // (D, D, kernel)
    whole.transpose(1, 2)?.contiguous()?.reshape((output, kernel * input * groups))
}

/// The head of a masked language model: that of the original files, or that of transformers.
fn head(cx: &Context<'_>, blueprint: &mut Blueprint) -> Result<()> {
    let activation = Activation::read(cx.config, "hidden_act", "gelu")?;
    let embedding = "deberta.embeddings.word_embeddings.weight";
    let tied = cx.config.flag_or("tie_word_embeddings", true)?;
    let head = if cx.has("lm_predictions.lm_head.dense.weight") {
        PredictionHead {
            dense: "lm_predictions.lm_head.dense",
            norm: "lm_predictions.lm_head.LayerNorm",
            // It has no weight of its own, tied or not.
            decoder: if tied { "lm_predictions.lm_head.decoder.weight" } else { embedding },
            bias: &["lm_predictions.lm_head.bias"],
            embedding,
            activation,
        }
    } else {
        PredictionHead {
            dense: "cls.predictions.transform.dense",
            norm: "cls.predictions.transform.LayerNorm",
            decoder: "cls.predictions.decoder.weight",
            bias: &["cls.predictions.decoder.bias", "cls.predictions.bias"],
            embedding,
            activation,
        }
    };
    head.add(cx, blueprint)
}
