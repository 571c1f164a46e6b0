//! `attnlab`: a laboratory for self-attention. This crate reads arguments, prints and exits; the work is elsewhere.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 success, 1 failure, 2 wrong usage, of which a
//! configuration that cannot be run is a kind.

mod allocator;
mod bench;
mod compare;
mod cost;
mod demo;
mod doctor;
mod environment;
mod generate;
mod inspect;
mod list;
mod model;
mod progress;
mod results;
mod run;
mod say;
mod tasks;
mod texts;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: allocator::Counted = allocator::Counted;

/// A laboratory for self-attention: train small transformers, see which fail, where and why.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Train and evaluate every run of a configuration's grid; what is there already is kept or resumed.
    Run(run::Arguments),
    /// Tables, verdict and report of finished runs.
    Compare(compare::Arguments),
    /// The attention heads of one model: statistics, maps, edits.
    Inspect(Box<inspect::Arguments>),
    /// The failure modes of a model's attention, with evidence; and what remedies do.
    Doctor(Box<doctor::Arguments>),
    /// What a model writes after a prompt.
    Generate(generate::Arguments),
    /// Time, memory and operations of attention against the length of the input.
    Cost(Box<cost::Arguments>),
    /// Time a training step, a look at the heads, a grid of small runs, or the making of batches.
    #[command(subcommand)]
    Bench(bench::Verb),
    /// What there is to choose from.
    List(list::Arguments),
}

/// How a verb ended without an error of its own.
enum End {
    /// As asked.
    Success,
    /// Some runs could not be done, or what was to hold does not.
    Incomplete,
}

fn main() -> ExitCode {
    environment::settle();
    let result = match Arguments::parse().verb {
        Verb::Run(arguments) => run::run(arguments),
        Verb::Compare(arguments) => compare::run(arguments),
        Verb::Inspect(arguments) => inspect::run(*arguments),
        Verb::Doctor(arguments) => doctor::run(*arguments),
        Verb::Generate(arguments) => generate::run(arguments),
        Verb::Cost(arguments) => cost::run(*arguments),
        Verb::Bench(verb) => bench::run(verb),
        Verb::List(arguments) => list::run(arguments),
    };
    match result {
        Ok(End::Success) => ExitCode::SUCCESS,
        Ok(End::Incomplete) => ExitCode::FAILURE,
        Err(error) => {
            say::note(format_args!("error: {error:#}"));
            ExitCode::from(if is_usage(&error) { 2 } else { 1 })
        }
    }
}

/// Whether the user has to change what was asked for, and not the machine what it does.
fn is_usage(error: &anyhow::Error) -> bool {
    use attnlab_heads::{HeadsError, analysis::AnalysisError, doctor::DoctorError};
    use attnlab_runner::{RunError, config::ConfigError};
    error.chain().any(|cause| {
        cause.is::<ConfigError>()
            || matches!(cause.downcast_ref(), Some(RunError::Config(_) | RunError::Text(_)))
            || cause.is::<attnlab_hooks::HookError>()
            || matches!(cause.downcast_ref(), Some(AnalysisError::Hook(_)))
            || matches!(cause.downcast_ref(), Some(HeadsError::Hook(_)))
            || matches!(cause.downcast_ref(), Some(DoctorError::Hook(_)))
            || cause.is::<Usage>()
    })
}

/// The number of threads asked for, or one a core.
fn threads(asked: Option<usize>) -> Result<usize, Usage> {
    const MOST: usize = 1024;
    match asked {
        Some(count) if !(1..=MOST).contains(&count) => {
            Err(Usage(format!("--threads {count}: expected 1 to {MOST}")))
        }
        Some(count) => Ok(count),
        None => Ok(std::thread::available_parallelism().map_or(1, usize::from).min(MOST)),
    }
}

/// An argument that clap cannot judge.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
