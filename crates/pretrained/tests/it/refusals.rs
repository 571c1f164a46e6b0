//! Switches that are not honoured, or contradict the weights: each is an error that names its key.

use std::path::Path;

use attnlab_pretrained::{Checkpoint, Config, ModelFiles, load};
use candle_core::DType;
use serde_json::{Value, json};

/// The message of loading a fixture with `key` (`outer.inner` in a table) set to `value`; empty if it loads.
fn message(fixture: &str, key: &str, value: Value) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(fixture);
    let file = folder.join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let place = key.split('.').fold(&mut config, |table, key| &mut table[key]);
    *place = value;
    let config = Config::new(&file, config).unwrap();
    load(ModelFiles { config, checkpoint: Checkpoint::open(&folder).unwrap() }, DType::F32)
        .map_or_else(|error| error.to_string(), |_| String::new())
}

#[test]
fn a_switch_that_is_not_honoured_is_named() {
    for (fixture, key, value) in [
        ("gpt2", "add_cross_attention", json!(true)),
        ("gpt2", "is_causal", json!(false)),
        ("gpt_bigcode", "add_cross_attention", json!(true)),
        ("xglm", "add_cross_attention", json!(true)),
        ("bert", "position_embedding_type", json!("relative_key")),
        ("roberta", "position_embedding_type", json!("relative_key_query")),
        ("bert", "hidden_act", json!("mish")),
        ("modernbert", "hidden_activation", json!("quick_gelu")),
        ("modernbert", "layer_types", json!(["full_attention"])),
        ("modernbert", "global_attn_every_n_layers", json!(0)),
        ("modernbert", "local_rope_theta", json!(null)),
        ("modernbert", "rope_scaling", json!({"type": "linear", "factor": 2.0})),
        ("gptj", "rotary_dim", json!(10)),
        ("gptj", "rotary_dim", json!(null)),
        ("gptj", "rotary", json!(false)),
        ("codegen", "n_head", json!(2)),
        ("gpt_neo", "attention_types", json!([[["global", "local"], 9]])),
        ("gpt_neo", "attention_types", json!([[["global"], 1_000_000_000_000_u64]])),
        ("gpt_neo", "attention_types", json!("global")),
        ("gpt_neox", "rotary_pct", json!("all")),
        ("mpt", "attn_config.alibi", json!(false)),
        ("mpt", "attn_config.alibi_bias_max", json!(16)),
        ("mpt", "attn_config.qk_ln", json!(true)),
        ("mpt", "attn_config.prefix_lm", json!(true)),
        ("mpt", "attn_config.attn_type", json!("multiquery_attention")),
        ("mpt", "expansion_ratio", json!(2)),
        ("mpt", "no_bias", json!(false)),
        ("mpt", "logit_scale", json!("inv_sqrt_d_model")),
        ("mpt", "norm_type", json!("rmsnorm")),
        ("falcon_new", "num_kv_heads", json!(3)),
        ("falcon_new", "parallel_attn", json!(false)),
        ("falcon_new", "num_ln_in_parallel_attn", json!(3)),
        ("falcon_rope", "num_ln_in_parallel_attn", json!(2)),
        ("falcon_alibi", "num_kv_heads", json!(2)),
        ("t5_encoder", "feed_forward_proj", json!("gated-mish")),
        ("t5_encoder", "feed_forward_proj", json!("gated-tanh")),
        ("mpnet", "relative_attention_num_buckets", json!(16)),
        ("albert", "num_hidden_layers", json!(1_000_000)),
        ("albert", "inner_group_num", json!(1_000_000)),
        ("albert", "num_hidden_groups", json!(0)),
        ("deberta_v2", "pos_att_type", json!("c2p|p2p")),
        ("deberta_v2", "norm_rel_ebd", json!("none")),
        ("deberta_conv", "conv_kernel_size", json!(4)),
        ("deberta_conv", "conv_groups", json!(5)),
    ] {
        let found = message(fixture, key, value.clone());
        assert!(found.contains(&format!("`{key}`")), "{fixture}, {key} = {value}: {found:?}");
    }
}

#[test]
fn a_switch_that_contradicts_the_tensors_names_one_of_them() {
    for (fixture, key, value, tensor) in [
        ("gpt_neox", "attention_bias", json!(false), "attention.query_key_value.bias"),
        ("gpt_bigcode", "multi_query", json!(false), "attn.c_attn"),
        ("opt", "_remove_final_layer_norm", json!(true), "final_layer_norm"),
        ("opt", "enable_bias", json!(false), "k_proj.bias"),
        ("opt", "word_embed_proj_dim", json!(16), "embed_tokens"),
        ("falcon_new", "num_ln_in_parallel_attn", json!(1), "input_layernorm"),
        ("falcon_new", "bias", json!(true), "query_key_value.bias"),
        ("bloom", "n_layer", json!(1), "h.1."),
        ("mpt", "n_layers", json!(3), "blocks.2."),
        ("deberta_v2", "relative_attention", json!(false), "rel_embeddings"),
        ("deberta_v2", "position_buckets", json!(16), "rel_embeddings"),
        ("t5_encoder", "d_kv", json!(16), "SelfAttention.q"),
        ("albert", "embedding_size", json!(32), "embeddings"),
        ("modernbert", "attention_bias", json!(true), "Wqkv.bias"),
    ] {
        let found = message(fixture, key, value.clone());
        assert!(found.contains(tensor), "{fixture}, {key} = {value}: {found:?}");
    }
}
