//! GPT-2 and the decoders of its time.

use serde_json::json;

use super::super::facts::{add, object};
use super::{Arch, Form, Row};
use Form::{Apart, Same, Transposed};

/// GPT-2's names but for the four matrices of a layer.
const GPT2_FRAME: &[Row] = &[
    ("token_embd", "transformer.wte", Same),
    ("position_embd", "transformer.wpe", Same),
    ("output_norm", "transformer.ln_f", Same),
    ("output", "lm_head", Same),
    ("attn_norm", "transformer.h.{}.ln_1", Same),
    ("ffn_norm", "transformer.h.{}.ln_2", Same),
];

pub(super) const GPT2: Arch = Arch {
    name: "gpt2",
    tensors: &[
        GPT2_FRAME,
        &[
            ("attn_qkv", "transformer.h.{}.attn.c_attn", Transposed),
            ("attn_output", "transformer.h.{}.attn.c_proj", Transposed),
            ("ffn_up", "transformer.h.{}.mlp.c_fc", Transposed),
            ("ffn_down", "transformer.h.{}.mlp.c_proj", Transposed),
        ],
    ],
    config: |facts| {
        Ok(object(json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": facts.rows("token_embd.weight", "the embedding of tokens")?,
            "n_positions": facts.rows("position_embd.weight", "the embedding of positions")?,
            "n_embd": facts.size("embedding_length")?,
            "n_layer": facts.size("block_count")?,
            "n_head": facts.heads()?,
            "n_inner": facts.size("feed_forward_length")?,
            "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
            "activation_function": "gelu_new",
            "tie_word_embeddings": facts.tied(),
        })))
    },
};

pub(super) const STARCODER: Arch = Arch {
    name: "starcoder",
    tensors: &[
        GPT2_FRAME,
        &[
            ("attn_qkv", "transformer.h.{}.attn.c_attn", Same),
            ("attn_output", "transformer.h.{}.attn.c_proj", Same),
            ("ffn_up", "transformer.h.{}.mlp.c_fc", Same),
            ("ffn_down", "transformer.h.{}.mlp.c_proj", Same),
        ],
    ],
    config: |facts| {
        let kv_heads = facts.kv_heads()?;
        if kv_heads != 1 {
            return Err(facts.unsupported("attention.head_count_kv", kv_heads, "1"));
        }
        Ok(object(json!({
            "architectures": ["GPTBigCodeForCausalLM"],
            "model_type": "gpt_bigcode",
            "vocab_size": facts.rows("token_embd.weight", "the embedding of tokens")?,
            "n_positions": facts.rows("position_embd.weight", "the embedding of positions")?,
            "n_embd": facts.size("embedding_length")?,
            "n_layer": facts.size("block_count")?,
            "n_head": facts.heads()?,
            "n_inner": facts.size("feed_forward_length")?,
            "multi_query": true,
            "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
            "activation_function": "gelu_pytorch_tanh",
            "tie_word_embeddings": facts.tied(),
        })))
    },
};

pub(super) const STARCODER2: Arch = Arch {
    name: "starcoder2",
    tensors: &[
        super::llama::FRAME,
        super::llama::HALVES,
        super::llama::PRE_NORMS,
        super::llama::ROPE,
        &[("ffn_up", "model.layers.{}.mlp.c_fc", Same), ("ffn_down", "model.layers.{}.mlp.c_proj", Same)],
    ],
    config: |facts| {
        let mut config = facts.decoder("starcoder2", "Starcoder2ForCausalLM")?;
        add(
            &mut config,
            json!({
                "hidden_act": "gelu_pytorch_tanh",
                "norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
                "use_bias": facts.has("blk.0.attn_q.bias"),
                "sliding_window": facts.optional_size("attention.sliding_window")?.filter(|&n| n > 0),
            }),
        );
        facts.rotation(&mut config)?;
        Ok(config)
    },
};

pub(super) const GPT_NEOX: Arch = Arch {
    name: "gptneox",
    tensors: &[&[
        ("token_embd", "gpt_neox.embed_in", Same),
        ("output_norm", "gpt_neox.final_layer_norm", Same),
        ("output", "embed_out", Same),
        ("attn_norm", "gpt_neox.layers.{}.input_layernorm", Same),
        ("ffn_norm", "gpt_neox.layers.{}.post_attention_layernorm", Same),
        ("attn_qkv", "gpt_neox.layers.{}.attention.query_key_value", Apart),
        ("attn_output", "gpt_neox.layers.{}.attention.dense", Same),
        ("ffn_up", "gpt_neox.layers.{}.mlp.dense_h_to_4h", Same),
        ("ffn_down", "gpt_neox.layers.{}.mlp.dense_4h_to_h", Same),
    ]],
    config: |facts| {
        let mut config = facts.decoder("gpt_neox", "GPTNeoXForCausalLM")?;
        facts.rotation(&mut config)?;
        let base = config.get("rope_theta").cloned();
        add(
            &mut config,
            json!({
                "hidden_act": "gelu",
                "layer_norm_eps": facts.number("attention.layer_norm_epsilon")?,
                "rotary_pct": facts.rotating()?,
                "rotary_emb_base": base,
                "use_parallel_residual": facts.flag("use_parallel_residual")?.unwrap_or(true),
                "attention_bias": facts.has("blk.0.attn_qkv.bias"),
            }),
        );
        Ok(config)
    },
};

