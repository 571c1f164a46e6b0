//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod gguf;
mod parity;
mod pickles;
mod present;
mod real;
mod safetensors;
mod write;
