//! GGUF files as Hugging Face folders.

use attnlab_pretrained::gguf::Gguf;
use attnlab_pretrained::{Checkpoint, PretrainedError, Result};
use candle_core::{Device, IndexOp, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::write::{GgufWriter, counting};

fn present(file: &GgufWriter) -> Result<(Value, Checkpoint)> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    let (config, checkpoint) = Gguf::open(&path)?.as_hugging_face()?;
    Ok((Value::Object(config), checkpoint))
}

/// The keys that every decoder has: two layers of four heads, two of them key/value heads, of width 4.
fn keys(arch: &str, eps: &str) -> GgufWriter {
    GgufWriter::default()
        .text("general.architecture", arch)
        .size(&format!("{arch}.context_length"), 64)
        .size(&format!("{arch}.embedding_length"), 16)
        .size(&format!("{arch}.feed_forward_length"), 32)
        .size(&format!("{arch}.block_count"), 2)
        .size(&format!("{arch}.attention.head_count"), 4)
        .size(&format!("{arch}.attention.head_count_kv"), 2)
        .float(&format!("{arch}.attention.{eps}"), 1e-5)
        .f32s("token_embd.weight", &[10, 16], &counting(160))
        .f32s("output_norm.weight", &[16], &counting(16))
}

fn llama() -> GgufWriter {
    keys("llama", "layer_norm_rms_epsilon")
}

fn values(checkpoint: &Checkpoint, name: &str) -> Vec<f32> {
    checkpoint.read(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn llama_turns_in_halves_again_and_knows_its_configuration() {
    // The conversion's own permutation of Hugging Face's rows, head by head: (2, d/2) to (d/2, 2).
    let hf = Tensor::from_vec(counting(16 * 16), (16, 16), &Device::Cpu).unwrap();
    let stored = hf.reshape((4, 2, 2, 16)).unwrap().transpose(1, 2).unwrap().flatten_all().unwrap();
    let hf_k = hf.i(..8).unwrap();
    let stored_k = hf_k.reshape((2, 2, 2, 16)).unwrap().transpose(1, 2).unwrap().flatten_all().unwrap();
    let bias = hf_k.i((.., 0)).unwrap();
    let stored_bias = bias.reshape((2, 2, 2)).unwrap().transpose(1, 2).unwrap().flatten_all().unwrap();
    let file = llama()
        .f32s("blk.0.attn_q.weight", &[16, 16], &stored.to_vec1().unwrap())
        .f32s("blk.0.attn_k.weight", &[8, 16], &stored_k.to_vec1().unwrap())
        .f32s("blk.0.attn_k.bias", &[8], &stored_bias.to_vec1().unwrap());
    let (config, checkpoint) = present(&file).unwrap();
    let q = "model.layers.0.self_attn.q_proj.weight";
    assert_eq!(values(&checkpoint, q), counting(256));
    assert_eq!(
        checkpoint.read_rows(q, 5..7).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        counting(256)[80..112]
    );
    assert_eq!(values(&checkpoint, "model.layers.0.self_attn.k_proj.weight"), counting(128));
    assert_eq!(values(&checkpoint, "model.layers.0.self_attn.k_proj.bias"), bias.to_vec1::<f32>().unwrap());
    let expected = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 10, "hidden_size": 16,
        "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 4, "max_position_embeddings": 64, "tie_word_embeddings": true, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": null, "attention_bias": false, "mlp_bias": false,
    });
    assert_eq!(config, expected);
}

#[test]
fn experts_come_back_one_by_one() {
    let file = llama()
        .size("llama.expert_count", 2)
        .size("llama.expert_used_count", 1)
        .f32s("blk.1.ffn_gate_exps.weight", &[2, 3, 4], &counting(24))
        .f32s("blk.0.ffn_up.1.weight", &[3, 4], &counting(12));
    let (config, checkpoint) = present(&file).unwrap();
    assert_eq!((&config["model_type"], &config["num_local_experts"]), (&json!("mixtral"), &json!(2)));
    let second = "model.layers.1.block_sparse_moe.experts.1.w1.weight";
    assert_eq!(checkpoint.info(second).unwrap().shape, [3, 4]);
    assert_eq!(values(&checkpoint, second), counting(24)[12..]);
    assert_eq!(values(&checkpoint, "model.layers.0.block_sparse_moe.experts.1.w3.weight"), counting(12));
}

#[test]
fn gpt2_has_inputs_before_outputs_again() {
    let file = keys("gpt2", "layer_norm_epsilon")
        .f32s("position_embd.weight", &[64, 16], &counting(64 * 16))
        .f32s("blk.0.ffn_up.weight", &[3, 2], &counting(6))
        .f32s("blk.0.ffn_up.bias", &[3], &counting(3))
        .f32s("output.weight", &[10, 16], &counting(160));
    let (config, checkpoint) = present(&file).unwrap();
    assert_eq!((&config["n_positions"], &config["tie_word_embeddings"]), (&json!(64), &json!(false)));
    let name = "transformer.h.0.mlp.c_fc.weight";
    assert_eq!(checkpoint.info(name).unwrap().shape, [2, 3]);
    assert_eq!(checkpoint.read(name).unwrap().to_vec2::<f32>().unwrap(), [[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]]);
    assert_eq!(checkpoint.read_rows(name, 1..2).unwrap().to_vec2::<f32>().unwrap(), [[1.0, 3.0, 5.0]]);
    assert_eq!(values(&checkpoint, "transformer.h.0.mlp.c_fc.bias"), counting(3));
}

