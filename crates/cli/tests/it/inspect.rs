//! Looking at models: numbers, files, edits, and what is refused.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::lab::{Lab, TINY, json};

/// A sequence of 25 tokens said twice, after the demo's `<bos>`.
fn said_twice() -> String {
    let once: Vec<String> = (0..25).map(|i| (100 + (i * 37) % 400).to_string()).collect();
    format!("511,{0},{0}", once.join(","))
}

fn mean(reading: &Value, layer: usize, head: usize, metric: &str) -> f64 {
    reading["survey"]["layers"][layer]["heads"][head]["values"][metric]["mean"].as_f64().unwrap()
}

fn inspected(lab: &Lab, arguments: &[&str]) -> Value {
    json(&lab.succeeds(&[&["inspect", "demo", "--json"], arguments].concat()).stdout)
}

fn parity() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../pretrained/tests/parity").canonicalize().unwrap()
}

fn rows(ids: &Tensor) -> String {
    let rows = ids.to_dtype(DType::I64).unwrap().to_vec2::<i64>().unwrap();
    let row = |row: &Vec<i64>| row.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    rows.iter().map(row).collect::<Vec<_>>().join(";")
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (a.to_dtype(DType::F64).unwrap(), b.to_dtype(DType::F64).unwrap());
    let values = (a - b).unwrap().abs().unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    values.into_iter().fold(0.0, |worst, x| if x.is_nan() { f64::INFINITY } else { worst.max(x) })
}

#[test]
fn a_dump_holds_what_transformers_computes_of_every_family() {
    let lab = Lab::new("");
    let mut checked = 0;
    for entry in fs::read_dir(parity()).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(expected) = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)
        else {
            continue;
        };
        let (path, tokens) = (folder.to_string_lossy().into_owned(), rows(&expected["input_ids"]));
        let mut arguments =
            vec!["inspect", &path, "--tokens", &tokens, "--dump", "dump.safetensors", "--threads", "2"];
        let segments = expected.get("token_type_ids").map(rows);
        if let Some(segments) = &segments {
            arguments.extend(["--token-types", segments]);
        }
        lab.succeeds(&arguments);
        let found = candle_core::safetensors::load(lab.path("dump.safetensors"), &Device::Cpu).unwrap();
        for (name, expected) in expected.iter().filter(|(name, _)| !name.contains("ids")) {
            assert_eq!(found[name].dims(), expected.dims(), "{path}: {name}");
            let difference = largest_difference(&found[name], expected);
            assert!(difference < 1e-4, "{path}: {name} is off by {difference}");
        }
        checked += 1;
    }
    assert!(checked > 130, "{checked}");
}

#[test]
fn the_demo_has_its_sink_its_previous_token_head_and_its_induction_head() {
    let lab = Lab::new("");
    let table = lab.succeeds(&["inspect", "demo"]).stdout;
    let first = table.lines().find(|line| line.trim_start().starts_with('L')).unwrap();
    assert!(first.contains("L2H4"), "{table}");
    let text = &inspected(&lab, &[])["readings"][0];
    let baseline = text["survey"]["layers"][2]["uniform"]["values"]["first_token"]["mean"].as_f64().unwrap();
    assert!(mean(text, 2, 4, "first_token") > 0.45 && baseline < 0.1);
    assert!(mean(text, 1, 4, "previous_token") > 0.7);
    assert!(text["loss"].as_f64().unwrap() < 3.0);
    let twice = &inspected(&lab, &["--tokens", &said_twice()])["readings"][0];
    assert!(mean(twice, 2, 4, "induction_copy") > 0.7, "{}", mean(twice, 2, 4, "induction_copy"));
    let copies = &twice["loss_of_copies"];
    assert!(copies[0].as_f64().unwrap() > 4.0 && copies[1].as_f64().unwrap() < 1.0, "{copies}");
}

#[test]
fn statistics_do_not_depend_on_threads() {
    let lab = Lab::new("");
    for threads in ["1", "2"] {
        lab.succeeds(&["inspect", "demo", "--repeat", "30", "--stats", threads, "--threads", threads]);
    }
    assert_eq!(lab.read("1"), lab.read("2"));
}

