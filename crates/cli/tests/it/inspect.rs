//! What `inspect` says of the model that is built in, and what it writes.

use std::fs;

use serde_json::Value;

use crate::lab::{Lab, TINY, json};
use crate::tensors::Tensors;

/// What a text of random tokens said twice is for: the head that copies, and the one that feeds it.
const COPIES: (u64, u64) = (2, 4);
const FEEDS: (u64, u64) = (1, 4);

/// The JSON of `inspect demo`.
fn demo(lab: &Lab, arguments: &[&str]) -> Value {
    json(&lab.succeeds(&[&["inspect", "demo", "--json"][..], arguments].concat()).stdout)
}

/// A statistic of a head in a reading.
fn value(reading: &Value, (layer, head): (u64, u64), name: &str) -> f64 {
    let layers = reading["survey"]["layers"].as_array().unwrap();
    let layer = layers.iter().find(|found| found["layer"] == layer).unwrap();
    let head = layer["heads"].as_array().unwrap().iter().find(|found| found["head"] == head).unwrap();
    head["values"][name]["mean"].as_f64().unwrap_or_else(|| panic!("{name} in {head}"))
}

fn place(entry: &Value) -> (u64, u64) {
    (entry["layer"].as_u64().unwrap(), entry["head"].as_u64().unwrap())
}

fn number(entry: &Value, key: &str) -> f64 {
    entry[key].as_f64().unwrap_or_else(|| panic!("{key} in {entry}"))
}

/// The ids first..last as an argument, behind `<bos>`.
fn ids(range: std::ops::Range<u32>) -> String {
    [511].into_iter().chain(range).map(|id| id.to_string()).collect::<Vec<_>>().join(",")
}

#[test]
fn the_demo_needs_no_argument_and_its_sink_comes_first() {
    let lab = Lab::new(TINY);
    let said = lab.succeeds(&["inspect", "demo"]).stdout;
    assert!(said.starts_with("demo (") && said.contains("118 tokens; loss "), "{said}");
    let first = said.lines().find(|line| line.trim_start().starts_with('L')).unwrap();
    assert!(first.trim_start().starts_with("L2H4"), "{said}");
    assert!(said.contains("uniform"), "{said}");
    let all = lab.succeeds(&["inspect", "demo", "--top", "0"]).stdout;
    assert_eq!(all.lines().filter(|line| line.trim_start().starts_with('L')).count(), 18, "{all}");
}

#[test]
fn the_demo_has_an_induction_head_and_a_previous_token_head() {
    let lab = Lab::new(TINY);
    let twice = demo(&lab, &["--repeat", "40", "--by", "induction"]);
    let reading = &twice["readings"][0];
    assert!(value(reading, COPIES, "induction_copy") > 0.8);
    let [first, second] = [0, 1].map(|copy| reading["loss_of_copies"][copy].as_f64().unwrap());
    assert!(first > 5.0 && second < 0.5, "{first} and {second} nats");
    for head in (0..3).flat_map(|layer| (0..6).map(move |head| (layer, head))) {
        if head != COPIES {
            assert!(value(reading, head, "induction_copy") < 0.1, "{head:?}");
        }
    }
    let text = &demo(&lab, &[])["readings"][0];
    assert!(value(text, FEEDS, "previous_token") > 0.6);
    assert!(value(text, COPIES, "sink") > 0.4);
    assert_eq!(text["tokens"][0], "<bos>");
    assert!((number(text, "loss") - 1.717).abs() < 0.01);
}

