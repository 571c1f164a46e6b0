//! What `cost` measures, at lengths of a moment.

use serde_json::Value;

use crate::lab::{Lab, TINY, json};

/// Every form, forward and backward, two rounds.
const SHORT: [&str; 11] = [
    "cost",
    "exp.toml",
    "--backward",
    "--repeats",
    "2",
    "--window",
    "8",
    "--block",
    "4",
    "--json",
    "cost.json",
];

fn measured(lab: &Lab, lengths: &str, arguments: &[&str]) -> Value {
    lab.succeeds(&[&SHORT[..], &["--lengths", lengths], arguments].concat());
    json(&lab.read("cost.json"))
}

fn series<'a>(report: &'a Value, level: &str, pass: &str, form: &str) -> &'a Value {
    let all = report["series"].as_array().unwrap();
    let is = |series: &&Value| series["level"] == level && series["pass"] == pass && series["form"] == form;
    all.iter().find(is).unwrap_or_else(|| panic!("no {level} {pass} {form}"))
}

#[test]
fn every_form_is_measured_at_every_level_and_length() {
    let lab = Lab::new(TINY);
    let report = measured(&lab, "8,16,32,64", &["--html", "cost.html"]);
    assert_eq!(report["setting"]["d_model"], 8);
    let forms: Vec<&str> =
        report["forms"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert!(forms.contains(&"full") && forms.contains(&"streamed") && forms.contains(&"window"), "{forms:?}");
    for level in ["attention", "layer", "model"] {
        for pass in ["forward", "forward_backward"] {
            for form in &forms {
                let found = series(&report, level, pass, form);
                let lengths: Vec<&Value> =
                    found["points"].as_array().unwrap().iter().map(|point| &point["length"]).collect();
                assert_eq!(lengths, [8, 16, 32, 64], "{level} {pass} {form}");
                for point in found["points"].as_array().unwrap() {
                    assert_eq!(point["samples"].as_array().unwrap().len(), 2);
                    assert!(point["ms"]["min"].as_f64().unwrap() > 0.0);
                    assert!(point["peak_bytes"].as_u64().unwrap() > 0);
                }
                assert_eq!(found["exponents"].as_array().unwrap().len(), 3);
                assert_eq!(found["crossover"].is_null(), *form == "full", "{found}");
            }
        }
    }
    assert!(lab.read("cost.html").contains("<svg class=\"chart\""));
}

#[test]
fn maps_are_seen_in_the_memory_and_streamed_attention_has_none() {
    let lab = Lab::new(TINY);
    let report = measured(&lab, "256,512", &["--levels", "attention"]);
    let peak = |form| {
        let points = &series(&report, "attention", "forward", form)["points"];
        points.as_array().unwrap().iter().map(|p| p["peak_bytes"].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let (full, streamed) = (peak("full"), peak("streamed"));
    // Two heads, 512² weights of four bytes, at least scores and pattern.
    assert!(full[1] > 2.0 * 2.0 * 512.0 * 512.0 * 4.0, "{full:?}");
    assert!((3.5..4.5).contains(&(full[1] / full[0])), "{full:?}");
    assert!((1.5..2.5).contains(&(streamed[1] / streamed[0])), "{streamed:?}");
}

#[test]
fn batches_of_tokens_are_measured_besides_one_sequence() {
    let lab = Lab::new(TINY);
    let report = measured(
        &lab,
        "8,16,32,64",
        &["--levels", "attention", "--batch-tokens", "32", "--forms", "full,window"],
    );
    let all = report["series"].as_array().unwrap();
    assert_eq!(all.len(), 8, "two forms, two passes, one sequence and batches");
    let batches = all.iter().find(|series| series["batch_tokens"] == 32).unwrap();
    let points = batches["points"].as_array().unwrap();
    let shapes: Vec<(u64, u64)> =
        points.iter().map(|p| (p["length"].as_u64().unwrap(), p["batch"].as_u64().unwrap())).collect();
    assert_eq!(shapes, [(8, 4), (16, 2), (32, 1)], "64 tokens are no batch of 32");
}

#[test]
fn what_would_take_too_much_is_left_out_and_said() {
    let lab = Lab::new(TINY);
    let report = measured(&lab, "16,1024", &["--levels", "attention", "--memory", "1"]);
    let full = series(&report, "attention", "forward", "full");
    assert_eq!(full["points"].as_array().unwrap().len(), 1);
    assert_eq!(full["skipped"]["length"], 1024);
    assert!(full["skipped"]["why"].as_str().unwrap().contains("MiB"));
    let ended =
        lab.succeeds(&["cost", "exp.toml", "--lengths", "8,16", "--repeats", "1", "--minutes", "1e-9"]);
    assert!(ended.stdout.contains("not measured"), "{}", ended.stdout);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let lab = Lab::new(TINY);
    for (arguments, word) in [
        (&["--forms", "fast"][..], "streamed"),
        (&["--lengths", "0"], "--lengths"),
        (&["--repeats", "0"], "--repeats"),
        (&["--threads", "0"], "--threads"),
        (&["--window", "0"], "--window"),
        (&["--minutes", "0"], "--minutes"),
        (&["--batch-tokens", "0"], "--batch-tokens"),
        (&["--levels", "head"], "--levels"),
    ] {
        lab.refuses(&[&["cost"], arguments].concat(), 2, &[word]);
    }
    lab.refuses(&["cost", "missing.toml"], 2, &["missing.toml"]);
}
