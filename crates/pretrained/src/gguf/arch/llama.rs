//! Llama and what is named like it.

use serde_json::json;

use super::super::facts::{Config, Facts, add};
use super::{Arch, Form, Row};
use crate::error::Result;
use Form::{InConfig, KeyPairs, QueryPairs, Same, Stacked};

/// Embeddings, the last norm, and the attention's values and output.
pub(super) const FRAME: &[Row] = &[
    ("token_embd", "model.embed_tokens", Same),
    ("output_norm", "model.norm", Same),
    ("output", "lm_head", Same),
    ("attn_v", "model.layers.{}.self_attn.v_proj", Same),
    ("attn_output", "model.layers.{}.self_attn.o_proj", Same),
];

/// Queries and keys as Hugging Face has them.
pub(super) const HALVES: &[Row] = &[
    ("attn_q", "model.layers.{}.self_attn.q_proj", Same),
    ("attn_k", "model.layers.{}.self_attn.k_proj", Same),
];

/// Queries and keys whose rows were reordered to rotate in pairs.
const PAIRS: &[Row] = &[
    ("attn_q", "model.layers.{}.self_attn.q_proj", QueryPairs),
    ("attn_k", "model.layers.{}.self_attn.k_proj", KeyPairs),
];

/// Norms before attention and before the MLP.
pub(super) const PRE_NORMS: &[Row] = &[
    ("attn_norm", "model.layers.{}.input_layernorm", Same),
    ("ffn_norm", "model.layers.{}.post_attention_layernorm", Same),
];

/// The gated MLP.
pub(super) const MLP: &[Row] = &[
    ("ffn_gate", "model.layers.{}.mlp.gate_proj", Same),
    ("ffn_up", "model.layers.{}.mlp.up_proj", Same),
    ("ffn_down", "model.layers.{}.mlp.down_proj", Same),
];

/// Norms of queries and keys.
const QK_NORMS: &[Row] = &[
    ("attn_q_norm", "model.layers.{}.self_attn.q_norm", Same),
    ("attn_k_norm", "model.layers.{}.self_attn.k_norm", Same),
];

/// Mixtral's experts: stacked, or (in older files) each by itself.
const EXPERTS: &[Row] = &[
    ("ffn_gate_inp", "model.layers.{}.block_sparse_moe.gate", Same),
    ("ffn_gate_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w1", Stacked),
    ("ffn_down_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w2", Stacked),
    ("ffn_up_exps", "model.layers.{}.block_sparse_moe.experts.{e}.w3", Stacked),
    ("ffn_gate.{e}", "model.layers.{}.block_sparse_moe.experts.{e}.w1", Same),
    ("ffn_down.{e}", "model.layers.{}.block_sparse_moe.experts.{e}.w2", Same),
    ("ffn_up.{e}", "model.layers.{}.block_sparse_moe.experts.{e}.w3", Same),
];

/// Factors of a scaled rotation, which the configuration holds.
pub(super) const ROPE: &[Row] = &[
    ("rope_freqs", "", InConfig),
    ("rope_factors_long", "", InConfig),
    ("rope_factors_short", "", InConfig),
];

pub(super) const LLAMA: Arch = Arch {
    name: "llama",
    tensors: &[FRAME, PAIRS, PRE_NORMS, MLP, EXPERTS, ROPE],
    config: |facts| {
        if let Some(experts) = facts.optional_size("expert_count")?.filter(|&n| n > 0) {
            let mut config = rms(facts, "mixtral", "MixtralForCausalLM")?;
            let used = facts.size("expert_used_count")?;
            add(
                &mut config,
                json!({"num_local_experts": experts, "num_experts_per_tok": used, "sliding_window": null}),
            );
            return Ok(config);
        }
        biased(facts, "llama", "LlamaForCausalLM")
    },
};

pub(super) const GRANITE: Arch = Arch {
    name: "granite",
    tensors: &[FRAME, PAIRS, PRE_NORMS, MLP, ROPE],
    config: |facts| {
        let mut config = biased(facts, "granite", "GraniteForCausalLM")?;
        for (key, name) in [
            ("attention.scale", "attention_multiplier"),
            ("embedding_scale", "embedding_multiplier"),
            ("residual_scale", "residual_multiplier"),
            ("logit_scale", "logits_scaling"),
        ] {
            add(&mut config, json!({name: facts.number(key)?}));
        }
        Ok(config)
    },
};

pub(super) const SMOLLM3: Arch = Arch {
    name: "smollm3",
    tensors: &[FRAME, PAIRS, PRE_NORMS, MLP, ROPE],
    config: |facts| {
        let mut config = biased(facts, "smollm3", "SmolLM3ForCausalLM")?;
        // Not in the file: llama.cpp leaves out the rotation of every fourth layer.
        add(&mut config, json!({"no_rope_layer_interval": 4, "use_sliding_window": false}));
        Ok(config)
    },
};

