//! `attnlab run CONFIG.toml`: from a configuration to a verdict.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use attnlab_runner::config::Experiment;
use attnlab_runner::{Execution, RunError};
use candle_core::Device;
use comfy_table::{Table, presets};

use crate::progress::{Bars, Lines};
use crate::{End, results, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The experiment.
    config: PathBuf,
    /// The folder that the experiment's folder is made in.
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,
    /// Change a key of the configuration: `--set train.steps=100 --set position=rope`. Setting a key that the grid
    /// varies replaces that axis.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Runs at a time [default: one a core]. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Threads of each run [default: cores ÷ jobs]. Results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Say what would be run, and run nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print the evaluations as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    let experiment = Experiment::load(&arguments.config, &arguments.sets)?;
    if arguments.dry_run {
        say::result(plan(&experiment)?)?;
        return Ok(End::Success);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(cores, usize::from).min(experiment.runs.len()).max(1);
    let threads = arguments.threads.map_or((cores / jobs).max(1), usize::from);
    let execution = Execution { out: arguments.out, jobs, threads, device: Device::Cpu };

    let runs = experiment.runs.len();
    say::note(format_args!("{}: {runs} runs, {jobs} at a time with {threads} threads each", experiment.name));
    let ended = if std::io::stderr().is_terminal() {
        execution.execute(&experiment, &Bars::new(&experiment))
    } else {
        execution.execute(&experiment, &Lines::new(runs))
    }?;

    let folder = execution.folder(&experiment);
    let report =
        results::write(&folder).with_context(|| format!("while reporting on {}", folder.display()))?;
    if arguments.json {
        say::result(report.json()?)?;
    } else {
        say::result(report.table())?;
        say::result(format_args!("Report: {}", folder.join("report.html").display()))?;
    }
    let failed: Vec<&(String, Result<_, RunError>)> =
        ended.iter().filter(|(_, result)| result.is_err()).collect();
    if failed.is_empty() {
        return Ok(End::Success);
    }
    say::note(format_args!("error: {} of {runs} runs could not be done:", failed.len()));
    for (id, result) in failed {
        if let Err(error) = result {
            say::note(format_args!("  {id}: {error}"));
        }
    }
    Ok(End::Incomplete)
}

/// The runs with their sizes, and the operations that they cost.
fn plan(experiment: &Experiment) -> Result<String> {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["run", "task", "position", "steps", "TFLOP at most"]);
    let mut total = 0.0;
    for (run, planned) in experiment.runs.iter().zip(&experiment.grid.runs) {
        let task = run.task.build()?;
        let [from, to] = run.train.lengths;
        let lengths: Vec<usize> = (from..=to).filter(|&length| task.admits(length)).collect();
        let model = run.model_config(task.as_ref());
        let flops = |&length: &usize| model.training_flops(run.train.batch_size, task.token_len(length));
        let mean = lengths.iter().map(flops).sum::<f64>() / lengths.len().max(1) as f64;
        let tflop = mean * run.train.steps as f64 / 1e12;
        total += tflop;
        let cells = [&planned.id, &planned.task, &planned.position, &run.train.steps.to_string()];
        table.add_row(cells.into_iter().cloned().chain([format!("{tflop:.3}")]));
    }
    let runs = experiment.runs.len();
    Ok(format!("{table}\n{runs} runs, {total:.3} TFLOP of training at most (without early stops)"))
}
