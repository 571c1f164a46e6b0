//! Models, texts and questions that `inspect` and `generate` refuse: what is wrong is named, nothing is written.

use std::fs;

use crate::lab::{Lab, PROGRAM, TINY, json};
use crate::parity::root;

/// The path of a tiny checkpoint.
fn checkpoint(name: &str) -> String {
    root().join(name).to_str().unwrap().to_owned()
}

/// A copy of a checkpoint in the laboratory, to be damaged.
fn copy(lab: &Lab, name: &str, to: &str) {
    for file in ["config.json", "model.safetensors"] {
        lab.write(&format!("{to}/{file}"), fs::read(root().join(name).join(file)).unwrap());
    }
}

/// Refused with 1 or 2, without a panic, a result or a file.
fn is_refused(lab: &Lab, arguments: &[&str], words: &[&str]) {
    let code = lab.attnlab(arguments).code;
    assert!(matches!(code, Some(1 | 2)), "{arguments:?}: {code:?}");
    lab.refuses(arguments, code.unwrap(), words);
}

#[test]
fn wrong_usage_of_inspect_is_refused_and_named() {
    let lab = Lab::new(TINY);
    let cases: [(&[&str], &[&str]); 34] = [
        (&["--by", "sinks"], &["sinks", "first_token", "induction_copy"]),
        (&["--layers", "9"], &["--layers 9", "0 and 2"]),
        (&["--layers", "2-1"], &["--layers 2-1"]),
        (&["--heads", "0-6"], &["--heads 0-6", "0 and 5"]),
        (&["--heads", "x"], &["--heads x"]),
        (&["--rows", "900"], &["--rows 900", "117"]),
        (&["--tokens", "1,2,512"], &["512", "0 to 511"]),
        (&["--tokens", "1,2,x"], &["--tokens", "`x`"]),
        (&["--tokens", "1;;2"], &["--tokens", "row 2"]),
        (&["--tokens", ""], &["--tokens"]),
        (&["--tokens", "1,2,3", "--token-types", "0,0"], &["--token-types", "[2]", "[3]"]),
        (&["--prompt", "", "--no-special"], &["no tokens"]),
        (&["--prompt", "a", "--tokens", "1"], &["--prompt", "--tokens"]),
        (&["--repeat", "1"], &["--repeat 1"]),
        (&["--repeat", "100000000"], &["--repeat 100000000"]),
        (&["--dump", "x", "--point", "blocks.*.attn.hook_zz"], &["hook_zz", "blocks.*.attn.hook_z"]),
        (&["--dump", "x", "--point", "blocks.9.attn.hook_z"], &["layer 9", "0 to 2"]),
        (&["--point", "blocks.0.attn.hook_z"], &["--dump"]),
        (&["--dump", "x", "--prompt", "a b c", "--prompt", "a b c d e f g"], &["--dump", "one length"]),
        (&["--map", "2.4"], &["--picture"]),
        (&["--map", "7.4", "--picture", "x.png"], &["7.4", "0 to 2", "0 to 5"]),
        (&["--map", "x", "--picture", "x.png"], &["--map", "`x`"]),
        (&["--picture", "x.jpg"], &["x.jpg", ".svg", ".png"]),
        (&["--ablate", "2.9"], &["head 9", "0 to 5"]),
        (&["--ablate", "9.2"], &["layer 9", "0 to 2"]),
        (&["--ablate", "x"], &["--ablate", "`x`"]),
        (&["--ablate", "all", "--method", "resample"], &["resample", "two"]),
        (&["--ablate", "2.4", "--method", "resample"], &["resample", "--ablate all"]),
        (&["--cut", "nonsense"], &["--cut nonsense", "3.1:7>0"]),
        (&["--cut", "9.4:5>0"], &["layer 9"]),
        (&["--patch", "blocks.1.hook_resid_pre"], &["--from"]),
        (&["--patch", "blocks.1.hook_rezid", "--from-tokens", "1"], &["hook_rezid"]),
        (&["--threads", "0"], &["--threads 0"]),
        (&["--threads", "70000"], &["--threads 70000"]),
    ];
    for (arguments, words) in cases {
        lab.refuses(&[&["inspect", "demo"][..], arguments].concat(), 2, words);
    }
}

