//! Files through the whole loader.
#![allow(clippy::unwrap_used)]

use super::*;

mod grids;
mod messages;
mod over;
mod properties;
mod sizes;
mod texts;
mod written;

/// A file with something in every table.
const EXAMPLE: &str = r#"name = "quickstart"
description = "Which encodings count?"

[task]
kind = "aa_star"
protocol = "prefix"
period = 2

[model]
d_model = 32
n_layers = 2
n_heads = 2

[position]
kind = "rope"
base = 10000

[train]
lengths = [1, 32]
steps = 500
batch_size = 64
learning_rate = 3e-3
warmup = 50
schedule = "linear"
weight_decay = 0.01
clip_norm = 1.0
stop_at = 1.0
map_steps = [0, 100]

[eval]
bins = [[1, 32], [33, 64], [65, 128]]
samples = 512
metric = "exact"
solved = 0.99
"#;

fn load(text: &str, sets: &[&str]) -> Result<Experiment, ConfigError> {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    Experiment::from_text("configs/x.toml", text, &sets)
}

/// The example with one piece of it replaced.
fn example(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example has no {from:?}");
    EXAMPLE.replacen(from, to, 1)
}

/// The example with a grid.
fn with_grid(grid: &str) -> String {
    format!("{EXAMPLE}\n[grid]\n{grid}")
}

fn message(text: &str, sets: &[&str]) -> String {
    match load(text, sets) {
        Ok(_) => "no error".to_string(),
        Err(error) => error.to_string(),
    }
}
