//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod gguf;
mod parity;
mod pickles;
mod refusals;
mod safetensors;
mod write;
