//! A grid folder as it stands: finished, half finished or damaged.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::maps::MapFile;
use crate::record::{Evaluation, Grid, MetricLine, PlannedRun, Provenance};

/// Everything a grid folder holds.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was planned.
    pub grid: Grid,
    /// One entry for each planned run, in the grid's order.
    pub runs: Vec<Run>,
}

/// One planned run and what there is of it.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its place in the grid.
    pub planned: PlannedRun,
    /// How far it is.
    pub state: RunState,
    /// Its training curve so far, by ascending step.
    pub metrics: Vec<MetricLine>,
    /// What it was made with; `None` when the file is absent or damaged.
    pub provenance: Option<Provenance>,
    /// Files of attention maps by ascending step; opened only when asked.
    pub maps: Vec<MapFile>,
    /// Damage that costs a detail and not the result, as sentences.
    pub warnings: Vec<String>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq)]
pub enum RunState {
    /// Not begun: there is no folder.
    Waiting,
    /// Begun and not ended.
    Running {
        /// The last logged step.
        step: u64,
    },
    /// Ended, with its scores.
    Done(Evaluation),
    /// There is something that cannot be used.
    Unreadable {
        /// The file at fault.
        file: PathBuf,
        /// What is wrong with it and what helps.
        reason: String,
    },
}

/// Why a folder is no grid, or a file of maps no maps.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no `grid.json`.
    #[error("{}: no such file. A folder of results holds grid.json; `attnlab run CONFIG.toml` writes it", file.display())]
    NoGrid {
        /// Where it was looked for.
        file: PathBuf,
    },
    /// The system refused.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content is not what the file should hold.
    #[error("{}: {reason}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What was found, what was expected, what helps.
        reason: String,
    },
}

impl Results {
    /// Reads a grid folder. Only a missing or damaged `grid.json` is an error; a damaged run becomes
    /// [`RunState::Unreadable`] and the others are unaffected.
    pub fn read(dir: &Path) -> Result<Results, ReadError> {
        let file = dir.join("grid.json");
        let text = fs::read_to_string(&file).map_err(|source| match source.kind() {
            ErrorKind::NotFound => ReadError::NoGrid { file: file.clone() },
            _ => ReadError::Io { file: file.clone(), source },
        })?;
        let grid: Grid = serde_json::from_str(&text).map_err(|e| ReadError::Content {
            file: file.clone(),
            reason: format!("not a grid: {e}. Running the config again rewrites it"),
        })?;
        let runs = grid.runs.iter().map(|planned| read_run(dir, planned)).collect();
        Ok(Results { grid, runs })
    }

    /// The runs that are results themselves, and no controls.
    pub fn of_results(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.planned.control.is_none())
    }

    /// Runs that have ended with scores, controls among them.
    pub fn finished(&self) -> impl Iterator<Item = (&Run, &Evaluation)> {
        self.runs.iter().filter_map(|run| match &run.state {
            RunState::Done(evaluation) => Some((run, evaluation)),
            _ => None,
        })
    }
}

impl PlannedRun {
    /// The run's value of an axis; `task`, `position` and `seed` are always known.
    pub fn setting(&self, key: &str) -> Option<String> {
        match key {
            "task" => Some(self.task.clone()),
            "position" => Some(self.position.clone()),
            "seed" => Some(self.seed.to_string()),
            _ => self.settings.get(key).cloned(),
        }
    }
}

fn read_run(dir: &Path, planned: &PlannedRun) -> Run {
    let mut run = Run {
        planned: planned.clone(),
        state: RunState::Waiting,
        metrics: Vec::new(),
        provenance: None,
        maps: Vec::new(),
        warnings: Vec::new(),
    };
    // An id is one folder name: anything else would read outside the grid's folder.
    let mut parts = Path::new(&planned.id).components();
    if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
        run.state = RunState::Unreadable {
            file: dir.join("grid.json"),
            reason: format!("run id `{}` is not a plain folder name", planned.id),
        };
        return run;
    }
    let folder = dir.join(&planned.id);
    if !folder.is_dir() {
        return run;
    }
    let metrics = read_metrics(&folder.join("metrics.jsonl"), &mut run.warnings);
    run.metrics = metrics;
    run.provenance = match read_json(&folder.join("provenance.json")) {
        Ok(found) => found,
        Err(reason) => {
            run.warnings.push(format!("provenance.json: {reason}"));
            None
        }
    };
    run.maps = MapFile::list(&folder.join("maps"));
    run.state = read_state(&folder, &run);
    run
}

fn read_state(folder: &Path, run: &Run) -> RunState {
    if !folder.join("DONE").exists() {
        // An eval.json without DONE is from before a resume: the run is not to be judged by it.
        let step = run.metrics.last().map_or(0, |line| line.step);
        return RunState::Running { step };
    }
    let file = folder.join("eval.json");
    match read_json::<Evaluation>(&file) {
        Ok(Some(evaluation)) if evaluation.id == run.planned.id => RunState::Done(evaluation),
        Ok(Some(evaluation)) => RunState::Unreadable {
            file,
            reason: format!(
                "holds the run `{}`, expected `{}`: the folder was copied or renamed",
                evaluation.id, run.planned.id
            ),
        },
        Ok(None) => RunState::Unreadable {
            file,
            reason: "missing although DONE is there: remove DONE and run the config again".into(),
        },
        Err(reason) => {
            RunState::Unreadable { file, reason: format!("{reason}. Remove DONE and run the config again") }
        }
    }
}

/// `Ok(None)` when there is no such file.
fn read_json<T: DeserializeOwned>(file: &Path) -> Result<Option<T>, String> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| e.to_string())
}

fn read_metrics(file: &Path, warnings: &mut Vec<String>) -> Vec<MetricLine> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            warnings.push(format!("metrics.jsonl: {e}"));
            return Vec::new();
        }
    };
    let whole = bytes.ends_with(b"\n");
    let lines: Vec<&[u8]> = bytes.split(|&b| b == b'\n').collect();
    let last = lines.len().saturating_sub(1);
    let mut metrics: Vec<MetricLine> = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(parsed) => metrics.push(parsed),
            // The line being written right now, or when the program was killed: nothing is wrong.
            Err(_) if index == last && !whole => {}
            Err(e) => warnings.push(format!("metrics.jsonl line {}: {e}", index + 1)),
        }
    }
    metrics.sort_by_key(|line| line.step);
    metrics
}
