//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod folders;
mod families;
mod gguf;
mod parity;

mod present;
mod real;
mod safetensors;
mod tokenizers;
mod write;