#[test]
fn every_file_that_is_asked_for_is_written() {
    let lab = Lab::new("");
    let files = ["--stats", "s.json", "--csv", "s.csv", "--html", "p.html", "--picture", "p.svg"];
    lab.succeeds(&[&["inspect", "demo"], &files[..]].concat());
    lab.succeeds(&["inspect", "demo", "--map", "2.4", "--picture", "m.png"]);
    let stats = json(&lab.read("s.json"));
    let metrics: Vec<&str> =
        stats["metrics"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    let csv = lab.read("s.csv");
    assert_eq!(csv.lines().next().unwrap(), format!("model,text,layer,head,{}", metrics.join(",")));
    // 18 heads and a baseline for each layer.
    assert_eq!(csv.lines().count(), 1 + 18 + 3);
    let page = lab.read("p.html");
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    assert!(!page.contains("src=\"http") && !page.contains("href=\"http"));
    assert!(lab.read("p.svg").contains("<svg"));
    assert!(fs::read(lab.path("m.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn several_texts_are_compared_and_lines_are_averaged() {
    let lab = Lab::new("");
    let two = inspected(&lab, &["--prompt", "The gold spoon.", "--prompt", "A silver needle was lost."]);
    assert_eq!(two["readings"].as_array().unwrap().len(), 2);
    lab.write(
        "lines.txt",
        "The gold spoon is mine.\n\nA silver needle was lost.\nShe gave it to Bravonie.\n",
    );
    let lines = inspected(&lab, &["--lines", "lines.txt"]);
    let reading = &lines["readings"][0];
    assert_eq!((lines["readings"].as_array().unwrap().len(), &reading["texts"]), (1, &3.into()));
    let estimate = &reading["survey"]["layers"][0]["heads"][0]["values"]["entropy"];
    assert!(estimate["half_width"].as_f64().unwrap() > 0.0);
    let text = lab.succeeds(&[
        "inspect",
        "demo",
        "--against",
        "demo",
        "--prompt",
        "The gold spoon.",
        "--html",
        "p.html",
    ]);
    assert_eq!(text.stdout.matches("nats a token").count(), 2);
}

#[test]
fn edits_and_analyses_answer() {
    let lab = Lab::new("");
    let tokens = said_twice();
    let ask = |more: &[&str]| inspected(&lab, &[&["--tokens", &tokens], more].concat());
    let ablation = &ask(&["--ablate", "all"])["ablation"];
    assert_eq!(ablation.as_array().unwrap().len(), 18);
    let place = |head: &Value| (head["layer"].as_u64().unwrap(), head["head"].as_u64().unwrap());
    let dearest: Vec<_> = ablation.as_array().unwrap().iter().take(2).map(place).collect();
    assert!(dearest.contains(&(2, 4)), "{dearest:?}");
    assert!(ablation[0]["delta_loss"].as_f64().unwrap() > 1.0);
    let one = &ask(&["--ablate", "2.4", "--method", "mean"])["ablation"][0];
    assert!(one["delta_loss"].as_f64().unwrap() > 1.0);
    assert!(ask(&["--cut", "2.4:50>26", "--cut", "2.4:*>0"])["cut"][0]["kl"].as_f64().unwrap() > 0.0);
    let other = tokens.replace("100", "300");
    let same = &ask(&["--patch", "blocks.1.hook_resid_pre", "--from-tokens", &tokens])["patch"][0];
    assert!(same["kl"].as_f64().unwrap().abs() < 1e-9, "{same}");
    let heads = &ask(&["--patch", "heads", "--from-tokens", &other])["patch"];
    assert_eq!(heads.as_array().unwrap().len(), 18);
    let all = ask(&["--lens", "--attribute", "--circuits", "--rollout"]);
    for key in ["lens", "attribution", "circuits", "compositions", "rollout"] {
        assert!(!all[key].is_null(), "{key}");
    }
    assert_eq!(all["lens"].as_array().unwrap().len(), 4);
}

#[test]
fn a_dump_of_some_heads_is_a_part_of_the_whole() {
    let lab = Lab::new("");
    let tokens = "511,40,41,42,43,44";
    let dump = |file: &str, more: &[&str]| {
        lab.succeeds(&[&["inspect", "demo", "--tokens", tokens, "--dump", file], more].concat());
        candle_core::safetensors::load(lab.path(file), &Device::Cpu).unwrap()
    };
    let whole = dump("whole", &[]);
    let point = "blocks.{1}.attn.hook_z";
    let part = dump("part", &["--layers", "1-2", "--heads", "0,4", "--rows", "5", "--point", point]);
    assert_eq!(part["attentions"].dims(), [2, 1, 2, 1, 6]);
    assert_eq!(part["blocks.1.attn.hook_z"].dims(), [1, 1, 6, 32]);
    let expected =
        whole["attentions"].narrow(0, 2, 1).unwrap().narrow(2, 4, 1).unwrap().narrow(3, 5, 1).unwrap();
    let found = part["attentions"].narrow(0, 1, 1).unwrap().narrow(2, 1, 1).unwrap();
    assert_eq!(largest_difference(&expected.contiguous().unwrap(), &found.contiguous().unwrap()), 0.0);
}

#[test]
fn a_run_of_ours_is_a_model_too() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0).to_string_lossy().into_owned();
    let found = json(&lab.succeeds(&["inspect", &run, "--tokens", "1,2,0,1", "--json"]).stdout);
    assert_eq!(found["readings"][0]["survey"]["layers"][0]["heads"].as_array().unwrap().len(), 2);
    lab.succeeds(&["generate", &run, "--tokens", "1,2,0", "--max-tokens", "2"]);
}

#[test]
fn generation_is_what_its_seed_says() {
    let lab = Lab::new("");
    let prompt = ["generate", "demo", "--prompt", "One morning ", "--max-tokens", "8"];
    let text = lab.succeeds(&prompt).stdout;
    assert!(text.starts_with("One morning ") && text == lab.succeeds(&prompt).stdout);
    let drawn = |seed| {
        let more = ["--temperature", "1", "--top-k", "50", "--seed", seed, "--json"];
        json(&lab.succeeds(&[&prompt[..], &more].concat()).stdout)["ids"].clone()
    };
    assert_eq!(drawn("1"), drawn("1"));
    assert_ne!(drawn("1"), drawn("2"));
    let encoder = parity().join("minilm").to_string_lossy().into_owned();
    lab.refuses(&["generate", &encoder, "--tokens", "5,6"], 1, &["only causal language models"]);
    lab.refuses(&["generate", "demo", "--prompt", "a", "--top-p", "2"], 2, &["--top-p 2"]);
}

#[test]
fn what_the_model_lacks_is_refused_by_name_before_anything_is_written() {
    let lab = Lab::new("");
    let demo = |more: &[&str], code, words: &[&str]| {
        let files = ["--dump", "d.safetensors", "--stats", "s.json"];
        lab.refuses(&[&["inspect", "demo"], more, &files].concat(), code, words);
    };
    demo(&["--by", "first_tokn"], 2, &["first_tokn", "first_token"]);
    demo(&["--layers", "3"], 2, &["--layers 3", "between 0 and 2"]);
    demo(&["--heads", "x"], 2, &["--heads x"]);
    demo(&["--tokens", "1,512"], 2, &["512", "0 to 511"]);
    demo(&["--tokens", "1,a"], 2, &["`a`"]);
    demo(&["--tokens", "1,2;3"], 2, &["one length"]);
    demo(&["--tokens", "1,2", "--token-types", "0"], 2, &["--token-types"]);
    demo(&["--tokens", "1,2", "--token-types", "0,1"], 1, &["segment"]);
    demo(&["--point", "blocks.0.attn.hook_patern"], 2, &["hook_pattern"]);
    demo(&["--point", "blocks.7.attn.hook_z"], 2, &["layers 0 to 2"]);
    demo(&["--ablate", "5.0"], 2, &["layer 5"]);
    demo(&["--cut", "1:2"], 2, &["--cut 1:2"]);
    demo(&["--map", "9.9", "--picture", "x.svg"], 2, &["--map 9.9"]);
    demo(&["--repeat", "1"], 2, &["--repeat 1"]);
    demo(&["--text-file", "none.txt"], 1, &["none.txt"]);
    lab.refuses(&["inspect", "no-such-folder", "--prompt", "a"], 2, &["no-such-folder", "demo"]);
    lab.refuses(&["inspect", "demo", "--picture", "x.gif"], 2, &[".svg or .png"]);
}

#[test]
fn damaged_models_are_errors_that_name_the_file() {
    let lab = Lab::new("");
    let gpt2 = parity().join("gpt2");
    let weights = fs::read(gpt2.join("model.safetensors")).unwrap();
    let config = fs::read_to_string(gpt2.join("config.json")).unwrap();
    let model = |config: &str, weights: &[u8]| {
        lab.write("m/config.json", config);
        lab.write("m/model.safetensors", weights);
    };
    let refused = |words: &[&str]| lab.refuses(&["inspect", "m", "--tokens", "5,6", "--dump", "d"], 1, words);
    model(&config, &weights[..weights.len() - 100]);
    refused(&["model.safetensors"]);
    model(&config.replace("\"gpt2\"", "\"gpt7\""), &weights);
    refused(&["gpt7", "llama"]);
    model(&config.replace("\"n_layer\": 2", "\"n_layer\": 3"), &weights);
    refused(&["h.2"]);
    model(&config.replace("\"n_layer\": 2", "\"n_layer\": 1"), &weights);
    refused(&["nothing uses", "h.1"]);
    model(&config.replace("\"n_embd\": 32", "\"n_embd\": 36"), &weights);
    refused(&["expected"]);
    model("{", &weights);
    refused(&["config.json"]);
    fs::remove_file(lab.path("m/model.safetensors")).unwrap();
    lab.write("m/pytorch_model.bin", b"\x80\x02");
    refused(&["pytorch_model.bin", "save"]);
    lab.write("bad.gguf", b"GGUX\x03\0\0\0");
    lab.refuses(&["inspect", "bad.gguf", "--tokens", "5"], 1, &["bad.gguf"]);
}

#[test]
fn families_and_statistics_are_listed() {
    let lab = Lab::new("");
    let families = json(&lab.succeeds(&["list", "families", "--json"]).stdout);
    let types = |family: &Value| family["model_types"].as_array().unwrap().clone();
    let all: Vec<Value> = families.as_array().unwrap().iter().flat_map(types).collect();
    for name in ["gpt2", "llama", "gpt_oss", "modernbert", "t5"] {
        assert!(all.contains(&name.into()), "{name}");
    }
    assert!(lab.succeeds(&["list", "metrics"]).stdout.contains("induction_copy"));
}
