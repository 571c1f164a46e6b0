//! All runs of a grid, several at a time.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use attnlab_report::record::Evaluation;
use candle_core::Device;

use crate::config::Experiment;
use crate::durable;
use crate::error::{Result, RunError};
use crate::evaluate::BaselineCache;
use crate::progress::{Event, Progress};
use crate::train::{self, Resources};

/// How a grid is worked through. Nothing here but the device can change a result, and that only in the last bits.
pub struct Execution {
    /// The folder under which `<name>/<run-id>/` is made.
    pub out: PathBuf,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each run.
    pub threads: usize,
    /// Where tensors live.
    pub device: Device,
}

/// One run's id, and what it came to.
pub type Ended = (String, Result<Evaluation>);

impl Execution {
    /// The folder of an experiment.
    pub fn folder(&self, experiment: &Experiment) -> PathBuf {
        self.out.join(&experiment.name)
    }

    /// Does every run that is not done yet, in order. A run that fails does not stop the others.
    pub fn execute(&self, experiment: &Experiment, progress: &dyn Progress) -> Result<Vec<Ended>> {
        let folder = self.folder(experiment);
        claim(&folder)?;
        let grid = serde_json::to_string_pretty(&experiment.grid).map_err(candle_core::Error::wrap)?;
        durable::write(&folder.join("grid.json"), grid.as_bytes())?;

        let baselines = BaselineCache::default();
        let resources =
            Resources { threads: self.threads, device: self.device.clone(), baselines: &baselines, progress };
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(Vec::new());
        let work = || {
            while let Some(config) = experiment.runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let id = config.id();
                let attempt =
                    catch_unwind(AssertUnwindSafe(|| train::run(config, &folder.join(&id), &resources)));
                let result = attempt.unwrap_or_else(|panic| Err(RunError::Panic(said(panic.as_ref()))));
                if let Err(error) = &result {
                    progress.tell(&id, &Event::Failed { error: &error.to_string() });
                }
                ended.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((id, result));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(experiment.runs.len()) {
                scope.spawn(work);
            }
            work();
        });
        Ok(ended.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

/// Makes the grid's folder, or recognises it as one; refuses a folder that holds anything else.
fn claim(folder: &Path) -> Result<()> {
    durable::create_folder(folder)?;
    let path = folder.join("grid.json");
    let foreign = match fs::read(&path) {
        Ok(text) => serde_json::from_slice::<attnlab_report::record::Grid>(&text)
            .err()
            .map(|e| format!("its grid.json is not one of attnlab's ({e})")),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => durable::stranger(folder, "grid.json")?
            .map(|name| format!("it holds `{name}` but no grid.json, so it is not an attnlab folder")),
        Err(e) => return Err(RunError::file("read", path)(e)),
    };
    match foreign {
        // Nothing may be removed before the folder is known to be ours.
        None => durable::sweep(folder),
        Some(found) => Err(RunError::Folder {
            path: folder.to_owned(),
            problem: format!(
                "{found}; nothing was written; choose another --out or another name in the config"
            ),
        }),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_string())
}
