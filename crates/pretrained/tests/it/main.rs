//! Files of checkpoints: what is read, and what is refused.
#![allow(clippy::unwrap_used)]

mod families;
mod gguf;
mod parity;
mod pickles;
mod safetensors;
mod write;
