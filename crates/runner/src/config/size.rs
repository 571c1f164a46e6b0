//! Runs that no machine could hold: refused before they start, as one failed allocation would end all runs of a grid.
//!
//! The estimates count what dominates, in floating point, so that nothing can overflow on the way: the matrices of the
//! model; tokens and labels of the largest batch; and the activations of one sequence, which a micro-batch holds at
//! least and each thread once. What is below the bounds may still be too much for the machine at hand, whose memory is not looked at: a configuration is valid
//! everywhere or nowhere.

use attnlab_model::{Mlp, ModelConfig};
use attnlab_positions::Part;
use attnlab_tasks::Task;

use super::check::Finding;
use super::run::RunConfig;
use crate::step::activation_bytes;

/// The most parameters: 2³¹, which with gradients and AdamW's moments are 32 GiB.
const MOST_PARAMETERS: f64 = (1_u64 << 31) as f64;
/// The most bytes of one batch: 64 GiB.
const MOST_BYTES: f64 = (64_u64 << 30) as f64;

/// A share of an estimate: what it is, how much, and the keys that it grows with, the one to lower first in front.
struct Share {
    what: &'static str,
    amount: f64,
    keys: Vec<&'static str>,
}

/// Why `run`, valid in all else, is too large to try.
pub(crate) fn oversized(run: &RunConfig, model: &ModelConfig, task: &dyn Task) -> Option<Finding> {
    let parameters = parameters(model);
    if let Some(finding) = above(&parameters, MOST_PARAMETERS, |n| {
        format!("about {n:.1e} parameters, but at most {MOST_PARAMETERS:.1e} are tried")
    }) {
        return Some(finding);
    }
    let gibibytes = |bytes: f64| bytes / (1_u64 << 30) as f64;
    let most = gibibytes(MOST_BYTES);
    batches(run, model, task).iter().find_map(|batch| {
        above(batch, MOST_BYTES, |bytes| {
            format!("a batch of about {:.0} GiB, but at most {most:.0} are tried", gibibytes(bytes))
        })
    })
}

/// The finding for a sum of shares above `most`, at the largest of them.
fn above(shares: &[Share], most: f64, total: impl FnOnce(f64) -> String) -> Option<Finding> {
    let sum: f64 = shares.iter().map(|share| share.amount).sum();
    let largest = shares.iter().max_by(|a, b| a.amount.total_cmp(&b.amount))?;
    if sum <= most {
        return None;
    }
    let key = largest.keys.first().copied().unwrap_or_default();
    let quoted: Vec<String> = largest.keys.iter().map(|key| format!("`{key}`")).collect();
    let message =
        format!("`{key}`: {}; most of it for {}: lower {}", total(sum), largest.what, quoted.join(" or "));
    Some(Finding { keys: largest.keys.iter().map(ToString::to_string).collect(), message })
}

/// The matrices and tables of a model.
fn parameters(model: &ModelConfig) -> Vec<Share> {
    let a = &model.architecture;
    let [d, k, mlp, layers, h, g] =
        [a.d_model, a.head_width(), a.mlp_width(), a.n_layers, a.n_heads, a.kv_heads()].map(|n| n as f64);
    let matrices = match a.mlp {
        Mlp::None => 0.0,
        gated if gated.is_gated() => 3.0,
        _ => 2.0,
    };
    let head = if a.tie_embeddings { 0 } else { model.n_outputs };
    let attention_keys = match a.head_dim {
        Some(_) => vec!["model.head_dim", "model.n_heads", "model.d_model", "model.n_layers"],
        None => vec!["model.d_model", "model.n_layers"],
    };
    let mlp_keys = match a.d_mlp {
        Some(_) => vec!["model.d_mlp", "model.d_model", "model.n_layers"],
        None => vec!["model.d_model", "model.n_layers"],
    };
    vec![
        Share {
            what: "the embeddings and the head",
            amount: d * (model.vocab_size as f64 + head as f64),
            keys: vec!["model.d_model"],
        },
        Share {
            what: "the attention of the blocks",
            amount: layers * 2.0 * d * k * (h + g),
            keys: attention_keys,
        },
        Share {
            what: "the form of attention",
            amount: layers * a.attention.parameter_count(a) as f64 + d * a.registers as f64,
            keys: vec!["model.attention.weights", "model.registers", "model.n_layers"],
        },
        Share { what: "the MLPs of the blocks", amount: layers * matrices * d * mlp, keys: mlp_keys },
        Share {
            what: "the positional encoding",
            amount: position_parameters(model),
            keys: vec!["position.max_len", "eval.bins", "model.d_model"],
        },
    ]
}

