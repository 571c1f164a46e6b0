//! Real checkpoints against what Hugging Face transformers computes from them: every head's score, and who is on top.
//!
//! The models are looked for in the folder that `ATTNLAB_REAL_MODELS` names, else in `target/real-models`; one that is
//! not there is left out, and said to be.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, TINY, json};
use crate::tensors::{Numbers, Tensors};

/// How far a score may be off.
const TOLERANCE: f64 = 0.01;

/// A score of the golden files, and the statistic that has its definition. `previous_token` is a mean over all queries
/// but the first, of a text that is said twice as of any.
const SCORES: [(&str, &str); 5] = [
    ("sink_per_head", "sink"),
    ("previous_token_per_head", "previous_token"),
    ("induction", "induction_copy"),
    ("duplicate_token", "duplicate_copy"),
    ("previous_token", "previous_token"),
];

/// A file of a real model, if it is on this machine.
fn real(below: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/real-models");
    let root = std::env::var_os("ATTNLAB_REAL_MODELS").map_or(target, PathBuf::from);
    let path = root.join(below);
    let there = path.exists();
    if !there {
        eprintln!(
            "left out: {} is not there; ATTNLAB_REAL_MODELS names the folder of real models",
            path.display()
        );
    }
    there.then_some(path)
}

/// A statistic of every head, (L, H).
fn scores(survey: &serde_json::Value, name: &str) -> Numbers {
    let layers = survey["layers"].as_array().unwrap();
    let heads = |layer: &serde_json::Value| layer["heads"].as_array().unwrap().clone();
    let value = |head: serde_json::Value| head["values"][name]["mean"].as_f64().unwrap();
    let shape = vec![layers.len(), heads(&layers[0]).len()];
    Numbers { shape, values: layers.iter().flat_map(|layer| heads(layer).into_iter().map(value)).collect() }
}

/// The place of the largest.
fn top(numbers: &Numbers) -> usize {
    let values = &numbers.values;
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap()
}

/// Compares every golden file of a model with what the program says of the model at `path`.
fn agrees(name: &str, path: &Path) {
    let lab = Lab::new(TINY);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_golden").join(name);
    let mut compared = 0;
    for file in std::fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()) {
        let golden = Tensors::open(&file);
        let tokens = golden.get("input_ids").unwrap().rows();
        let asked = ["inspect", path.to_str().unwrap(), "--json", "--threads", "2", "--tokens", &tokens];
        let found = json(&lab.succeeds(&asked).stdout);
        let readings = found["readings"].as_array().unwrap();
        assert_eq!(readings.len(), 1, "rows of a batch are averaged");
        for (score, statistic) in SCORES {
            let Some(expected) = golden.get(score) else { continue };
            let found = scores(&readings[0]["survey"], statistic);
            let (off, place) = (expected.off_by(&found), file.display());
            eprintln!("{name}: {score} off by {off:.1e}");
            assert!(off <= TOLERANCE, "{place}: {score} is off by {off}");
            // Where two heads are as good as equal either may be on top.
            let lead = found.values[top(&found)] - found.values[top(&expected)];
            assert!(lead <= 1e-4, "{place}: {score}: head {} on top, not {}", top(&found), top(&expected));
            compared += 1;
        }
    }
    assert!(compared >= 5, "{name}: only {compared} scores were compared");
}

#[test]
fn the_heads_of_glasslm_score_as_in_transformers() {
    if let Some(path) = real("glasslm-en") {
        agrees("glasslm-en", &path);
    }
}

#[test]
fn the_heads_of_iglm_score_as_in_transformers() {
    for name in ["iglm", "iglm-s"] {
        if let Some(path) = real(name) {
            agrees(name, &path);
        }
    }
}

#[test]
fn the_heads_of_mgm_score_as_in_transformers() {
    if let Some(path) = real("mgm-gpt2") {
        agrees("mgm-gpt2", &path);
    }
}

#[test]
fn the_heads_of_smollm2_score_as_in_transformers_from_safetensors() {
    if let Some(path) = real("smollm2-135m") {
        agrees("smollm2-135m", &path);
    }
}

#[test]
fn the_heads_of_smollm2_score_as_in_transformers_from_gguf() {
    if let Some(path) = real("smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf") {
        agrees("smollm2-135m", &path);
    }
}

#[test]
fn minilm_opens_with_its_tokenizer_and_shows_all_its_heads() {
    let Some(path) = real("minilm") else { return };
    let lab = Lab::new(TINY);
    let asked = ["inspect", path.to_str().unwrap(), "--prompt", "A cat sat on the mat.", "--json"];
    let found = json(&lab.succeeds(&asked).stdout);
    let reading = &found["readings"][0];
    assert_eq!((&reading["tokens"][0], reading["loss"].is_null()), (&"[CLS]".into(), true));
    assert_eq!(scores(&reading["survey"], "sink").shape, [6, 12]);
}
