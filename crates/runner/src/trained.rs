//! The model that a run ended with, to be looked at.

use std::path::Path;

use attnlab_model::Transformer;
use attnlab_ops::{Parameters, Streams};
use attnlab_tasks::Task;
use candle_core::{DType, Device};

use crate::checkpoint;
use crate::config::RunConfig;
use crate::error::{Result, RunError};

/// A trained model with the task it was trained on.
pub struct Trained {
    /// The model.
    pub model: Transformer,
    /// What was run.
    pub run: RunConfig,
    /// The task, whose vocabulary names the tokens.
    pub task: Box<dyn Task>,
    /// The optimiser steps it was trained for, if that is known.
    pub step: Option<u64>,
}

impl Trained {
    /// Whether a folder is one of a run.
    pub fn is_run(folder: &Path) -> bool {
        folder.join("config.toml").is_file()
    }

    /// The newest checkpoint of a run's folder.
    ///
    /// # Errors
    /// It has no configuration or no checkpoint, or they are damaged or do not belong together.
    pub fn open(folder: &Path) -> Result<Self> {
        let bad = |problem: String| RunError::Folder { path: folder.to_owned(), problem };
        let config = std::fs::read_to_string(folder.join("config.toml"))
            .map_err(|error| bad(format!("config.toml: {error}")))?;
        let newest = checkpoint::newest(&folder.join("checkpoints"))?;
        let Some(path) = newest else {
            return Err(bad("no checkpoint; run its experiment first".to_owned()));
        };
        let weights = std::fs::read(path.join("model.safetensors"))
            .map_err(|error| bad(format!("{}: {error}", path.join("model.safetensors").display())))?;

        let run = RunConfig::from_toml(&config)?;
        let task = run.task.build()?;
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(0), DType::F32, &Device::Cpu);
        let model = Transformer::new(&run.model_config(task.as_ref()), vb)?;
        let tensors = candle_core::safetensors::load_buffer(&weights, &Device::Cpu)
            .map_err(|error| bad(format!("model.safetensors: {error}")))?;
        parameters.load(&tensors).map_err(|error| bad(format!("model.safetensors: {error}")))?;
        Ok(Self { model, run, task, step: checkpoint::step_of(&path) })
    }
}
