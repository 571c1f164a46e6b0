//! `attnlab bench`: what is measured, as one JSON object; the speed of tasks as a table too.

mod capture;
mod look;
mod size;
mod tasks;

use anyhow::Result;
use attnlab_runner::bench;
use serde::Serialize;

use crate::{End, Usage, say};
pub(crate) use size::position;

#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Forward, backward and AdamW of a pre-norm causal GELU transformer on one batch of random tokens.
    Train(Train),
    /// Time and memory of a forward pass alone, with statistics of every head, and with every map kept.
    Capture(capture::Capture),
    /// Time and memory of a pass over a real model, with statistics of every head, and with every map kept.
    Look(look::Look),
    /// Many small trainings, several at a time, as `run --jobs` does them.
    Grid(Grid),
    /// Tokens a second that each kind of task makes on one core.
    Tasks(tasks::Tasks),
}

#[derive(clap::Args)]
pub(crate) struct Train {
    #[command(flatten)]
    size: size::Size,
    /// Timed steps.
    #[arg(long, default_value_t = 30)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 5)]
    warmup: usize,
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Plain Candle operations in place of the fused ones, on one thread.
    #[arg(long, conflicts_with = "threads")]
    composed: bool,
}

#[derive(clap::Args)]
pub(crate) struct Grid {
    #[command(flatten)]
    size: size::Size,
    /// Runs.
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Runs at a time [default: one a core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Threads of each run.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Steps of each run.
    #[arg(long, default_value_t = 50)]
    steps: usize,
}

pub(crate) fn run(verb: Verb) -> Result<End> {
    match verb {
        Verb::Train(arguments) => arguments.run(),
        Verb::Capture(arguments) => arguments.run(),
        Verb::Look(arguments) => arguments.run(),
        Verb::Grid(arguments) => arguments.run(),
        Verb::Tasks(arguments) => arguments.run(),
    }
}

impl Train {
    fn run(self) -> Result<End> {
        let bench = bench::Train {
            size: self.size.resolve()?,
            steps: positive("steps", self.steps)?,
            warmup: self.warmup,
            threads: positive("threads", self.threads)?,
            composed: self.composed,
        };
        print(&bench.run()?)
    }
}

impl Grid {
    fn run(self) -> Result<End> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let runs = positive("runs", self.runs)?;
        let bench = bench::Grid {
            size: self.size.resolve()?,
            runs,
            jobs: positive("jobs", self.jobs.unwrap_or(cores))?.min(runs),
            threads: positive("threads", self.threads)?,
            steps: positive("steps", self.steps)?,
        };
        print(&bench.run()?)
    }
}

fn print(measured: &impl Serialize) -> Result<End> {
    say::result(serde_json::to_string(measured)?)?;
    Ok(End::Success)
}

pub(crate) fn positive(name: &str, value: usize) -> Result<usize, Usage> {
    if value == 0 { Err(Usage(format!("--{name} is 0; it must be at least 1"))) } else { Ok(value) }
}
