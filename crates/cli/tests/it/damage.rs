//! Damaged run folders: the file is named, the run is refused and kept as it is.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::lab::{Lab, TINY, differing, files};

/// A run that stands after step 8 of 12, and its folder.
fn interrupted() -> (Lab, PathBuf) {
    let lab =
        Lab::new(&TINY.replace("checkpoint_every = 4", "checkpoint_every = 4\nkeep_checkpoints = true"));
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0);
    fs::remove_file(run.join("DONE")).unwrap();
    fs::remove_file(run.join("eval.json")).unwrap();
    fs::remove_dir_all(run.join("checkpoints/step-000012")).unwrap();
    (lab, run)
}

/// The run is refused, the message says each of `words`, and not a byte of its folder has changed.
fn is_refused(lab: &Lab, run: &Path, what: &str, words: &[&str]) {
    let before = files(run);
    let ended = lab.attnlab(&["run", "exp.toml"]);
    assert_eq!(ended.code, Some(1), "{what}: {}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "{what}: no `{word}` in {}", ended.stderr);
    }
    assert_eq!(differing(&before, &files(run)), [""; 0], "{what}");
}

#[test]
fn a_checkpoint_cut_short_or_missing_is_refused_and_named() {
    let (lab, run) = interrupted();
    for name in ["model.safetensors", "optimizer.safetensors", "trainer_state.json"] {
        let path = run.join("checkpoints/step-000008").join(name);
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, 7, 8, 9, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            is_refused(&lab, &run, &format!("{name} of {length} bytes"), &["step-000008", name, "delete"]);
        }
        fs::remove_file(&path).unwrap();
        is_refused(&lab, &run, &format!("no {name}"), &["step-000008", name, "delete"]);
        fs::write(&path, whole).unwrap();
    }
    let resumed = lab.succeeds(&["run", "exp.toml"]);
    assert!(resumed.stderr.contains("resumes after step 8"), "{}", resumed.stderr);
}

#[test]
fn a_checkpoint_with_a_false_header_is_refused_and_named() {
    let (lab, run) = interrupted();
    for name in ["model.safetensors", "optimizer.safetensors"] {
        let path = run.join("checkpoints/step-000008").join(name);
        let whole = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let (header, data) = whole[8..].split_at(length);
        let header = std::str::from_utf8(header).unwrap();
        let mut damaged: Vec<(String, Vec<u8>)> = Vec::new();

        // One bit: in each byte of the header's length, in its brace, and in the first letters of each quoted name.
        let names = header.match_indices("\":{").map(|(end, _)| 8 + end - 1);
        for at in (0..9).chain(names.filter(|&at| !header[..at - 7].ends_with("__metadata__"))) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 7);
            damaged.push((format!("bit of byte {at}"), bytes));
        }

        // A header that is whole and lies about a matrix.
        let lie = |change: &dyn Fn(&mut Value)| {
            let mut header: Value = serde_json::from_str(header).unwrap();
            let tensors = header.as_object_mut().unwrap();
            let matrix = |tensor: &Value| tensor["shape"].as_array().is_some_and(|shape| shape.len() == 2);
            change(tensors.values_mut().find(|tensor| matrix(tensor)).unwrap());
            let text = header.to_string();
            [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), data].concat()
        };
        let huge = u64::MAX / 3;
        damaged.push((
            "shape ×1000".into(),
            lie(&|t| t["shape"][0] = (t["shape"][0].as_u64().unwrap() * 1000).into()),
        ));
        damaged.push(("huge shape".into(), lie(&|t| t["shape"][0] = huge.into())));
        damaged.push(("no shape".into(), lie(&|t| t["shape"] = Value::Array(Vec::new()))));
        damaged
            .push(("one more dimension".into(), lie(&|t| t["shape"].as_array_mut().unwrap().push(1.into()))));
        damaged.push(("negative shape".into(), lie(&|t| t["shape"][0] = (-1).into())));
        damaged
            .push(("end beyond the file".into(), lie(&|t| t["data_offsets"][1] = (data.len() + 4).into())));
        damaged.push(("huge end".into(), lie(&|t| t["data_offsets"][1] = huge.into())));
        damaged.push(("end before start".into(), lie(&|t| t["data_offsets"] = vec![8, 4].into())));
        damaged.push(("unknown type".into(), lie(&|t| t["dtype"] = "F31".into())));
        damaged.push(("another type".into(), lie(&|t| t["dtype"] = "F16".into())));
        damaged.push(("another type of that size".into(), lie(&|t| t["dtype"] = "I32".into())));

        for (what, bytes) in damaged {
            fs::write(&path, bytes).unwrap();
            is_refused(&lab, &run, &format!("{name}, {what}"), &["step-000008", name]);
        }
        fs::write(&path, whole).unwrap();
    }
}

