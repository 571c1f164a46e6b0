//! Tokenizers from a folder's files and from a GGUF file's vocabulary.

use std::fs;
use std::path::Path;

use attnlab_pretrained::{PretrainedError, Tokenizer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::write::GgufWriter;

fn folder(files: &[(&str, String)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn open(files: &[(&str, String)]) -> Tokenizer {
    Tokenizer::open(folder(files).path()).unwrap().unwrap()
}

fn refusal(files: &[(&str, String)]) -> String {
    Tokenizer::open(folder(files).path()).unwrap_err().to_string()
}

fn gguf(file: &GgufWriter) -> attnlab_pretrained::Result<Option<Tokenizer>> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, file.bytes()).unwrap();
    Tokenizer::open(&path)
}

/// A vocabulary of words, with a template that puts `<s>` before a text.
fn words(processor: Value) -> String {
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [{"id": 1, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true}],
        "normalizer": null,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": processor,
        "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"<unk>": 0, "<s>": 1, "a": 2, "b": 3, "</s>": 4}, "unk_token": "<unk>"},
    })
    .to_string()
}

fn template() -> Value {
    json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}})
}

#[test]
fn a_text_is_neither_cut_nor_filled_up() {
    let tokenizer = open(&[("tokenizer.json", words(Value::Null))]);
    assert_eq!(tokenizer.encode("a b a c", true).unwrap(), [2, 3, 2, 0]);
    assert_eq!(tokenizer.vocab_size(), 5);
    assert_eq!(tokenizer.token_label(1), "<s>");
    assert_eq!(tokenizer.token_label(9), "<9>");
}

#[test]
fn special_tokens_are_those_of_the_checkpoints_own_files() {
    let ids = |files: &[(&str, String)]| open(files).encode("a", true).unwrap();
    let with = |config: Value| {
        [("tokenizer.json", words(template())), ("tokenizer_config.json", config.to_string())]
    };
    assert_eq!(ids(&[("tokenizer.json", words(template()))]), [1, 2]);
    assert_eq!(open(&[("tokenizer.json", words(template()))]).encode("a", false).unwrap(), [2]);
    assert_eq!(ids(&with(json!({"bos_token": "<s>"}))), [1, 2]);
    assert_eq!(ids(&with(json!({"add_bos_token": false, "bos_token": "<s>"}))), [2]);
    let both = json!({"add_bos_token": true, "add_eos_token": true, "bos_token": "<s>", "eos_token": {"content": "</s>"}});
    assert_eq!(ids(&with(both.clone())), [1, 2, 4]);
    assert_eq!(
        ids(&[("tokenizer.json", words(Value::Null)), ("tokenizer_config.json", both.to_string())]),
        [1, 2, 4]
    );
    let missing = refusal(&with(json!({"add_bos_token": true, "bos_token": "<bos>"})));
    assert!(missing.contains("`bos_token` is `<bos>`, which is no token"), "{missing}");
}

#[test]
fn gpt2_files_make_a_byte_level_tokenizer() {
    let vocab = json!({"h": 0, "e": 1, "Ġ": 2, "he": 3, "Ġhe": 4, "<|endoftext|>": 5, "Ċ": 6}).to_string();
    let files = [("vocab.json", vocab), ("merges.txt", "#version: 0.2\nh e\nĠ he\n".to_owned())];
    let tokenizer = open(&files);
    assert_eq!(tokenizer.encode("he he\n<|endoftext|>", true).unwrap(), [3, 4, 6, 5]);
    assert_eq!(tokenizer.decode(&[3, 4, 6, 5]).unwrap(), "he he\n<|endoftext|>");
    let labels: Vec<_> = (0..7).map(|id| tokenizer.token_label(id)).collect();
    assert_eq!(labels, ["h", "e", "␣", "he", "␣he", "<|endoftext|>", "\\n"]);

    let message = refusal(&[files[0].clone(), ("merges.txt", "h x\n".to_owned())]);
    assert!(message.contains("merges `h` and `x`, but `x` is no token"), "{message}");
    assert!(
        refusal(&[files[0].clone(), ("merges.txt", "hx\n".to_owned())]).contains("no merge of two tokens")
    );
    assert!(
        refusal(&[("vocab.json", "[1]".to_owned()), files[1].clone()])
            .contains("vocab.json: is not the JSON")
    );
}

