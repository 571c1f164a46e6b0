//! The families of checkpoints: each a translation of its configuration and a map of its tensors' names.
//!
//! To add one: a file with a `FAMILY`, and a line in the registry below.

mod activation;
mod context;
mod rope;
mod windows;

use attnlab_model::ModelConfig;

use crate::error::Result;
use crate::recipe::Names;
pub(crate) use activation::Activation;
pub use context::Context;

/// A family of checkpoints.
pub struct Family {
    /// A title of a few words.
    pub title: &'static str,
    /// The `model_type`s of its configurations.
    pub model_types: &'static [&'static str],
    /// What the names of a body's tensors begin with where a head stands beside it. Files without a head leave it out.
    pub prefix: &'static str,
    /// Tensors that may be there and that nothing here computes with, `*` standing for any text.
    pub ignored: &'static [&'static str],
    /// The model and its names, of a configuration.
    pub translate: fn(&Context<'_>) -> Result<Blueprint>,
}

/// What a checkpoint becomes.
pub struct Blueprint {
    /// The transformer.
    pub config: ModelConfig,
    /// Where its tensors come from.
    pub names: Names,
}

macro_rules! registry {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every family there is.
        pub fn registry() -> &'static [Family] {
            const { &[$($module::FAMILY),*] }
        }
    };
}

registry! {
    albert,
    bert,
    bloom,
    codegen,
    cohere,
    deberta_v2,
    distilbert,
    electra,
    falcon,
    gemma,
    gemma2,
    gemma3,
    gpt2,
    gpt_bigcode,
    gpt_neo,
    gpt_neox,
    gpt_oss,
    gptj,
    granite,
    llama,
    mistral,
    mixtral,
    modernbert,
    mpnet,
    mpt,
    olmo2,
    opt,
    phi,
    phi3,
    qwen2,
    qwen3,
    roberta,
    smollm3,
    stablelm,
    starcoder2,
    t5,
    xglm,
}
