//! The model that is built in: `assets/demo/README.md` says what it is and how it was made.

use std::path::Path;

use anyhow::{Context, Result};
use attnlab_model::{ModelConfig, Transformer};
use attnlab_pretrained::Tokenizer;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::model::Model;

/// What it is called on the command line.
pub(crate) const NAME: &str = "demo";

/// What it reads if nothing else is given.
pub(crate) const TEXT: &str = include_str!("../../../assets/demo/sample.txt");

const CONFIG: &str = include_str!("../../../assets/demo/model.json");
const WEIGHTS: &[u8] = include_bytes!("../../../assets/demo/model.safetensors");
const TOKENIZER: &[u8] = include_bytes!("../../../assets/demo/tokenizer.json");

/// The model.
pub(crate) fn model() -> Result<Model> {
    let read = || -> Result<Model> {
        let config: ModelConfig = serde_json::from_str(CONFIG)?;
        let tensors = candle_core::safetensors::load_buffer(WEIGHTS, &Device::Cpu)?;
        let transformer =
            Transformer::new(&config, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu))?;
        let tokenizer = Tokenizer::from_json(TOKENIZER, Path::new("the demo's tokenizer.json"))?;
        Ok(Model::with_tokenizer(NAME, "trained by this project, rope (25 %)", transformer, tokenizer))
    };
    read().context("the model that is built in is damaged: build the program again")
}
