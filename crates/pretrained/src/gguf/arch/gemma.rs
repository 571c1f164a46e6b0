//! Gemma: the norms' weights are stored with the 1 that the model adds to them.

use serde_json::json;

use super::super::facts::{Config, Facts, add};
use super::llama::{FRAME, HALVES, MLP, ROPE};
use super::{Arch, Form, Row};
use crate::error::Result;
use Form::PlusOne;

/// All of the frame but its norm.
const EMBEDDINGS: &[Row] =
    &[("output_norm", "model.norm", PlusOne), ("attn_norm", "model.layers.{}.input_layernorm", PlusOne)];

/// Norms before and after attention and the MLP.
const SANDWICH: &[Row] = &[
    ("post_attention_norm", "model.layers.{}.post_attention_layernorm", PlusOne),
    ("ffn_norm", "model.layers.{}.pre_feedforward_layernorm", PlusOne),
    ("post_ffw_norm", "model.layers.{}.post_feedforward_layernorm", PlusOne),
];

pub(super) const GEMMA: Arch = Arch {
    name: "gemma",
    tensors: &[
        EMBEDDINGS,
        FRAME,
        HALVES,
        MLP,
        ROPE,
        &[("ffn_norm", "model.layers.{}.post_attention_layernorm", PlusOne)],
    ],
    config: |facts| common(facts, "gemma", "GemmaForCausalLM"),
};

pub(super) const GEMMA2: Arch = Arch {
    name: "gemma2",
    tensors: &[EMBEDDINGS, FRAME, HALVES, MLP, ROPE, SANDWICH],
    config: |facts| {
        let mut config = common(facts, "gemma2", "Gemma2ForCausalLM")?;
        add(
            &mut config,
            json!({
                "attn_logit_softcapping": facts.optional_number("attn_logit_softcapping")?.unwrap_or(50.0),
                "final_logit_softcapping": facts.optional_number("final_logit_softcapping")?.unwrap_or(30.0),
                "sliding_window": facts.optional_size("attention.sliding_window")?.unwrap_or(4096),
                // The scale of attention is not in the file: of the released models only the one of 46 layers
                // divides by the mean width of its heads.
                "query_pre_attn_scalar": scalar(facts, 46)?,
            }),
        );
        Ok(config)
    },
};

pub(super) const GEMMA3: Arch = Arch {
    name: "gemma3",
    tensors: &[
        EMBEDDINGS,
        FRAME,
        HALVES,
        MLP,
        ROPE,
        SANDWICH,
        &[
            ("attn_q_norm", "model.layers.{}.self_attn.q_norm", PlusOne),
            ("attn_k_norm", "model.layers.{}.self_attn.k_norm", PlusOne),
        ],
    ],
    config: |facts| {
        let mut config = common(facts, "gemma3_text", "Gemma3ForCausalLM")?;
        // llama.cpp's own defaults: the first files did not say.
        let base = facts.optional_number("rope.freq_base")?.unwrap_or(1e6);
        if let Some(cap) = facts.optional_number("final_logit_softcapping")? {
            add(&mut config, json!({"final_logit_softcapping": cap}));
        }
        add(
            &mut config,
            json!({
                "rope_theta": base,
                "rope_local_base_freq": facts.optional_number("rope.freq_base_swa")?.unwrap_or(10_000.0),
                "sliding_window": facts.size("attention.sliding_window")?,
                "sliding_window_pattern": facts.optional_size("attention.sliding_window_pattern")?.unwrap_or(6),
                "query_pre_attn_scalar": scalar(facts, 62)?,
            }),
        );
        Ok(config)
    },
};

/// The number whose root divides the scores: a head's width, but for the model of so many layers the mean width.
fn scalar(facts: &Facts, layers: usize) -> Result<usize> {
    if facts.size("block_count")? == layers {
        return Ok(facts.size("embedding_length")? / facts.heads()?);
    }
    facts.head_dim()
}

fn common(facts: &Facts, model_type: &str, class: &str) -> Result<Config> {
    let mut config = facts.decoder(model_type, class)?;
    add(
        &mut config,
        json!({
            "hidden_act": "gelu_pytorch_tanh",
            "hidden_activation": "gelu_pytorch_tanh",
            "rms_norm_eps": facts.number("attention.layer_norm_rms_epsilon")?,
            "attention_bias": false,
        }),
    );
    facts.rotation(&mut config)?;
    Ok(config)
}