#[test]
fn every_file_that_is_written_is_of_its_kind() {
    let lab = Lab::new(TINY);
    let files = ["--stats", "s.json", "--csv", "s.csv", "--html", "s.html", "--picture", "s.png"];
    lab.succeeds(&[&["inspect", "demo"][..], &files].concat());
    let stats = json(&lab.read("s.json"));
    let names: Vec<&str> =
        stats["metrics"].as_array().unwrap().iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    assert!(names.len() > 20, "{names:?}");
    let csv = lab.read("s.csv");
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(header, [&["model", "text", "layer", "head"][..], &names].concat());
    // Six heads and the uniform baseline of each of three layers; a label may hold a newline or a comma, never here.
    assert_eq!(csv.lines().count(), 1 + 3 * 7, "{csv}");
    let page = lab.read("s.html");
    assert!(page.to_lowercase().starts_with("<!doctype html>"));
    for outside in ["src=\"http", "href=\"http", "url(http", "@import", "fetch(", "src=\"//"] {
        assert!(!page.contains(outside), "{outside}");
    }
    let links = page.match_indices("http").filter(|(at, _)| {
        let rest = &page[*at..];
        (rest.starts_with("http://") || rest.starts_with("https://"))
            && !rest.starts_with("http://www.w3.org/")
    });
    let named: Vec<String> = links.map(|(at, _)| page[at..].chars().take(60).collect()).collect();
    assert_eq!(named, [""; 0]);
    let is_png = |file: &str| fs::read(lab.path(file)).unwrap().starts_with(b"\x89PNG\r\n\x1a\n");
    assert!(is_png("s.png"));
    lab.succeeds(&["inspect", "demo", "--map", "2.4", "--picture", "m.png"]);
    lab.succeeds(&["inspect", "demo", "--map", "2.4", "--picture", "m.svg"]);
    lab.succeeds(&["inspect", "demo", "--by", "induction", "--picture", "s.svg"]);
    assert!(is_png("m.png"));
    assert_ne!(fs::read(lab.path("m.png")).unwrap(), fs::read(lab.path("s.png")).unwrap());
    for file in ["m.svg", "s.svg"] {
        let text = lab.read(file);
        assert!(text.contains("<svg") && text.trim_end().ends_with("</svg>"), "{file}");
    }
}

#[test]
fn means_over_lines_have_intervals_and_single_texts_have_none() {
    let lab = Lab::new(TINY);
    lab.write(
        "lines.txt",
        "One morning a cat found a fish.\n\nBravonie was proud.\nThe bridge is old and long.\n",
    );
    let lines = demo(&lab, &["--lines", "lines.txt"]);
    let readings = lines["readings"].as_array().unwrap();
    assert_eq!((readings.len(), readings[0]["texts"].as_u64()), (1, Some(3)));
    let head = &readings[0]["survey"]["layers"][2]["heads"][4]["values"]["first_token"];
    assert!(number(head, "half_width") > 0.0 && head["texts"] == 3, "{head}");
    let two = demo(&lab, &["--prompt", "One morning", "--prompt", "Bravonie was proud of the cat"]);
    let readings = two["readings"].as_array().unwrap();
    assert_eq!(readings.len(), 2);
    assert_ne!(readings[0]["tokens"], readings[1]["tokens"]);
    assert!(readings[0]["survey"]["layers"][2]["heads"][4]["values"]["first_token"]["half_width"].is_null());
}

#[test]
fn a_line_alone_scores_what_it_scores_as_a_prompt() {
    let lab = Lab::new(TINY);
    lab.write("one.txt", "One morning a cat found a fish.\n");
    let alone = demo(&lab, &["--lines", "one.txt"]);
    let prompt = demo(&lab, &["--prompt", "One morning a cat found a fish."]);
    assert_eq!(alone["readings"][0]["survey"], prompt["readings"][0]["survey"]);
}

#[test]
fn two_models_are_compared_on_the_same_texts() {
    let lab = Lab::new(TINY);
    let both = demo(&lab, &["--against", "demo", "--html", "two.html", "--prompt", "One morning"]);
    let models = both["models"].as_array().unwrap();
    assert_eq!(models.len(), 2);
    assert_eq!(models[0]["readings"], models[1]["readings"]);
    assert!(lab.read("two.html").len() > 10_000);
}

#[test]
fn statistics_do_not_depend_on_threads() {
    let lab = Lab::new(TINY);
    for threads in ["1", "2", "3"] {
        let file = format!("{threads}.json");
        lab.succeeds(&["inspect", "demo", "--threads", threads, "--stats", &file]);
        lab.succeeds(&["inspect", "demo", "--threads", threads, "--dump", &format!("{threads}.safetensors")]);
    }
    for other in ["2", "3"] {
        for ending in ["json", "safetensors"] {
            let bytes = |of: &str| fs::read(lab.path(&format!("{of}.{ending}"))).unwrap();
            assert!(bytes("1") == bytes(other), "{ending} with {other} threads");
        }
    }
}

