//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod folders;
mod gguf;
#[cfg(feature = "hub")]
mod hub;
mod present;
mod real;
mod safetensors;
mod tokenizers;
mod write;
