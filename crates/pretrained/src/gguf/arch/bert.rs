//! BERT, as sentence embedders are converted: without the head and the pooler.

use serde_json::json;

use super::super::facts::object;
use super::{Arch, Form};
use Form::Same;

pub(super) const BERT: Arch = Arch {
    name: "bert",
    tensors: &[&[
        ("token_embd", "embeddings.word_embeddings", Same),
        ("token_types", "embeddings.token_type_embeddings", Same),
        ("position_embd", "embeddings.position_embeddings", Same),
        ("token_embd_norm", "embeddings.LayerNorm", Same),
        ("attn_q", "encoder.layer.{}.attention.self.query", Same),
        ("attn_k", "encoder.layer.{}.attention.self.key", Same),
        ("attn_v", "encoder.layer.{}.attention.self.value", Same),
        ("attn_output", "encoder.layer.{}.attention.output.dense", Same),
        ("attn_output_norm", "encoder.layer.{}.attention.output.LayerNorm", Same),
        ("ffn_up", "encoder.layer.{}.intermediate.dense", Same),
        ("ffn_down", "encoder.layer.{}.output.dense", Same),
        ("layer_output_norm", "encoder.layer.{}.output.LayerNorm", Same),
    ]],
    config: |facts| {
        // RoBERTa goes by the same name, with its table of positions cut.
        match facts.gguf.metadata().text("tokenizer.ggml.model") {
            Some("bert") | None => {}
            Some(other) => {
                return Err(facts.unsupported(
                    "tokenizer.ggml.model",
                    other,
                    "bert (and not RoBERTa and its like)",
                ));
            }
        }
        Ok(object(json!({
            "architectures": ["BertModel"],
            "model_type": "bert",
            "vocab_size": facts.rows("token_embd.weight", "the embedding of tokens")?,
            "type_vocab_size": facts.rows("token_types.weight", "the embedding of token types")?,
            "max_position_embeddings": facts.rows("position_embd.weight", "the embedding of positions")?,
            "hidden_size": facts.size("embedding_length")?,
            "intermediate_size": facts.size("feed_forward_length")?,
            "num_hidden_layers": facts.size("block_count")?,
            "num_attention_heads": facts.heads()?,
            "layer_norm_eps": facts.number("attention.layer_norm_epsilon")?,
            "hidden_act": "gelu",
            "position_embedding_type": "absolute",
        })))
    },
};
