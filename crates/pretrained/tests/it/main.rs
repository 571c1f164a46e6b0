//! Files of checkpoints: what is read, and what is refused.
// A test that measures or is skipped says so.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

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
