//! The architectures of llama.cpp that are read: their keys as a `config.json`, their tensors under Hugging Face's
//! names and in its layout. One table of tensors and one function of keys for each.

mod bert;
mod gemma;
mod gpt;
mod llama;
mod phi;

use super::facts::{Config, Facts};
use crate::error::Result;

/// An architecture.
pub(super) struct Arch {
    /// The value of `general.architecture`.
    pub(super) name: &'static str,
    /// Its tensors. Several tables, since architectures share parts.
    pub(super) tensors: &'static [&'static [Row]],
    /// Its configuration as Hugging Face writes it.
    pub(super) config: fn(&Facts) -> Result<Config>,
}

/// A tensor: llama.cpp's name (without `blk.N.` and `.weight`), Hugging Face's (`{}` is the layer, `{e}` the expert or
/// head), and how the former becomes the latter.
pub(super) type Row = (&'static str, &'static str, Form);

/// How a stored tensor becomes the one that Hugging Face has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// It is the same.
    Same,
    /// Query rows rotate in pairs.
    QueryPairs,
    /// Key rows rotate in pairs.
    KeyPairs,
    /// Queries, keys and values are apart, not together by key/value head.
    Apart,
    /// The weight has input and output exchanged.
    Transposed,
    /// One was added to the weight.
    PlusOne,
    /// Several tensors, one for each row of the first axis.
    Stacked,
    /// The configuration holds what it says.
    InConfig,
}

/// Every architecture that is read.
pub(super) const ALL: &[Arch] = &[
    bert::BERT,
    gpt::BLOOM,
    llama::COMMAND_R,
    gpt::FALCON,
    gemma::GEMMA,
    gemma::GEMMA2,
    gemma::GEMMA3,
    gpt::GPT2,
    gpt::GPT_NEOX,
    llama::GRANITE,
    llama::LLAMA,
    gpt::MPT,
    llama::OLMO2,
    phi::PHI2,
    phi::PHI3,
    llama::QWEN2,
    llama::QWEN3,
    llama::SMOLLM3,
    llama::STABLELM,
    gpt::STARCODER,
    gpt::STARCODER2,
];
