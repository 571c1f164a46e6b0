//! `attnlab bench train`: one training step, timed.

use anyhow::Result;
use attnlab_model::Architecture;
use attnlab_positions::PositionConfig;
use attnlab_runner::RunError;
use attnlab_runner::bench::Bench;

use crate::{End, Usage, say};

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Forward, backward and AdamW of a pre-norm causal GELU transformer on one batch of random tokens.
    Train(Train),
}

#[derive(clap::Args)]
pub(crate) struct Train {
    #[arg(long, default_value_t = 64)]
    d_model: usize,
    #[arg(long, default_value_t = 2)]
    layers: usize,
    #[arg(long, default_value_t = 4)]
    heads: usize,
    #[arg(long, default_value_t = 64)]
    seq_len: usize,
    #[arg(long, default_value_t = 64)]
    batch: usize,
    #[arg(long, default_value_t = 256)]
    vocab: usize,
    /// Timed steps.
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 5)]
    warmup: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// The positional encoding, in its default form.
    #[arg(long, default_value = "rope")]
    position: String,
    /// Bias on the linear layers.
    #[arg(long)]
    bias: bool,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(verb: Verb) -> Result<End> {
    let Verb::Train(train) = verb;
    let bench = Bench {
        architecture: Architecture {
            d_model: train.d_model,
            n_layers: train.layers,
            n_heads: train.heads,
            qkv_bias: train.bias,
            out_bias: train.bias,
            mlp_bias: train.bias,
            ..Architecture::default()
        },
        position: position(&train.position)?,
        seq_len: positive("seq-len", train.seq_len)?,
        batch: positive("batch", train.batch)?,
        vocab: positive("vocab", train.vocab)?,
        steps: positive("steps", train.steps)?,
        warmup: train.warmup,
        threads: positive("threads", train.threads)?,
        seed: train.seed,
    };
    bench.architecture.validate().map_err(|e| Usage(e.to_string()))?;
    let measured = bench.run().map_err(|error| match error {
        // What the encoding asks of the width, clap does not know.
        RunError::Model(error) => anyhow::Error::new(Usage(error.to_string())),
        other => other.into(),
    })?;
    say::result(serde_json::to_string(&measured)?)?;
    Ok(End::Success)
}

fn positive(name: &str, value: usize) -> Result<usize, Usage> {
    if value == 0 { Err(Usage(format!("--{name} is 0; it must be at least 1"))) } else { Ok(value) }
}

fn position(kind: &str) -> Result<PositionConfig, Usage> {
    let tagged = serde_json::Value::from_iter([(kind, serde_json::Value::Object(serde_json::Map::new()))]);
    serde_json::from_value(tagged).map_err(|_| {
        let kinds: Vec<&str> = attnlab_positions::registry().iter().map(|info| info.kind).collect();
        Usage(format!("--position {kind} is not one of {}", kinds.join(", ")))
    })
}
