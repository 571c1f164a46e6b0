//! Training works: a model learns what such models are known to learn.

use crate::lab::{Lab, json};

#[test]
fn a_tiny_model_without_positions_learns_majority() {
    let lab = Lab::new(
        r#"
name = "tiny"
[task]
kind = "majority"
protocol = "prefix"
[model]
d_model = 8
n_layers = 1
n_heads = 2
[position]
kind = "none"
[train]
lengths = [1, 12]
steps = 250
batch_size = 64
learning_rate = 1e-2
checkpoint_every = 0
eval_every = 0
[eval]
samples = 256
metric = "token"
solved = 0.95
"#,
    );
    let runs = json(&lab.succeeds(&["run", "exp.toml", "--json"]).stdout);
    let trained = &runs[0]["bins"][0];
    let [accuracy, chance] = ["accuracy", "chance"].map(|which| trained[which]["token"].as_f64().unwrap());
    assert!(accuracy > 0.95, "{accuracy}");
    assert!(chance < 0.8, "the task tells nothing: chance is {chance}");

    // The same model does not know it from the start.
    let still = ["run", "exp.toml", "--json", "--set", "train.learning_rate=1e-12", "--out", "still"];
    let runs = json(&lab.succeeds(&still).stdout);
    let [before, after] = [&runs[0]["bins"][0], trained].map(|bin| bin["loss"].as_f64().unwrap());
    assert!(after < before / 4.0, "loss {before} before training, {after} after");
}
