//! Phi-2, and Phi-3 with what goes by its name.

use serde_json::json;

use super::super::facts::add;
use super::llama::{PRE_NORMS, ROPE};
use super::{Arch, Form};
use Form::Same;

pub(super) const PHI2: Arch = Arch {
    name: "phi2",
    tensors: &[&[
        ("token_embd", "model.embed_tokens", Same),
        ("output_norm", "model.final_layernorm", Same),
        ("output", "lm_head", Same),
        ("attn_norm", "model.layers.{}.input_layernorm", Same),
        ("attn_q", "model.layers.{}.self_attn.q_proj", Same),
        ("attn_k", "model.layers.{}.self_attn.k_proj", Same),
        ("attn_v", "model.layers.{}.self_attn.v_proj", Same),
        ("attn_output", "model.layers.{}.self_attn.dense", Same),
        ("ffn_up", "model.layers.{}.mlp.fc1", Same),
        ("ffn_down", "model.layers.{}.mlp.fc2", Same),
    ]],
    config: |facts| {
        let mut config = facts.decoder("phi", "PhiForCausalLM")?;
        add(
            &mut config,
            json!({
                "hidden_act": "gelu_new",
                "layer_norm_eps": facts.number("attention.layer_norm_epsilon")?,
                "partial_rotary_factor": facts.rotating()?,
                "qk_layernorm": false,
            }),
        );
        facts.rotation(&mut config)?;
        Ok(config)
    },
};

pub(super) const PHI3: Arch = Arch {
    name: "phi3",
    tensors: &[
        PRE_NORMS,
        ROPE,
        &[
            ("token_embd", "model.embed_tokens", Same),
            ("output_norm", "model.norm", Same),
            ("output", "lm_head", Same),
            ("attn_qkv", "model.layers.{}.self_attn.qkv_proj", Same),
            ("attn_output", "model.layers.{}.self_attn.o_proj", Same),
            // The gate and the input, one above the other in both.
            ("ffn_up", "model.layers.{}.mlp.gate_up_proj", Same),
            ("ffn_down", "model.layers.{}.mlp.down_proj", Same),
        ],
    ],
    config: |facts| {
        let mut config = facts.decoder("phi3", "Phi3ForCausalLM")?;
        add(
            &mut config,
            json!({
                "hidden_act": "silu",
                "rms_norm_eps": facts.number("attention.layer_norm_rms_epsilon")?,
                "partial_rotary_factor": facts.rotating()?,
                // Zero stands for none.
                "sliding_window": facts.optional_size("attention.sliding_window")?.filter(|&n| n > 0),
            }),
        );
        if let Some(original) = facts.optional_size("rope.scaling.original_context_length")? {
            add(&mut config, json!({"original_max_position_embeddings": original}));
        }
        facts.rotation(&mut config)?;
        Ok(config)
    },
};