#[test]
fn what_a_run_finds_out_only_later_is_refused_too() {
    let lab = Lab::new(TINY);
    let gpt2 = checkpoint("gpt2");
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("demo", &["--tokens", "1,2,3", "--token-types", "0,0,1"], &["segment"]),
        (&checkpoint("bert"), &["--tokens", "1,2,3", "--token-types", "0,0,7"], &["segment", "7"]),
        (&gpt2, &["--prompt", "hi"], &["no tokenizer", "--tokens"]),
        (&gpt2, &["--tokens", &vec!["5"; 65].join(",")], &["64"]),
        ("demo", &["--cut", "2.4:5000>0"], &["5000", "118"]),
        ("demo", &["--patch", "blocks.1.hook_resid_pre", "--from-tokens", "1,2"], &["2 and 118"]),
        ("demo", &["--text-file", "nope.txt"], &["nope.txt"]),
        ("demo", &["--lines", "nope.txt"], &["nope.txt"]),
        ("demo", &["--stats", "no/such/folder.json"], &["no/such/folder.json"]),
        (&checkpoint("t5_encoder"), &["--tokens", "1,2", "--lens"], &["lens", "head"]),
    ];
    for (model, arguments, words) in cases {
        is_refused(&lab, &[&["inspect", model][..], arguments].concat(), words);
    }
    lab.write("empty.txt", "\n\n");
    is_refused(&lab, &["inspect", "demo", "--lines", "empty.txt"], &["empty.txt", "no lines"]);
    lab.write("latin1.txt", b"caf\xe9");
    is_refused(&lab, &["inspect", "demo", "--text-file", "latin1.txt"], &["latin1.txt"]);
}

