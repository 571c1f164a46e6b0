//! `attnlab run CONFIG.toml`: from a configuration to a verdict.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::{Context, Result};
use attnlab_report::record::PlannedRun;
use attnlab_runner::config::Experiment;
use attnlab_runner::{Execution, RunError};
use candle_core::Device;
use comfy_table::{Table, presets};
use serde::Serialize;

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
    /// Print the evaluations, or with --dry-run the plan, as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    let experiment = Experiment::load(&arguments.config, &arguments.sets)?;
    if arguments.dry_run {
        let plan = Plan::of(&experiment)?;
        say::result(if arguments.json { serde_json::to_string_pretty(&plan)? } else { plan.table() })?;
        return Ok(End::Success);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(cores, usize::from).min(experiment.runs.len()).max(1);
    let threads = arguments.threads.map_or((cores / jobs).max(1), usize::from);
    let execution = Execution { out: arguments.out, jobs, threads, device: Device::Cpu };

    let runs = experiment.runs.len();
    let threads = say::count(threads, "thread");
    let how = match runs {
        1 => format!("with {threads}"),
        _ => format!("{jobs} at a time with {threads} each"),
    };
    say::note(format_args!("{}: {}, {how}", experiment.name, say::count(runs, "run")));
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
    say::note(format_args!("error: {} of {} could not be done:", failed.len(), say::count(runs, "run")));
    for (id, result) in failed {
        if let Err(error) = result {
            say::note(format_args!("  {id}: {error}"));
        }
    }
    Ok(End::Incomplete)
}

/// What would be run, and the operations that it costs without early stops.
#[derive(Serialize)]
struct Plan<'a> {
    name: &'a str,
    description: &'a str,
    runs: Vec<PlanLine<'a>>,
    tflop_at_most: f64,
}

#[derive(Serialize)]
struct PlanLine<'a> {
    /// Folder name, task, encoding, seed and the values of the grid's axes.
    #[serde(flatten)]
    run: &'a PlannedRun,
    steps: usize,
    tflop_at_most: f64,
}

impl<'a> Plan<'a> {
    fn of(experiment: &'a Experiment) -> Result<Self> {
        let mut runs = Vec::new();
        for (config, run) in experiment.runs.iter().zip(&experiment.grid.runs) {
            let task = config.task.build()?;
            let [from, to] = config.train.lengths;
            let lengths: Vec<usize> = (from..=to).filter(|&length| task.admits(length)).collect();
            let model = config.model_config(task.as_ref());
            let flops =
                |&length: &usize| model.training_flops(config.train.batch_size, task.token_len(length));
            let mean = lengths.iter().map(flops).sum::<f64>() / lengths.len().max(1) as f64;
            let steps = config.train.steps;
            runs.push(PlanLine { run, steps, tflop_at_most: mean * steps as f64 / 1e12 });
        }
        let tflop_at_most = runs.iter().map(|line| line.tflop_at_most).sum();
        Ok(Self { name: &experiment.name, description: &experiment.description, runs, tflop_at_most })
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["run", "task", "position", "steps", "TFLOP at most"]);
        for line in &self.runs {
            let PlannedRun { id, task, position, .. } = line.run;
            let numbers = [line.steps.to_string(), format!("{:.3}", line.tflop_at_most)];
            table.add_row([id, task, position].into_iter().cloned().chain(numbers));
        }
        let runs = say::count(self.runs.len(), "run");
        format!("{table}\n{runs}, {:.3} TFLOP of training at most (without early stops)", self.tflop_at_most)
    }
}