/// The encoding's scalars: shared by the blocks, or some of the model's and some of every block's.
fn position_parameters(model: &ModelConfig) -> f64 {
    let (position, shape) = (&model.position, model.position_shape());
    if !position.per_layer() {
        return position.parameter_count(Part::Whole, &shape) as f64;
    }
    let blocks = model.architecture.n_layers as f64;
    let own = position.parameter_count(Part::Attention, &model.layer_position_shape()) as f64;
    position.parameter_count(Part::Embeddings, &shape) as f64 + blocks * own
}

/// The bytes of the largest batch of training and of each bin of the evaluation.
fn batches(run: &RunConfig, model: &ModelConfig, task: &dyn Task) -> Vec<Vec<Share>> {
    let rows = run.train.batch_size;
    let training = batch(model, task, rows, run.train.lengths[1], "train.batch_size", "train.lengths");
    let mut batches = vec![training];
    for bin in &run.eval.bins {
        // A bin's sequences are shared among its lengths, of which a task may not have all.
        let lengths = (bin[1] - bin[0]).saturating_add(1);
        let lengths = if run.eval.points == 0 { lengths } else { lengths.min(run.eval.points) };
        let rows = run.eval.samples.div_ceil(lengths.max(1));
        batches.push(batch(model, task, rows, bin[1], "eval.samples", "eval.bins"));
    }
    batches
}

/// What `rows` sequences of one problem length take.
fn batch(
    model: &ModelConfig,
    task: &dyn Task,
    rows: usize,
    length: usize,
    rows_key: &'static str,
    length_key: &'static str,
) -> Vec<Share> {
    let len = task.token_len(length);
    // A label is a class, or for sets a number for each output and one that says whether there is a label.
    let label = if task.labels_are_sets() { 1.0 + model.n_outputs as f64 } else { 1.0 };
    vec![
        Share {
            what: "tokens and labels",
            amount: rows as f64 * len as f64 * 4.0 * (1.0 + label),
            keys: vec![rows_key, length_key],
        },
        Share {
            what: "the activations of one sequence",
            amount: len as f64 * activation_bytes(model),
            keys: vec![length_key, "model.d_model", "model.n_layers"],
        },
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_model::Transformer;
    use attnlab_ops::{Parameters, Streams};
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn the_estimate_is_close_to_what_a_model_really_has() {
        for settings in [
            "",
            "mlp = \"swiglu\"\nn_kv_heads = 2\nd_mlp = 96",
            "mlp = \"none\"\nhead_dim = 40\nn_layers = 3",
            "tie_embeddings = true\nembedding_norm = true\nnorm_placement = \"sandwich\"",
        ] {
            for position in ["kind = \"rope\"", "kind = \"learned\"", "kind = \"learned\"\nmax_len = 1000"] {
                let task = "kind = \"copy\"\ndistinct = true";
                let text = format!("[task]\n{task}\n[position]\n{position}\n[model]\n{settings}");
                let run = RunConfig::from_toml(&text).unwrap();
                let model = run.model_config(run.task.build().unwrap().as_ref());
                let estimate: f64 = parameters(&model).iter().map(|share| share.amount).sum();
                let built = Parameters::new();
                Transformer::new(&model, built.seeded(Streams::new(0), DType::F32, &Device::Cpu)).unwrap();
                let rest = built.count() as f64 - estimate;
                // Biases and norms are not counted.
                assert!((0.0..0.03 * estimate).contains(&rest), "{text}: {estimate} and {rest}");
            }
        }
    }
}
