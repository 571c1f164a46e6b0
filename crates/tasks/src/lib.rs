//! Toy tasks for transformers: what is asked, how it is put to a model, how answers are scored, and what no thought earns.
//!
//! - A [`Problem`] is the question alone: an alphabet, a sampler and the answer to a string. One file each, under `problems`.
//! - A [`Protocol`] is how it is put to a model: [`Protocol::Encoder`] (answer on empty tokens after the input),
//!   [`Protocol::Language`] (`<bos> x <sep> y <eos>`, causal) or [`Protocol::Prefix`] (every prefix is labelled, causal).
//!   The same problem under two protocols, or over two input distributions, is two tasks with two scores, and is named so.
//! - A [`Task`] is a problem under a protocol, or a text: what a training loop samples a [`Batch`] from.
//! - A [`Tally`] counts what was right, per label and per whole sequence; [`baselines()`] computes what constant answers
//!   earn, because the nominal 1/classes is often far below it.
//!
//! Tasks are described by [`TaskConfig`] and listed by [`registry()`]; a new kind is one file and one line of the registry.
//! Every batch holds one length, so there is no padding to leak a length or to be masked. Randomness is an argument:
//! the same [`Rng`] gives the same batch on every machine.

mod automaton;
mod baselines;
mod batch;
mod block_language;
mod error;
mod examples;
mod expression;
mod nesting;
mod parts;
mod posed;
mod problem;
pub mod problems;
mod protocol;
mod registry;
mod rewriting;
mod sampling;
mod tally;
mod task;

pub use automaton::LanguageLabels;
pub use baselines::{Baselines, Score, baselines};
pub use batch::{Batch, IGNORE, Labels};
pub use error::TaskError;
pub use examples::{Example, examples};
pub use nesting::Law;
pub use parts::Parts;
pub use posed::Posed;
pub use problem::{PrefixLabels, Problem, Symbol};
pub use problems::{ProblemConfig, registry};
pub use protocol::Protocol;
pub use registry::{Class, Info, TaskConfig};
pub use sampling::Ones;
pub use tally::Tally;
pub use task::{Labelling, Split, Task};

/// The generator every sampler takes: portable, seedable and addressable by stream.
pub type Rng = rand_chacha::ChaCha8Rng;
