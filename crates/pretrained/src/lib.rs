//! Checkpoints that others trained: their files, whatever the format, and (through the families) the one transformer.
//!
//! Files are not trusted. Every length, offset and shape is checked against the file's own size before anything is
//! allocated for it, and what is wrong is named with the file and the place.

mod config;
mod error;
pub mod families;
pub mod gguf;
#[cfg(feature = "hub")]
pub mod hub;
mod load;
mod model_files;
mod recipe;
pub mod tensors;
mod tokenizer;

pub use config::Config;
pub use error::{PretrainedError, Result};
pub use load::{Pretrained, load};
pub use model_files::ModelFiles;
pub use recipe::{Names, Recipe};
pub use tensors::Checkpoint;
pub use tokenizer::Tokenizer;