#[test]
fn a_dump_of_a_part_is_that_part_of_the_whole() {
    let lab = Lab::new(TINY);
    let points = ["--point", "blocks.*.attn.hook_z", "--point", "blocks.1.hook_resid_pre"];
    let tokens = ["inspect", "demo", "--tokens", "511,5,6,7,8,9,10,11;511,8,6,7,5,9,1,1"];
    lab.succeeds(&[&tokens[..], &points, &["--dump", "whole.safetensors"]].concat());
    let part = ["--layers", "0,2", "--heads", "1,4-5", "--rows", "3-5", "--dump", "part.safetensors"];
    lab.succeeds(&[&tokens[..], &points, &part].concat());
    let whole = Tensors::open(&lab.path("whole.safetensors"));
    let part = Tensors::open(&lab.path("part.safetensors"));
    let shape = |tensors: &Tensors, name: &str| tensors.get(name).unwrap().shape;
    assert_eq!(shape(&whole, "attentions"), [3, 2, 6, 8, 8]);
    assert_eq!(shape(&whole, "hidden_states"), [4, 2, 8, 96]);
    assert_eq!(shape(&whole, "logits"), [2, 8, 512]);
    assert_eq!(shape(&part, "attentions"), [2, 2, 3, 3, 8]);
    let (all, some) = (whole.get("attentions").unwrap(), part.get("attentions").unwrap());
    for (l, layer) in [0, 2].into_iter().enumerate() {
        for (h, head) in [1, 4, 5].into_iter().enumerate() {
            for (r, row) in (3..6).enumerate() {
                for (batch, key) in (0..2).flat_map(|batch| (0..8).map(move |key| (batch, key))) {
                    let (one, other) =
                        (some.at(&[l, batch, h, r, key]), all.at(&[layer, batch, head, row, key]));
                    assert!(one == other, "{one} and {other} at {layer} {head} {row} {key}");
                }
            }
        }
    }
    for name in ["input_ids", "hidden_states", "last_hidden_state", "logits", "blocks.1.hook_resid_pre"] {
        assert_eq!(whole.get(name).unwrap().off_by(&part.get(name).unwrap()), 0.0, "{name}");
    }
    let z = |tensors: &Tensors| tensors.get("blocks.1.attn.hook_z").unwrap();
    assert_eq!((z(&whole).shape, z(&part).shape), (vec![2, 8, 6, 32], vec![2, 3, 6, 32]));
    assert_eq!(z(&part).at(&[1, 2, 5, 31]), z(&whole).at(&[1, 5, 5, 31]));
    assert!(whole.names().contains(&"blocks.2.attn.hook_z"));
    // The stream that was asked for by name is a slice of hidden_states.
    let (stream, hidden) =
        (whole.get("blocks.1.hook_resid_pre").unwrap(), whole.get("hidden_states").unwrap());
    assert_eq!(stream.at(&[1, 7, 95]), hidden.at(&[1, 1, 7, 95]));
}

#[test]
fn ablation_ranks_the_heads_that_copy_first() {
    let lab = Lab::new(TINY);
    let found = demo(&lab, &["--repeat", "40", "--ablate", "all"]);
    let heads = found["ablation"].as_array().unwrap();
    assert_eq!(heads.len(), 18);
    let mut first = [place(&heads[0]), place(&heads[1])];
    first.sort_unstable();
    assert_eq!(first, [FEEDS, COPIES]);
    assert!(heads[..2].iter().all(|head| number(head, "delta_loss") > 1.0), "{heads:?}");
    assert!(heads[2..].iter().all(|head| number(head, "delta_loss") < 1.0), "{heads:?}");
    let before = number(&found["readings"][0], "loss");
    assert!((number(&heads[0], "loss_before") - before).abs() < 1e-4);

    let some = demo(&lab, &["--repeat", "40", "--ablate", "all", "--layers", "2", "--heads", "3-4"]);
    let some = some["ablation"].as_array().unwrap();
    assert_eq!(some.iter().map(place).collect::<Vec<_>>(), [COPIES, (2, 3)]);
    let alone = demo(&lab, &["--repeat", "40", "--ablate", "2.4"]);
    assert!((number(&alone["ablation"][0], "delta_loss") - number(&some[0], "delta_loss")).abs() < 1e-4);
    let mean = demo(&lab, &["--repeat", "40", "--ablate", "2.4", "--method", "mean"]);
    assert!(number(&mean["ablation"][0], "delta_loss") > 1.0);
    let both = ["--tokens", "511,20,30,40,50;511,21,31,41,51", "--ablate", "all", "--method", "resample"];
    assert_eq!(demo(&lab, &both)["ablation"].as_array().unwrap().len(), 18);
}

