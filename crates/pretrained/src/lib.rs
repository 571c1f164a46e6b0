//! Checkpoints that others trained: their files, whatever the format, and (through the families) the one transformer.
//!
//! Files are not trusted. Every length, offset and shape is checked against the file's own size before anything is
//! allocated for it, and what is wrong is named with the file and the place.

mod error;
pub mod gguf;
pub mod tensors;

pub use error::{PretrainedError, Result};
pub use tensors::Checkpoint;