pub(super) const QWEN2: Arch = Arch {
    name: "qwen2",
    tensors: &[FRAME, HALVES, PRE_NORMS, MLP, ROPE],
    config: |facts| {
        let mut config = rms(facts, "qwen2", "Qwen2ForCausalLM")?;
        add(&mut config, json!({"use_sliding_window": false}));
        Ok(config)
    },
};

pub(super) const QWEN3: Arch = Arch {
    name: "qwen3",
    tensors: &[FRAME, HALVES, QK_NORMS, PRE_NORMS, MLP, ROPE],
    config: |facts| {
        let mut config = biased(facts, "qwen3", "Qwen3ForCausalLM")?;
        add(&mut config, json!({"use_sliding_window": false}));
        Ok(config)
    },
};

pub(super) const OLMO2: Arch = Arch {
    name: "olmo2",
    tensors: &[
        FRAME,
        HALVES,
        QK_NORMS,
        MLP,
        ROPE,
        &[
            ("post_attention_norm", "model.layers.{}.post_attention_layernorm", Same),
            ("post_ffw_norm", "model.layers.{}.post_feedforward_layernorm", Same),
        ],
    ],
    config: |facts| {
        // OLMo 3 goes by the same name.
        if let Some(window) = facts.optional_size("attention.sliding_window")?.filter(|&n| n > 0) {
            return Err(facts.unsupported("attention.sliding_window", window, "models without windows"));
        }
        biased(facts, "olmo2", "Olmo2ForCausalLM")
    },
};

pub(super) const STABLELM: Arch = Arch {
    name: "stablelm",
    tensors: &[
        FRAME,
        HALVES,
        PRE_NORMS,
        MLP,
        ROPE,
        &[
            ("attn_q_norm", "model.layers.{}.self_attn.q_layernorm.norms.{e}", Stacked),
            ("attn_k_norm", "model.layers.{}.self_attn.k_layernorm.norms.{e}", Stacked),
        ],
    ],
    config: |facts| {
        let mut config = facts.decoder("stablelm", "StableLmForCausalLM")?;
        add(
            &mut config,
            json!({
                "hidden_act": "silu",
                "layer_norm_eps": facts.number("attention.layer_norm_epsilon")?,
                "partial_rotary_factor": facts.rotating()?,
                "use_parallel_residual": facts.flag("use_parallel_residual")?.unwrap_or(false),
                "use_qkv_bias": facts.has("blk.0.attn_q.bias"),
                "qk_layernorm": facts.has("blk.0.attn_q_norm.weight"),
            }),
        );
        facts.rotation(&mut config)?;
        Ok(config)
    },
};

pub(super) const COMMAND_R: Arch = Arch {
    name: "command-r",
    // Cohere's own rotation is by pairs, so that nothing was reordered.
    tensors: &[FRAME, HALVES, PRE_NORMS, MLP, ROPE, QK_NORMS],
    config: |facts| {
        let mut config = facts.decoder("cohere", "CohereForCausalLM")?;
        add(
            &mut config,
            json!({
                "hidden_act": "silu",
                "layer_norm_eps": facts.number("attention.layer_norm_epsilon")?,
                "logit_scale": facts.number("logit_scale")?,
                "use_qk_norm": facts.has("blk.0.attn_q_norm.weight"),
                "attention_bias": facts.has("blk.0.attn_output.bias"),
            }),
        );
        facts.rotation(&mut config)?;
        Ok(config)
    },
};

/// A decoder with RMS norms, SiLU and rotation.
fn rms(facts: &Facts, model_type: &str, class: &str) -> Result<Config> {
    let mut config = facts.decoder(model_type, class)?;
    let eps = facts.number("attention.layer_norm_rms_epsilon")?;
    add(&mut config, json!({"hidden_act": "silu", "rms_norm_eps": eps}));
    if facts.rotating()? != 1.0 {
        let rotating = facts.optional_size("rope.dimension_count")?.unwrap_or(0);
        return Err(facts.unsupported("rope.dimension_count", rotating, "the width of a head"));
    }
    facts.rotation(&mut config)?;
    Ok(config)
}

/// The same, whose configuration says whether there are biases.
fn biased(facts: &Facts, model_type: &str, class: &str) -> Result<Config> {
    let mut config = rms(facts, model_type, class)?;
    let (attention, mlp) = (facts.has("blk.0.attn_output.bias"), facts.has("blk.0.ffn_down.bias"));
    add(&mut config, json!({"attention_bias": attention, "mlp_bias": mlp}));
    Ok(config)
}
