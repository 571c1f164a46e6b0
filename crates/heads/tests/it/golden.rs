//! Scores as TransformerLens computes them.

use std::collections::HashMap;

use attnlab_heads::{Constants, Repeat, Survey, SurveyOptions, SurveyResult};
use attnlab_ops::{AttentionSpec, watch_pattern};
use candle_core::{DType, Device, Tensor, safetensors};

const SPEC: AttentionSpec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };

fn load(name: &str) -> HashMap<String, Tensor> {
    let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    safetensors::load(path, &Device::Cpu).unwrap()
}

/// The statistics of one row of the batch.
fn survey(file: &HashMap<String, Tensor>, row: usize, constants: Constants) -> SurveyResult {
    let ids: Vec<u32> = file["input_ids"].get(row).unwrap().to_dtype(DType::U32).unwrap().to_vec1().unwrap();
    let mut survey = Survey::new(SurveyOptions { constants, ..SurveyOptions::default() });
    let half = Repeat { start: 0, period: ids.len() / 2 };
    survey.begin_batch(&[(&ids, (row == 0).then_some(half))]);
    for layer in 0..2 {
        let pattern = file["attentions"].get(layer).unwrap().narrow(0, row, 1).unwrap();
        watch_pattern(&pattern, None, &SPEC, &survey.watch(layer)).unwrap();
    }
    survey.finish()
}

#[test]
fn detectors_score_as_transformer_lens_and_plain_means_as_torch() {
    let mut compared = 0;
    for name in ["gpt2", "llama"] {
        let file = load(name);
        for row in 0..2 {
            for (exclude_bos, exclude_current) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let constants = Constants { exclude_bos, exclude_current, ..Constants::default() };
                let result = survey(&file, row, constants);
                let options = format!("bos{}.current{}", u8::from(exclude_bos), u8::from(exclude_current));
                let mut expected = Vec::new();
                for (golden, ours) in [
                    ("previous_token_head", "previous_token"),
                    ("duplicate_token_head", "duplicate_token"),
                    ("induction_head", "induction"),
                ] {
                    for (measure, tolerance) in [("mul", 1e-6), ("abs", 6e-4)] {
                        let golden = format!("row{row}.{golden}.{measure}.{options}");
                        expected.push((golden, format!("{ours}_{measure}"), tolerance));
                    }
                }
                for (golden, ours) in [
                    ("previous_token", "previous_token"),
                    ("first_token", "sink"),
                    ("entropy_nats", "entropy"),
                    ("induction", "induction_copy"),
                    ("duplicate", "duplicate_copy"),
                ] {
                    if row == 0 || !golden.contains("dup") && !golden.contains("ind") {
                        expected.push((format!("row{row}.plain.{golden}"), ours.to_owned(), 1e-5));
                    }
                }
                for (golden, ours, tolerance) in expected {
                    let scores: Vec<Vec<f32>> = file[&golden].to_vec2().unwrap();
                    for (layer, heads) in scores.iter().enumerate() {
                        for (head, &score) in heads.iter().enumerate() {
                            let found = result.head(layer, head).unwrap().mean(&ours).unwrap();
                            let error = (found - f64::from(score)).abs();
                            assert!(
                                error < tolerance,
                                "{name} {golden} {layer}.{head}: {found}, not {score}"
                            );
                            compared += 1;
                        }
                    }
                }
            }
        }
    }
    // Models, options, layers and heads; rows with 11 and 9 scores.
    assert_eq!(compared, 2 * 4 * 8 * (11 + 9));
}
