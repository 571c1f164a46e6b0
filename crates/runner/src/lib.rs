//! Experiments: from a configuration file to run folders.
//!
//! ```text
//! config   a TOML file → Experiment: the grid's runs, each fully resolved; errors with line and caret
//! execute  runs of a grid, several at a time
//! train    one run: steps, checkpoints, maps, evaluation; resumes where it was broken off
//! step     loss and gradient of one batch over micro-batches: the same bytes on any number of threads
//! draw     what a step trains on: lengths, mixtures, curricula; true labels or shuffled ones
//! evaluate accuracy by length against computed chance, on shuffled inputs, on strings not trained on; the outcome
//! cost     time, memory and operations of attention against length
//! ```
//! Nothing here prints: what happens is told to a [`Progress`].

pub mod bench;
pub mod config;
pub mod cost;

mod checkpoint;
mod draw;
mod durable;
mod error;
mod evaluate;
mod execute;
mod feed;
mod look;
mod progress;
mod provenance;
mod step;
mod train;
mod trained;

pub use durable::write as write_file;
pub use error::{Result, RunError};
pub use evaluate::BaselineCache;
pub use execute::{Ended, Execution};
pub use progress::{Event, Progress, Silent};
pub use step::{Learns, StepMemory, StepResult, TrainingStep, micro_batch_rows};
pub use train::{Resources, run};
pub use trained::Trained;