#[test]
fn roberta_files_put_their_tokens_around_a_text() {
    let vocab = json!({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "h": 4}).to_string();
    let tokenizer = open(&[("vocab.json", vocab), ("merges.txt", String::new())]);
    assert_eq!(tokenizer.encode("hh", true).unwrap(), [0, 4, 4, 2]);
    assert_eq!(tokenizer.encode("hh<pad>", false).unwrap(), [4, 4, 1]);
}

#[test]
fn bert_files_make_word_pieces() {
    let vocab = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n##m\nThe\n,\n".to_owned();
    let tokenizer = open(&[("vocab.txt", vocab.clone())]);
    assert_eq!(tokenizer.encode("Them, Thé", true).unwrap(), [2, 4, 5, 7, 4, 3]);
    assert_eq!(tokenizer.encode("xyz[SEP]", false).unwrap(), [1, 3]);
    assert_eq!(tokenizer.token_label(5), "##m");
    let cased =
        open(&[("vocab.txt", vocab), ("tokenizer_config.json", json!({"do_lower_case": false}).to_string())]);
    assert_eq!(cased.encode("Them", true).unwrap(), [2, 6, 5, 3]);
}

#[test]
fn a_folder_without_a_tokenizer_has_none() {
    assert!(Tokenizer::open(folder(&[("config.json", "{}".to_owned())]).path()).unwrap().is_none());
    assert!(Tokenizer::open(Path::new("nowhere")).unwrap().is_none());
    let message = refusal(&[("tokenizer.model", String::new())]);
    assert!(message.contains("a SentencePiece model") && message.contains("save_pretrained"), "{message}");
}

#[test]
fn files_that_contradict_themselves_are_refused() {
    for text in ["", "{", "{\"version\": \"1.0\""] {
        assert!(refusal(&[("tokenizer.json", text.to_owned())]).contains("tokenizer.json: is not the JSON"));
    }
    for text in ["{}", "[]", "{\"model\": {\"type\": \"BPE\"}}"] {
        assert!(refusal(&[("tokenizer.json", text.to_owned())]).contains("tokenizer.json: cannot be read"));
    }
    // Merges longer than any token, on which the library panics.
    let model = json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]], "unk_token": null,
        "dropout": null, "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false});
    let text = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model});
    let message = refusal(&[("tokenizer.json", text.to_string())]);
    assert!(message.contains("merges that make no token"), "{message}");
}

#[test]
fn another_models_tokenizer_is_refused() {
    let tokenizer = open(&[("tokenizer.json", words(Value::Null))]);
    tokenizer.fits(5, Path::new("config.json")).unwrap();
    let error = tokenizer.fits(4, Path::new("some/config.json")).unwrap_err();
    assert!(matches!(error, PretrainedError::Tokenizer { .. }));
    let message = error.to_string();
    assert!(
        message.contains("tokenizer.json: has ids up to 4") && message.contains("some/config.json"),
        "{message}"
    );
}

fn bytes() -> GgufWriter {
    GgufWriter::default()
        .text("general.architecture", "llama")
        .text("tokenizer.ggml.model", "gpt2")
        .texts("tokenizer.ggml.tokens", &["h", "e", "Ġ", "he", "Ġhe", "<s>", "1", "11", "Ã", "©"])
        .integers("tokenizer.ggml.token_type", &[1, 1, 1, 1, 1, 3, 1, 1, 1, 1])
        .texts("tokenizer.ggml.merges", &["h e", "Ġ he", "1 1"])
        .size("tokenizer.ggml.bos_token_id", 5)
}

#[test]
fn an_embedded_byte_level_vocabulary_cuts_as_its_model_did() {
    let ids = |file: GgufWriter, text: &str| gguf(&file).unwrap().unwrap().encode(text, true).unwrap();
    assert_eq!(ids(bytes(), "he he<s>11é"), [3, 4, 5, 7, 8, 9]);
    assert_eq!(ids(bytes().text("tokenizer.ggml.pre", "smollm"), "he 11"), [3, 2, 6, 6]);
    assert_eq!(ids(bytes().text("tokenizer.ggml.pre", "llama-bpe"), "11"), [5, 7]);
    assert_eq!(
        ids(
            bytes().text("tokenizer.ggml.pre", "llama-bpe").flag("tokenizer.ggml.add_bos_token", false),
            "11"
        ),
        [7]
    );
    assert_eq!(ids(bytes().text("tokenizer.ggml.pre", "qwen2"), "11e\u{301}"), [6, 6, 8, 9]);
    assert_eq!(gguf(&bytes()).unwrap().unwrap().token_label(4), "␣he");
}