#[test]
fn a_false_trainer_state_is_refused_and_named() {
    let (lab, run) = interrupted();
    let path = run.join("checkpoints/step-000008/trainer_state.json");
    let whole = fs::read_to_string(&path).unwrap();
    let state: Value = serde_json::from_str(&whole).unwrap();
    let with = |key: &str, value: Value| {
        let mut state = state.clone();
        state[key] = value;
        state.to_string()
    };
    let cases = [
        "{}".to_string(),
        "[]".to_string(),
        "null".to_string(),
        "\u{0}".to_string(),
        with("step", 9.into()),
        with("step", (-8).into()),
        with("step", "eight".into()),
        with("mood", "good".into()),
    ];
    for text in cases {
        fs::write(&path, &text).unwrap();
        is_refused(&lab, &run, &text, &["step-000008"]);
    }
    fs::write(&path, with("metrics_bytes", 1_000_000_u64.into())).unwrap();
    is_refused(&lab, &run, "metrics_bytes", &["metrics.jsonl", "1000000"]);
}

#[test]
fn metrics_shorter_than_the_checkpoint_counts_on_are_refused() {
    let (lab, run) = interrupted();
    let path = run.join("metrics.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100]).unwrap();
    is_refused(&lab, &run, "shortened", &["metrics.jsonl", "100", "checkpoints"]);
    fs::remove_file(&path).unwrap();
    is_refused(&lab, &run, "removed", &["metrics.jsonl", "checkpoints"]);
    // The way out that the message shows leads out.
    fs::remove_dir_all(run.join("checkpoints")).unwrap();
    lab.succeeds(&["run", "exp.toml"]);
    assert_eq!(fs::read(&path).unwrap(), whole);
}

#[test]
fn a_damaged_evaluation_is_refused_until_done_is_deleted() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0);
    let path = run.join("eval.json");
    let whole = fs::read_to_string(&path).unwrap();
    for text in ["", "{}", "[1]", "\u{0}", &whole[..whole.len() / 2], &whole.replace("\"bins\"", "\"bin\"")] {
        fs::write(&path, text).unwrap();
        is_refused(&lab, &run, text, &["eval.json", "DONE"]);
        let shown = lab.succeeds(&["compare", "runs/tiny"]).stdout;
        assert!(shown.contains("eval.json") || shown.contains("unreadable"), "{shown}");
    }
    fs::remove_file(&path).unwrap();
    is_refused(&lab, &run, "no eval.json", &["eval.json", "DONE"]);
    fs::remove_file(run.join("DONE")).unwrap();
    lab.succeeds(&["run", "exp.toml"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}

#[test]
fn damaged_details_cost_neither_the_comparison_nor_the_run() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0);
    for name in ["provenance.json", "metrics.jsonl", "maps/step-000003.safetensors"] {
        let whole = fs::read(run.join(name)).unwrap();
        for damage in [&b""[..], b"\xff\x00\xff", &whole[..whole.len() / 2]] {
            fs::write(run.join(name), damage).unwrap();
            lab.succeeds(&["compare", "runs/tiny", "--html", "page.html"]);
            lab.succeeds(&["run", "exp.toml"]);
        }
        fs::write(run.join(name), whole).unwrap();
    }
}