#[test]
fn what_is_no_model_is_refused_and_what_to_do_is_said() {
    let lab = Lab::new(TINY);
    lab.write("empty/inside/it", "");
    copy(&lab, "gpt2", "pickle");
    fs::rename(lab.path("pickle/model.safetensors"), lab.path("pickle/pytorch_model.bin")).unwrap();
    lab.write("magic.gguf", b"GGUG\x03\0\0\0aaaaaaaaaaaaaaaaaaaaaaaa");
    lab.write("version.gguf", b"GGUF\x63\0\0\0aaaaaaaaaaaaaaaaaaaaaaaa");
    lab.write("short.gguf", b"GG");
    copy(&lab, "gpt2", "no_config");
    fs::remove_file(lab.path("no_config/config.json")).unwrap();
    copy(&lab, "gpt2", "prose");
    lab.write("prose/config.json", "Dear reader,");
    copy(&lab, "gpt2", "unknown");
    lab.write("unknown/config.json", r#"{"model_type": "rnn_2049"}"#);
    copy(&lab, "gpt2", "untyped");
    lab.write("untyped/config.json", "{}");
    let cases: [(&str, &[&str]); 12] = [
        ("nope", &["nope", "demo"]),
        ("nope/", &["nope"]),
        ("a/b/c", &["a/b/c", "owner/name"]),
        ("empty", &["config.json"]),
        ("exp.toml", &["exp.toml"]),
        ("pickle", &["pytorch_model.bin", "safetensors"]),
        ("magic.gguf", &["magic.gguf"]),
        ("version.gguf", &["version.gguf", "99"]),
        ("short.gguf", &["short.gguf"]),
        ("no_config", &["config.json"]),
        ("unknown", &["rnn_2049"]),
        ("untyped", &["model_type"]),
    ];
    for (model, words) in cases {
        is_refused(&lab, &["inspect", model, "--tokens", "1,2"], words);
        is_refused(&lab, &["generate", model, "--tokens", "1,2"], words);
    }
    is_refused(&lab, &["inspect", "prose", "--tokens", "1,2"], &["config.json"]);
    is_refused(&lab, &["inspect", "demo", "--against", "nope"], &["nope"]);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_file_named() {
    let lab = Lab::new(TINY);
    copy(&lab, "gpt2", "cut");
    let whole = fs::read(lab.path("cut/model.safetensors")).unwrap();
    for length in [0, 7, 8, 9, 200, whole.len() / 2, whole.len() - 1] {
        lab.write("cut/model.safetensors", &whole[..length]);
        is_refused(&lab, &["inspect", "cut", "--tokens", "1,2"], &["model.safetensors"]);
    }
    let config: serde_json::Value = json(&fs::read_to_string(root().join("gpt2/config.json")).unwrap());
    copy(&lab, "gpt2", "config");
    for (key, value, word) in [
        ("n_head", serde_json::json!(5), "5"),
        ("n_head", serde_json::json!(0), "n_head"),
        ("n_embd", serde_json::json!("wide"), "n_embd"),
        ("n_layer", serde_json::json!(7), "h.2"),
        ("n_layer", serde_json::json!(u64::MAX), "n_layer"),
        ("vocab_size", serde_json::json!(1_000_000_000_000_u64), "vocab_size"),
        ("vocab_size", serde_json::json!(100_000_000), "wte"),
        ("n_layer", serde_json::Value::Null, "n_layer"),
    ] {
        let mut config = config.clone();
        config[key] = value.clone();
        lab.write("config/config.json", config.to_string());
        let ended = lab.attnlab(&["inspect", "config", "--tokens", "1,2"]);
        assert!(matches!(ended.code, Some(1 | 2)), "{key} {value}: {:?}", ended.code);
        assert!(ended.stderr.contains(word), "{key} {value} does not say {word}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

/// The program with an empty cache and no network.
fn offline(lab: &Lab, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(PROGRAM);
    command.current_dir(lab.path(".")).env("HF_HUB_OFFLINE", "1").env("HF_HOME", lab.path("cache"));
    command.env_remove("HF_HUB_CACHE").args(arguments).output().unwrap()
}

#[test]
fn a_hub_id_that_is_not_in_the_cache_is_refused_when_offline() {
    let lab = Lab::new(TINY);
    let output = offline(&lab, &["inspect", "owner/name", "--prompt", "a"]);
    let said = String::from_utf8(output.stderr).unwrap();
    if cfg!(feature = "hub") {
        assert_eq!(output.status.code(), Some(1), "{said}");
        for word in ["owner/name", "HF_HUB_OFFLINE", "network"] {
            assert!(said.contains(word), "{said}");
        }
    } else {
        assert_eq!(output.status.code(), Some(2), "{said}");
    }
    assert!(!said.contains("panicked") && output.stdout.is_empty());
}

#[test]
fn generate_gives_the_same_bytes_again_and_draws_by_the_seed() {
    let lab = Lab::new(TINY);
    let said = |arguments: &[&str]| {
        let prompt = ["generate", "demo", "--prompt", "One morning Mirodel", "--max-tokens", "12"];
        lab.succeeds(&[&prompt[..], arguments].concat()).stdout
    };
    let greedy = said(&[]);
    assert!(greedy.starts_with("One morning Mirodel"), "{greedy}");
    assert_eq!(greedy, said(&["--threads", "1"]));
    assert_eq!(greedy, said(&["--top-k", "1", "--temperature", "1"]));
    let warm = |seed| said(&["--temperature", "1.5", "--seed", seed]);
    assert_eq!(warm("1"), warm("1"));
    assert!(["2", "3", "4"].into_iter().any(|seed| warm(seed) != warm("1")));
    let found = json(&said(&["--json"]));
    let text = found["text"].as_str().unwrap();
    assert_eq!(found["ids"].as_array().unwrap().len(), 12);
    assert_eq!(format!("One morning Mirodel{text}").trim_end(), greedy.trim_end());
}

#[test]
fn generate_refuses_what_cannot_be_continued() {
    let lab = Lab::new(TINY);
    let minilm = checkpoint("minilm");
    is_refused(&lab, &["generate", &minilm, "--tokens", "1,2,3"], &["causal"]);
    let cases: [(&[&str], &str); 8] = [
        (&["--temperature=-1"], "--temperature -1"),
        (&["--temperature", "nan"], "--temperature"),
        (&["--temperature", "inf"], "--temperature"),
        (&["--temperature", "warm"], "--temperature"),
        (&["--top-p", "2"], "--top-p 2"),
        (&["--top-k=-1"], "-1"),
        (&["--threads", "0"], "--threads 0"),
        (&["--tokens", "1"], "--tokens"),
    ];
    for (arguments, word) in cases {
        lab.refuses(&[&["generate", "demo", "--prompt", "a"][..], arguments].concat(), 2, &[word]);
    }
    lab.refuses(&["generate", "demo"], 2, &["--prompt"]);
    lab.refuses(&["generate", "demo", "--tokens", "1,600"], 2, &["600", "0 to 511"]);
    lab.refuses(&["generate", "demo", "--prompt", "", "--no-special"], 2, &["no tokens"]);
}