#[test]
fn an_embedded_sentencepiece_vocabulary_merges_by_its_scores() {
    let tokens =
        ["<unk>", "<s>", "</s>", "<0x0A>", "<0xC3>", "<0xA9>", "▁", "a", "b", "ab", "▁a", "▁ab", "ba"];
    let scores = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, -0.5];
    let kinds = [2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 1];
    let file = GgufWriter::default()
        .text("tokenizer.ggml.model", "llama")
        .texts("tokenizer.ggml.tokens", &tokens)
        .floats("tokenizer.ggml.scores", &scores)
        .integers("tokenizer.ggml.token_type", &kinds)
        .size("tokenizer.ggml.bos_token_id", 1)
        .size("tokenizer.ggml.eos_token_id", 2)
        .size("tokenizer.ggml.unknown_token_id", 0);
    let tokenizer = gguf(&file).unwrap().unwrap();
    // The best merge of `▁aba` is `ba`, then `▁a`.
    assert_eq!(tokenizer.encode("aba", true).unwrap(), [1, 10, 12]);
    assert_eq!(tokenizer.encode("ab ab\né", false).unwrap(), [11, 11, 3, 4, 5]);
    assert_eq!(tokenizer.decode(&[11, 11, 3, 4, 5]).unwrap(), "ab ab\né");
    let labels: Vec<_> = [0, 3, 4, 11].map(|id| tokenizer.token_label(id)).into();
    assert_eq!(labels, ["<unk>", "\\n", "\\xC3", "␣ab"]);
    let plain = gguf(&file.flag("tokenizer.ggml.add_space_prefix", false)).unwrap().unwrap();
    assert_eq!(plain.encode("ab", true).unwrap(), [1, 9]);
}

#[test]
fn an_embedded_wordpiece_vocabulary_is_berts() {
    let file = GgufWriter::default()
        .text("tokenizer.ggml.model", "bert")
        .texts("tokenizer.ggml.tokens", &["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁the", "m", "▁,"])
        .size("tokenizer.ggml.cls_token_id", 2)
        .size("tokenizer.ggml.seperator_token_id", 3);
    let tokenizer = gguf(&file).unwrap().unwrap();
    assert_eq!(tokenizer.encode("Them, xx", true).unwrap(), [2, 4, 5, 6, 1, 3]);
}

#[test]
fn an_embedded_vocabulary_that_contradicts_itself_is_refused() {
    let message = |file: GgufWriter| gguf(&file).unwrap_err().to_string();
    let base = || {
        GgufWriter::default().text("tokenizer.ggml.model", "gpt2").texts("tokenizer.ggml.tokens", &["a", "b"])
    };
    assert!(message(GgufWriter::default().text("tokenizer.ggml.model", "gpt2")).contains("holds no tokens"));
    assert!(
        message(base().integers("tokenizer.ggml.token_type", &[1])).contains("has 1 entries for 2 tokens")
    );
    assert!(message(base().texts("tokenizer.ggml.merges", &["ab"])).contains("`ab`, which is no merge"));
    assert!(message(base().texts("tokenizer.ggml.merges", &["a b"])).contains("`ab` is no token"));
    assert!(
        message(base().text("tokenizer.ggml.pre", "odd"))
            .contains("`tokenizer.ggml.pre` is `odd`; known: default, gpt-2")
    );
    let bos = base().size("tokenizer.ggml.bos_token_id", 2).flag("tokenizer.ggml.add_bos_token", true);
    assert!(message(bos).contains("`tokenizer.ggml.bos_token_id` is 2, but there are 2 tokens"));
    assert!(
        message(
            GgufWriter::default().text("tokenizer.ggml.model", "rwkv").texts("tokenizer.ggml.tokens", &["a"])
        )
        .contains("is `rwkv`")
    );
    assert!(gguf(&GgufWriter::default()).unwrap().is_none());
}
