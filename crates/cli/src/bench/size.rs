//! The options that name a model and its batch.

use attnlab_model::Architecture;
use attnlab_positions::PositionConfig;
use attnlab_runner::bench;

use super::positive;
use crate::Usage;

#[derive(clap::Args)]
pub(super) struct Size {
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
    /// The positional encoding, in its default form.
    #[arg(long, default_value = "rope")]
    position: String,
    /// Bias on the linear layers.
    #[arg(long)]
    bias: bool,
    /// Of weights and tokens.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

impl Size {
    pub(super) fn resolve(&self) -> Result<bench::Size, Usage> {
        let size = bench::Size {
            architecture: Architecture {
                d_model: self.d_model,
                n_layers: self.layers,
                n_heads: self.heads,
                qkv_bias: self.bias,
                out_bias: self.bias,
                mlp_bias: self.bias,
                ..Architecture::default()
            },
            position: position(&self.position)?,
            seq_len: positive("seq-len", self.seq_len)?,
            batch: positive("batch", self.batch)?,
            vocab: positive("vocab", self.vocab)?,
            seed: self.seed,
        };
        size.validate().map_err(|error| Usage(error.to_string()))?;
        Ok(size)
    }
}

/// An encoding in its default form.
pub(crate) fn position(kind: &str) -> Result<PositionConfig, Usage> {
    let tagged = serde_json::Value::from_iter([(kind, serde_json::Value::Object(serde_json::Map::new()))]);
    serde_json::from_value(tagged).map_err(|_| {
        let kinds: Vec<&str> = attnlab_positions::registry().iter().map(|info| info.kind).collect();
        Usage(format!("--position {kind} is not one of {}", kinds.join(", ")))
    })
}
