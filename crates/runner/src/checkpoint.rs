//! A run's state between two steps: `checkpoints/step-000500/{model.safetensors, optimizer.safetensors, trainer_state.json}`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use attnlab_ops::{AdamW, Parameters};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::error::{Result, RunError};

/// What is not a tensor. Randomness needs no state: it is addressed by seed, purpose and step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainerState {
    /// Optimiser steps done.
    pub(crate) step: u64,
    /// Labels trained on.
    pub(crate) labels: u64,
    /// Length of `metrics.jsonl` at this step; what is beyond is cut off on resuming.
    pub(crate) metrics_bytes: u64,
    /// Training has ended at this step, by count or early stop.
    pub(crate) finished: bool,
}

/// Writes a checkpoint into `checkpoints` and then removes the others, unless all are to be kept.
pub(crate) fn save(
    checkpoints: &Path,
    state: &TrainerState,
    parameters: &Parameters,
    optimizer: &AdamW,
    keep_all: bool,
) -> Result<()> {
    let path = checkpoints.join(format!("step-{:06}", state.step));
    durable::write_folder(&path, |folder| {
        let weights = parameters.vars().into_iter().map(|(name, var)| (name, var.as_tensor().clone()));
        durable::write(&folder.join("model.safetensors"), &serialize(weights.collect())?)?;
        durable::write(&folder.join("optimizer.safetensors"), &serialize(optimizer.state()?)?)?;
        let text = serde_json::to_string_pretty(state).map_err(|e| bad(folder, e))?;
        durable::write(&folder.join("trainer_state.json"), text.as_bytes())
    })?;
    if keep_all { Ok(()) } else { remove_others(checkpoints, &path) }
}

/// Removes every checkpoint but the one at `path`.
pub(crate) fn remove_others(checkpoints: &Path, path: &Path) -> Result<()> {
    for other in durable::entries(checkpoints)? {
        if other != path && step_of(&other).is_some() {
            durable::remove_folder(&other)?;
        }
    }
    Ok(())
}

/// The step that a checkpoint's folder is named after.
pub(crate) fn step_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// The newest checkpoint's folder.
pub(crate) fn newest(checkpoints: &Path) -> Result<Option<PathBuf>> {
    let found = durable::entries(checkpoints)?.into_iter().filter_map(|path| Some((step_of(&path)?, path)));
    Ok(found.max().map(|(_, path)| path))
}

/// Reads a checkpoint back into the parameters and the optimizer.
pub(crate) fn load(
    path: &Path,
    parameters: &Parameters,
    optimizer: &mut AdamW,
    device: &Device,
) -> Result<TrainerState> {
    let file = path.join("trainer_state.json");
    let text = fs::read_to_string(&file).map_err(|e| bad(path, format!("trainer_state.json: {e}")))?;
    let state: TrainerState =
        serde_json::from_str(&text).map_err(|e| bad(path, format!("trainer_state.json: {e}")))?;
    let tensors = |name: &str| -> Result<HashMap<String, Tensor>> {
        let bytes = fs::read(path.join(name)).map_err(|e| bad(path, format!("{name}: {e}")))?;
        candle_core::safetensors::load_buffer(&bytes, device).map_err(|e| bad(path, format!("{name}: {e}")))
    };
    let weights = tensors("model.safetensors")?;
    // Loading would convert another type; we never wrote one.
    for (name, var) in parameters.vars() {
        if let Some(found) = weights.get(&name).map(Tensor::dtype).filter(|found| *found != var.dtype()) {
            let problem = format!("model.safetensors: `{name}` is {found:?}, expected {:?}", var.dtype());
            return Err(bad(path, problem));
        }
    }
    parameters.load(&weights).map_err(|e| bad(path, format!("model.safetensors: {e}")))?;
    optimizer
        .restore(&tensors("optimizer.safetensors")?)
        .map_err(|e| bad(path, format!("optimizer.safetensors: {e}")))?;
    if optimizer.step_count() != state.step {
        let found = optimizer.step_count();
        return Err(bad(path, format!("the optimizer has done {found} steps, the run {}", state.step)));
    }
    Ok(state)
}

/// Bytes of a safetensors file, with the metadata that Python's loaders look for.
fn serialize(tensors: HashMap<String, Tensor>) -> Result<Vec<u8>> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    Ok(safetensors::serialize(tensors, Some(metadata)).map_err(candle_core::Error::wrap)?)
}

fn bad(path: &Path, problem: impl ToString) -> RunError {
    RunError::Checkpoint { path: path.to_owned(), problem: problem.to_string() }
}