#[test]
fn cutting_every_edge_that_copying_needs_costs_more_than_cutting_one() {
    let lab = Lab::new(TINY);
    let delta = |cut: &str| number(&demo(&lab, &["--repeat", "40", "--cut", cut])["cut"][0], "delta_loss");
    let (one, all) = (delta("2.4:50>0"), delta("2.4:*>0"));
    assert!(one.abs() < 0.01 && all > 0.5, "{one} and {all}");
    // Query 50 copies what follows its first saying: key 50 − 39.
    assert!(delta("2.4:50>11") > one.abs());
}

#[test]
fn a_patched_stream_makes_the_model_say_the_other_text() {
    let lab = Lab::new(TINY);
    let (here, there) = (ids(20..60), ids(120..160));
    let stream =
        demo(&lab, &["--tokens", &here, "--from-tokens", &there, "--patch", "blocks.1.hook_resid_pre"]);
    assert!(number(&stream["patch"][0], "kl") > 0.1, "{}", stream["patch"]);
    let same = demo(&lab, &["--tokens", &here, "--from-tokens", &here, "--patch", "blocks.1.hook_resid_pre"]);
    assert!(number(&same["patch"][0], "kl").abs() < 1e-9, "{}", same["patch"]);
    let heads = demo(&lab, &["--tokens", &here, "--from-tokens", &there, "--patch", "heads"]);
    assert_eq!(heads["patch"].as_array().unwrap().len(), 18);
}

#[test]
fn the_lens_ends_in_the_models_own_loss() {
    let lab = Lab::new(TINY);
    let found = demo(&lab, &["--lens"]);
    let layers = found["lens"].as_array().unwrap();
    assert_eq!(layers.len(), 4);
    let loss = |layer: &Value| {
        let of = |at: &Value| at["target"]["log_prob"].as_f64().map(|log| -log);
        let losses: Vec<f64> = layer["positions"].as_array().unwrap().iter().filter_map(of).collect();
        losses.iter().sum::<f64>() / losses.len() as f64
    };
    assert!((loss(&layers[3]) - number(&found["readings"][0], "loss")).abs() < 1e-3);
    assert!(loss(&layers[0]) > loss(&layers[3]));
}

#[test]
fn attribution_circuits_and_rollout_answer() {
    let lab = Lab::new(TINY);
    let found = demo(&lab, &["--repeat", "40", "--attribute", "--circuits", "--rollout"]);
    let positions = found["attribution"].as_array().unwrap();
    // In the second copy, the head that copies adds more to the right answer than any other.
    let late: Vec<&Value> = positions.iter().filter(|at| at["position"].as_u64().unwrap() > 45).collect();
    assert!(late.len() > 20);
    let copying = |at: &&&Value| {
        let heads = at["heads"].as_array().unwrap();
        let best = heads.iter().max_by(|a, b| number(a, "value").total_cmp(&number(b, "value"))).unwrap();
        place(best) == COPIES
    };
    assert!(late.iter().filter(copying).count() * 10 > late.len() * 8);
    assert_eq!(found["circuits"].as_array().unwrap().len(), 18);
    // The pair an induction head is made of, through its keys.
    let first = &found["compositions"]["scores"][0];
    assert_eq!(
        (&first["from"], &first["to"], &first["through"]),
        (&serde_json::json!([1, 4]), &serde_json::json!([2, 4]), &serde_json::json!("k"),)
    );
    let shares = found["rollout"]["shares"].as_array().unwrap();
    for row in shares {
        let sum: f64 = row.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
    }
    // As tables, too.
    let said = lab.succeeds(&["inspect", "demo", "--attribute", "--circuits", "--rollout", "--lens"]).stdout;
    for title in ["what each head adds", "circuits", "compositions", "rollout", "logit lens"] {
        assert!(said.contains(title), "no {title}");
    }
}

#[test]
fn a_run_can_be_inspected_and_continued() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0);
    let run = run.to_str().unwrap();
    let found = json(&lab.succeeds(&["inspect", run, "--tokens", "0,1,2,3", "--json"]).stdout);
    assert_eq!(found["readings"][0]["survey"]["layers"].as_array().unwrap().len(), 1);
    assert!(found["note"].as_str().unwrap().contains("step 12"), "{}", found["note"]);
    let args = ["generate", run, "--tokens", "0,1,2", "--max-tokens", "3", "--json"];
    assert_eq!(json(&lab.succeeds(&args).stdout)["ids"].as_array().unwrap().len(), 3);
}
