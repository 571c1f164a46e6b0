//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod families;
mod folders;
mod gguf;
mod parity;

#[cfg(feature = "hub")]
mod hub;
mod present;
mod real;
mod refusals;
mod safetensors;
mod tokenizers;
mod write;