#[test]
fn gemma_loses_the_one_that_was_added() {
    let file = keys("gemma2", "layer_norm_rms_epsilon").size("gemma2.attention.key_length", 8).f32s(
        "blk.0.post_ffw_norm.weight",
        &[16],
        &counting(16),
    );
    let (config, checkpoint) = present(&file).unwrap();
    assert_eq!((&config["head_dim"], &config["query_pre_attn_scalar"]), (&json!(8), &json!(8)));
    let expected: Vec<f32> = counting(16).iter().map(|x| x - 1.0).collect();
    assert_eq!(values(&checkpoint, "model.layers.0.post_feedforward_layernorm.weight"), expected);
    assert_eq!(values(&checkpoint, "model.norm.weight"), expected);
    assert_eq!(values(&checkpoint, "model.embed_tokens.weight"), counting(160));
}

#[test]
fn queries_keys_and_values_are_together_again() {
    // Four query heads on two key/value heads: 2 x (2 + 2) x 4 rows.
    let hf = Tensor::from_vec(counting(32 * 16), (2, 4, 4, 16), &Device::Cpu).unwrap();
    let parts = [(0, 2), (2, 1), (3, 1)].map(|(i, n)| hf.narrow(1, i, n).unwrap().flatten(0, 2).unwrap());
    let stored = Tensor::cat(&parts, 0).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let file = keys("falcon", "layer_norm_epsilon").f32s("blk.1.attn_qkv.weight", &[32, 16], &stored);
    let (config, checkpoint) = present(&file).unwrap();
    assert_eq!((&config["num_kv_heads"], &config["multi_query"]), (&json!(2), &json!(false)));
    assert_eq!(
        values(&checkpoint, "transformer.h.1.self_attention.query_key_value.weight"),
        counting(32 * 16)
    );
}

#[test]
fn scaled_rotations_are_recognised() {
    let scaled = |factors: Vec<f32>| {
        present(&llama().float("llama.rope.freq_base", 500_000.0).f32s("rope_freqs.weight", &[2], &factors))
    };
    let (config, checkpoint) = scaled(vec![1.0, 8.0 / 8.0]).unwrap();
    assert_eq!(config["rope_scaling"], Value::Null);
    assert_eq!(checkpoint.names().count(), 2);
    // A head of width 4 turns with wavelengths 2π and 2π·√500000 = 4443, which is between 2048 and 8192.
    let smooth = (8192.0 / (std::f64::consts::TAU * 500_000f64.sqrt()) - 1.0) / 3.0;
    let error = scaled(vec![1.0, (1.0 / ((1.0 - smooth) / 8.0 + smooth)) as f32]);
    // From so few frequencies the factor cannot be told.
    assert!(
        matches!(error, Err(PretrainedError::Unsupported { key, .. }) if key == "llama.rope_freqs.weight")
    );

    let wide = |factors: &[f32]| {
        present(
            &llama()
                .size("llama.attention.key_length", 64)
                .size("llama.attention.value_length", 64)
                .float("llama.rope.freq_base", 500_000.0)
                .f32s("rope_freqs.weight", &[32], factors),
        )
    };
    let factors: Vec<f32> = (0..32)
        .map(|i| {
            let wavelength = std::f64::consts::TAU * 500_000f64.powf(f64::from(i) / 32.0);
            let smooth = (8192.0 / wavelength - 1.0) / 3.0;
            (1.0 / ((1.0 - smooth.clamp(0.0, 1.0)) / 8.0 + smooth.clamp(0.0, 1.0))) as f32
        })
        .collect();
    let expected = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192});
    assert_eq!(wide(&factors).unwrap().0["rope_scaling"], expected);

    let linear = llama().text("llama.rope.scaling.type", "linear").float("llama.rope.scaling.factor", 4.0);
    assert_eq!(present(&linear).unwrap().0["rope_scaling"], json!({"rope_type": "linear", "factor": 4.0}));
    let other = present(&llama().text("llama.rope.scaling.type", "spiral")).unwrap_err().to_string();
    assert!(other.contains("`llama.rope.scaling.type` = spiral is not supported"), "{other}");
}

#[test]
fn what_does_not_fit_the_architecture_is_named() {
    let message = |file: GgufWriter| present(&file).unwrap_err().to_string();
    let unknown = message(GgufWriter::default().text("general.architecture", "mamba"));
    assert!(unknown.contains("`mamba` is not known; known: bert, bloom"), "{unknown}");
    assert!(message(GgufWriter::default()).contains("model type ``"));
    let missing = message(GgufWriter::default().text("general.architecture", "llama"));
    assert!(missing.contains("tensor `token_embd.weight` is missing"), "{missing}");
    let missing = message(GgufWriter::default().text("general.architecture", "llama").f32s(
        "token_embd.weight",
        &[1, 1],
        &[0.0],
    ));
    assert!(missing.contains("`llama.embedding_length` is missing"), "{missing}");
    let unused =
        message(llama().f32s("blk.0.surprise.weight", &[1], &[0.0]).f32s("attn_q.weight", &[1], &[0.0]));
    assert!(unused.contains("2 of its tensors: `attn_q.weight`, `blk.0.surprise.weight`"), "{unused}");
    let odd = message(llama().f32s("blk.0.attn_q.weight", &[6, 1], &counting(6)));
    assert!(
        odd.contains("`blk.0.attn_q.weight`: found 6 rows, expected an even number for each of 4 heads"),
        "{odd}"
    );
    assert!(message(llama().f32s("blk.01.attn_q.weight", &[8, 1], &counting(8))).contains("blk.01"));
    assert!(message(llama().size("split.count", 3)).contains("--merge"));
    let width =
        message(llama().size("llama.attention.key_length", 4).size("llama.attention.value_length", 8));
    assert!(width.contains("`llama.attention.value_length` = 8"), "{width}");
}
