//! What a grid in progress looks like: bars on a terminal, a line a run elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use attnlab_runner::config::Experiment;
use attnlab_runner::{Event, Progress};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::say;

/// One line when a run ends.
pub(crate) struct Lines {
    runs: usize,
    ended: AtomicUsize,
    began: Mutex<HashMap<String, Instant>>,
}

impl Lines {
    pub(crate) fn new(runs: usize) -> Self {
        Self { runs, ended: AtomicUsize::new(0), began: Mutex::default() }
    }

    fn line(&self, run: &str, what: &str) {
        let ended = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let began = self.began.lock().unwrap_or_else(PoisonError::into_inner).remove(run);
        let seconds =
            began.map(|began| format!(" ({:.1} s)", began.elapsed().as_secs_f64())).unwrap_or_default();
        say::note(format_args!("[{ended}/{}] {run}: {what}{seconds}", self.runs));
    }
}

impl Progress for Lines {
    fn tell(&self, run: &str, event: &Event<'_>) {
        match event {
            Event::Started { step, .. } => {
                let mut began = self.began.lock().unwrap_or_else(PoisonError::into_inner);
                began.insert(run.to_string(), Instant::now());
                if *step > 0 {
                    say::note(format_args!("{run}: resumes after step {step}"));
                }
            }
            Event::Ended { outcome, already } => {
                self.line(run, &format!("{outcome}{}", if *already { ", done before" } else { "" }));
            }
            Event::Failed { error } => self.line(run, &format!("could not be done: {error}")),
            Event::Stepped { .. } | Event::Evaluating => {}
        }
    }
}

/// A bar for the grid and one for each run in progress.
pub(crate) struct Bars {
    all: MultiProgress,
    grid: ProgressBar,
    runs: Mutex<HashMap<String, ProgressBar>>,
    steps: HashMap<String, u64>,
}

impl Bars {
    pub(crate) fn new(experiment: &Experiment) -> Self {
        let steps: HashMap<String, u64> =
            experiment.runs.iter().map(|run| (run.id(), run.train.steps as u64)).collect();
        let all = MultiProgress::new();
        let grid = all.add(ProgressBar::new(steps.values().sum()));
        grid.set_style(style("{bar:40} {percent:>3} %  {elapsed} elapsed, {eta} to go  {msg}"));
        Self { all, grid, runs: Mutex::default(), steps }
    }

    fn bars(&self) -> MutexGuard<'_, HashMap<String, ProgressBar>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a run's bar away and counts its remaining steps as done.
    fn end(&self, run: &str, what: &str) {
        let bar = self.bars().remove(run);
        let done = bar.as_ref().map_or(0, ProgressBar::position);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        self.grid.inc(self.steps.get(run).copied().unwrap_or(done).saturating_sub(done));
        let _ = self.all.println(format!("{run}: {what}"));
    }
}

impl Progress for Bars {
    fn tell(&self, run: &str, event: &Event<'_>) {
        match event {
            Event::Started { step, steps } => {
                let bar = self.all.add(ProgressBar::new(*steps));
                bar.set_style(style("  {bar:20} {pos:>6}/{len} {prefix}  {msg}"));
                bar.set_prefix(run.to_string());
                bar.set_position(*step);
                self.grid.inc(*step);
                self.bars().insert(run.to_string(), bar);
            }
            Event::Stepped { step, loss, accuracy } => {
                if let Some(bar) = self.bars().get(run) {
                    self.grid.inc(step.saturating_sub(bar.position()));
                    bar.set_position(*step);
                    let exact = accuracy.map(|a| format!(", exact {:.1} %", 100.0 * a.exact));
                    bar.set_message(format!("loss {loss:.4}{}", exact.unwrap_or_default()));
                }
            }
            Event::Evaluating => {
                if let Some(bar) = self.bars().get(run) {
                    bar.set_message("evaluating");
                }
            }
            Event::Ended { outcome, .. } => self.end(run, &outcome.to_string()),
            Event::Failed { error } => self.end(run, &format!("could not be done: {error}")),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One bar for work that may be short: it shows when two seconds have passed, and on a terminal only.
pub(crate) struct Slow {
    began: Instant,
    what: String,
    all: u64,
    done: AtomicUsize,
    bar: Mutex<Option<ProgressBar>>,
}

impl Slow {
    /// For so many steps.
    pub(crate) fn new(what: impl Into<String>, steps: usize) -> Self {
        let (what, all) = (what.into(), steps as u64);
        Self { began: Instant::now(), what, all, done: AtomicUsize::new(0), bar: Mutex::default() }
    }

    /// One step more.
    pub(crate) fn step(&self) {
        self.reach(self.done.load(Ordering::Relaxed) + 1);
    }

    /// So many steps in all.
    pub(crate) fn reach(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
        if self.began.elapsed().as_secs() < 2 || !std::io::stderr().is_terminal() {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = bar.get_or_insert_with(|| {
            let bar = ProgressBar::new(self.all);
            bar.set_style(style("{msg} {bar:40} {pos}/{len}  {elapsed} elapsed, {eta} to go"));
            bar.set_message(self.what.clone());
            bar
        });
        bar.set_position(done as u64);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.lock().unwrap_or_else(PoisonError::into_inner).take() {
            bar.finish_and_clear();
        }
    }
}

/// A bar for each file that is downloaded, on a terminal.
#[cfg(feature = "hub")]
#[derive(Default)]
pub(crate) struct Download {
    all: MultiProgress,
    files: Mutex<HashMap<String, ProgressBar>>,
}

#[cfg(feature = "hub")]
impl Download {
    /// So many bytes of a file are there.
    pub(crate) fn tell(&self, file: &str, done: u64, total: u64) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = files.entry(file.to_owned()).or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(total));
            bar.set_style(style("{msg} {bar:40} {bytes}/{total_bytes}  {eta} to go"));
            bar.set_message(file.to_owned());
            bar
        });
        bar.set_position(done);
        if done >= total {
            bar.finish_and_clear();
        }
    }
}