/// Falcon's tensors, which BLOOM has too.
const FALCON_NAMES: &[Row] = &[
    ("token_embd", "transformer.word_embeddings", Same),
    ("output_norm", "transformer.ln_f", Same),
    ("output", "lm_head", Same),
    ("attn_norm", "transformer.h.{}.input_layernorm", Same),
    ("attn_qkv", "transformer.h.{}.self_attention.query_key_value", Apart),
    ("attn_output", "transformer.h.{}.self_attention.dense", Same),
    ("ffn_up", "transformer.h.{}.mlp.dense_h_to_4h", Same),
    ("ffn_down", "transformer.h.{}.mlp.dense_4h_to_h", Same),
];

pub(super) const FALCON: Arch = Arch {
    name: "falcon",
    tensors: &[FALCON_NAMES],
    config: |facts| {
        let mut config = facts.decoder("falcon", "FalconForCausalLM")?;
        let kv_heads = facts.kv_heads()?;
        // Falcon-11B shares keys and values in groups, and has one norm like the smallest.
        let grouped = kv_heads != 1 && kv_heads != facts.heads()?;
        // The larger models' second norm, with which the names of the first change.
        if facts.has("blk.0.attn_norm_2.weight") {
            return Err(facts.unsupported(
                "attn_norm_2",
                "a tensor",
                "models with one norm in a layer, such as Falcon-7B",
            ));
        }
        add(
            &mut config,
            json!({
                "activation": "gelu",
                "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
                "ffn_hidden_size": facts.size("feed_forward_length")?,
                "num_kv_heads": kv_heads,
                "multi_query": kv_heads == 1,
                "new_decoder_architecture": grouped,
                "num_ln_in_parallel_attn": grouped.then_some(1),
                "parallel_attn": true,
                "bias": false,
                "alibi": false,
            }),
        );
        facts.rotation(&mut config)?;
        Ok(config)
    },
};

pub(super) const BLOOM: Arch = Arch {
    name: "bloom",
    tensors: &[
        &[
            ("token_embd_norm", "transformer.word_embeddings_layernorm", Same),
            ("ffn_norm", "transformer.h.{}.post_attention_layernorm", Same),
        ],
        FALCON_NAMES,
    ],
    config: |facts| {
        Ok(object(json!({
            "architectures": ["BloomForCausalLM"],
            "model_type": "bloom",
            "vocab_size": facts.rows("token_embd.weight", "the embedding of tokens")?,
            "hidden_size": facts.size("embedding_length")?,
            "n_layer": facts.size("block_count")?,
            "n_head": facts.heads()?,
            "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
            "tie_word_embeddings": facts.tied(),
        })))
    },
};

pub(super) const MPT: Arch = Arch {
    name: "mpt",
    tensors: &[&[
        ("token_embd", "transformer.wte", Same),
        ("output_norm", "transformer.norm_f", Same),
        ("output", "lm_head", Same),
        ("attn_norm", "transformer.blocks.{}.norm_1", Same),
        ("ffn_norm", "transformer.blocks.{}.norm_2", Same),
        ("attn_qkv", "transformer.blocks.{}.attn.Wqkv", Same),
        ("attn_output", "transformer.blocks.{}.attn.out_proj", Same),
        ("ffn_up", "transformer.blocks.{}.ffn.up_proj", Same),
        ("ffn_down", "transformer.blocks.{}.ffn.down_proj", Same),
    ]],
    config: |facts| {
        let (width, inner) = (facts.size("embedding_length")?, facts.size("feed_forward_length")?);
        if !inner.is_multiple_of(width) {
            return Err(facts.unsupported("feed_forward_length", inner, "a multiple of embedding_length"));
        }
        let kv_heads = facts.kv_heads()?;
        if kv_heads != facts.heads()? {
            return Err(facts.unsupported("attention.head_count_kv", kv_heads, "as many as heads"));
        }
        let alibi = facts.optional_number("attention.max_alibi_bias")?.filter(|&bias| bias > 0.0);
        let Some(alibi) = alibi else {
            return Err(facts.unsupported(
                "attention.max_alibi_bias",
                "none",
                "more than 0: learned positions are not",
            ));
        };
        Ok(object(json!({
            "architectures": ["MptForCausalLM"],
            "model_type": "mpt",
            "vocab_size": facts.rows("token_embd.weight", "the embedding of tokens")?,
            "d_model": width,
            "n_layers": facts.size("block_count")?,
            "n_heads": facts.heads()?,
            "expansion_ratio": inner / width,
            "max_seq_len": facts.size("context_length")?,
            "layer_norm_epsilon": facts.number("attention.layer_norm_epsilon")?,
            "no_bias": !facts.has("blk.0.attn_qkv.bias"),
            "attn_config": {
                "alibi": true,
                "alibi_bias_max": alibi,
                "clip_qkv": facts.optional_number("attention.clamp_kqv")?.filter(|&clamp| clamp > 0.0),
            },
            "tie_word_embeddings": facts.tied(),
        })))
    },
};
