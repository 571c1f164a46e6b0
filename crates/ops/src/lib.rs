//! Differentiable operations of a transformer, seeded randomness and the optimizer.
//!
//! Candle's own fused operations (`softmax_last_dim`, `layer_norm`, `rms_norm`, `rope`) have no
//! backward pass and cut gradients silently. The ones here are Candle custom operations with a
//! hand-written backward pass on the CPU; on other devices, and as the reference in tests, the
//! same functions exist in [`composed`], built from plain Candle operations. A training step records
//! them on a [`Tape`], whose backward pass sums gradients where they belong and uses memory again.
//!
//! Letters in all shapes: `B` batch, `T` sequence, `H` query heads, `G` key/value heads
//! (`H % G == 0`), `K` head dimension, `D` model dimension, `V` vocabulary.
//!
//! Training is sequential: parallelism belongs to the caller, who runs one micro-batch a thread. Without
//! gradients, [`on_threads`] shares the work of each operation. Reductions run in a fixed order, so no result
//! depends on the number of threads.

pub mod composed;

mod activation;
mod adamw;
mod attention;
mod binary_loss;
mod cross_entropy;
mod dropout;
mod embedding;
mod error;
mod fused;
mod gradients;
mod host;
mod lanes;
mod layer_norm;
mod linear;
mod matmul;
mod memory;
mod packs;
mod parameters;
mod real;
mod residual;
mod rms_norm;
mod rng;
mod rotary;
mod schedule;
mod scratch;
mod softmax;
mod tape;
mod threads;
mod vector;

pub use activation::{Activation, activate, gated};
pub use adamw::{AdamW, AdamWConfig};
pub use attention::{
    AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, WatchRows, WatchedRow, WatchedScores,
    attention, attention_watched, watch_pattern,
};
pub use binary_loss::{binary_cross_entropy, squared_error};
pub use candle_core::Result;
pub use cross_entropy::{IGNORE, cross_entropy};
pub use dropout::dropout;
pub use embedding::embedding;
pub use error::OpsError;
pub use fused::without_gradients;
pub use gradients::Gradients;
pub use layer_norm::layer_norm;
pub use linear::{linear, linear_activation};
pub use packs::Packs;
pub use parameters::Parameters;
pub use residual::{add, reshape};
pub use rms_norm::rms_norm;
pub use rng::{Rng, Streams};
pub use rotary::{RotaryLayout, rotate};
pub use schedule::{LearningRate, Schedule};
pub use softmax::softmax;
pub use tape::Tape;
pub use threads::{Threads, on_threads};
