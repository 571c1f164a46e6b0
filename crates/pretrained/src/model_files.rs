//! A model's configuration and weights, whatever files they are in.

use std::path::Path;

use crate::config::Config;
use crate::error::{PretrainedError, Result, short};
use crate::gguf::Gguf;
use crate::tensors::{Checkpoint, Found, find, read_text};

/// The longest configuration that is read; real ones have a few kilobytes.
const LONGEST_CONFIG: u64 = 1 << 20;

/// A model as its files describe it.
#[derive(Debug)]
pub struct ModelFiles {
    /// What `config.json` says. A GGUF file's metadata say it in the same words.
    pub config: Config,
    /// The tensors under Hugging Face's names.
    pub checkpoint: Checkpoint,
}

impl ModelFiles {
    /// Opens a model's folder, one of its weight files (its configuration lies beside it), or a `.gguf` file.
    ///
    /// # Errors
    /// The path is no model, or its files contradict themselves.
    pub fn open(path: &Path) -> Result<Self> {
        match find(path)? {
            Found::Gguf(file) => {
                let (config, checkpoint) = Gguf::open(&file)?.as_hugging_face()?;
                Ok(Self { config: Config::new(&file, config.into())?, checkpoint })
            }
            Found::Safetensors(file) | Found::Index(file) => {
                let config = config(&file.with_file_name("config.json"))?;
                Ok(Self { config, checkpoint: Checkpoint::open(&file)? })
            }
        }
    }
}

/// A `config.json`.
fn config(file: &Path) -> Result<Config> {
    if !file.is_file() {
        return Err(PretrainedError::NotAModel {
            path: file.to_owned(),
            found: "not there".to_owned(),
            expected: "the model's configuration beside its weights; download it from where they are from"
                .to_owned(),
        });
    }
    let text = read_text(file, LONGEST_CONFIG)?;
    let value = serde_json::from_slice(&text).map_err(|e| {
        PretrainedError::corrupt(file, "JSON", format!("`{}`", short(&e.to_string())), "a JSON object")
    })?;
    Config::new(file, value)
}
