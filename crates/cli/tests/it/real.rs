//! Real models, where `ATTNLAB_REAL_MODELS` names the folder that `scripts/fixtures/real_models.py` wrote them to,
//! against what transformers computes of them (`real_golden`).

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::Value;

use crate::lab::{Lab, json};

/// A golden's name, and ours for the same number.
const SCORES: [(&str, &str); 5] = [
    ("sink_per_head", "sink"),
    ("previous_token_per_head", "previous_token"),
    ("induction", "induction_copy"),
    ("duplicate_token", "duplicate_copy"),
    ("previous_token", "previous_token"),
];

/// The files of a model: its folder, and the GGUF file in it if there is one.
fn forms(folder: &Path) -> Vec<PathBuf> {
    let mut forms = vec![folder.to_owned()];
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    forms.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "gguf")));
    forms
}

/// Layer-major, every head's value.
fn scores(found: &Value, metric: &str) -> Vec<f64> {
    let layers = found["readings"][0]["survey"]["layers"].as_array().unwrap();
    let heads = layers.iter().flat_map(|layer| layer["heads"].as_array().unwrap());
    heads.map(|head| head["values"][metric]["mean"].as_f64().unwrap_or(f64::NAN)).collect()
}

fn strongest(values: &[f64]) -> usize {
    (0..values.len()).reduce(|best, at| if values[at] > values[best] { at } else { best }).unwrap()
}

#[test]
fn heads_of_real_models_score_what_transformers_says() {
    let Some(models) = std::env::var_os("ATTNLAB_REAL_MODELS").map(PathBuf::from) else {
        eprintln!("skipped: ATTNLAB_REAL_MODELS names no folder of real models");
        return;
    };
    let lab = Lab::new("");
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_golden");
    for golden in fs::read_dir(goldens).unwrap().map(|entry| entry.unwrap().path()) {
        let folder = models.join(golden.file_name().unwrap());
        if !folder.is_dir() {
            eprintln!("skipped: {} is not there", folder.display());
            continue;
        }
        for file in fs::read_dir(&golden).unwrap().map(|entry| entry.unwrap().path()) {
            let expected = candle_core::safetensors::load(&file, &Device::Cpu).unwrap();
            let ids: Vec<Vec<i64>> = match expected["input_ids"].rank() {
                1 => vec![expected["input_ids"].to_vec1().unwrap()],
                _ => expected["input_ids"].to_vec2().unwrap(),
            };
            let row = |row: &Vec<i64>| row.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
            lab.write("ids", ids.iter().map(row).collect::<Vec<_>>().join(";"));
            for form in forms(&folder) {
                let model = form.to_string_lossy().into_owned();
                let found =
                    json(&lab.succeeds(&["inspect", &model, "--tokens-file", "ids", "--json"]).stdout);
                for (name, metric) in SCORES {
                    let Some(expected) = expected.get(name) else { continue };
                    let flat = |x: &Tensor| x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
                    let (expected, found) = (flat(expected).unwrap(), scores(&found, metric));
                    let what = format!("{model}, {}: {name}", file.display());
                    assert_eq!(found.len(), expected.len(), "{what}");
                    for (a, b) in found.iter().zip(&expected) {
                        assert!((a - b).abs() < 0.01, "{what}: {a} and not {b}");
                    }
                    assert_eq!(strongest(&found), strongest(&expected), "{what}: another head is on top");
                }
            }
        }
    }
}
