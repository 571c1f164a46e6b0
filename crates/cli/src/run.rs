//! `attnlab run CONFIG.toml`: from a configuration to a verdict.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attnlab_report::record::PlannedRun;
use attnlab_runner::config::Experiment;
use attnlab_runner::{Execution, RunError};
use candle_core::Device;
use comfy_table::{Table, presets};
use serde_json::json;

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
        say::result(if arguments.json { plan.json()? } else { plan.table() })?;
        return Ok(End::Success);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.map_or(cores, usize::from).min(experiment.runs.len()).max(1);
    let threads = arguments.threads.map_or((cores / jobs).max(1), usize::from);
    let execution = Execution { out: arguments.out, jobs, threads, device: Device::Cpu };

    let runs = experiment.runs.len();
    let threads = say::count(threads, "thread");
    let how = match runs {
        1 => format!(" with {threads}"),
        _ => format!(", {jobs} at a time with {threads} each"),
    };
    say::note(format_args!("{}: {}{how}", experiment.name, say::count(runs, "run")));
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
        if let Some(line) = report.targets_line() {
            say::result(format_args!("{line} `attnlab compare {} --targets` lists them.", folder.display()))?;
        }
        say::result(format_args!("Report: {}", folder.join("report.html").display()))?;
    }
    let others = other_runs(&folder, &experiment);
    if others > 0 {
        let (folder, others) = (folder.display(), say::count(others, "run"));
        say::note(format_args!(
            "{folder} also holds {others} that this grid does not ask for: they are kept and not reported; \
             --set name=… keeps experiments apart"
        ));
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
struct Plan<'a> {
    experiment: &'a Experiment,
    /// One entry a run.
    tflop: Vec<f64>,
}

impl<'a> Plan<'a> {
    fn of(experiment: &'a Experiment) -> Result<Self> {
        let mut tflop = Vec::new();
        for run in &experiment.runs {
            let task = run.task.build()?;
            let [from, to] = run.train.lengths;
            let lengths: Vec<usize> = (from..=to).filter(|&length| task.admits(length)).collect();
            let model = run.model_config(task.as_ref());
            let flops = |&length: &usize| model.training_flops(run.train.batch_size, task.token_len(length));
            let mean = lengths.iter().map(flops).sum::<f64>() / lengths.len().max(1) as f64;
            tflop.push(mean * run.train.steps as f64 / 1e12);
        }
        Ok(Self { experiment, tflop })
    }

    /// Each run as planned, its steps and its operations at most.
    fn lines(&self) -> impl Iterator<Item = (&PlannedRun, usize, f64)> {
        let Experiment { grid, runs, .. } = self.experiment;
        let steps = runs.iter().map(|run| run.train.steps);
        grid.runs.iter().zip(steps).zip(&self.tflop).map(|((run, steps), &tflop)| (run, steps, tflop))
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["run", "task", "position", "steps", "TFLOP at most"]);
        for (PlannedRun { id, task, position, .. }, steps, tflop) in self.lines() {
            let numbers = [steps.to_string(), format!("{tflop:.3}")];
            table.add_row([id, task, position].into_iter().cloned().chain(numbers));
        }
        let (runs, total) = (say::count(self.tflop.len(), "run"), self.tflop.iter().sum::<f64>());
        format!("{table}\n{runs}, {total:.3} TFLOP of training at most (without early stops)")
    }

    fn json(&self) -> Result<String> {
        let lines = self.lines().map(|(run, steps, tflop)| {
            let PlannedRun { id, task, position, seed, settings, control, .. } = run;
            json!({
                "id": id, "task": task, "position": position, "seed": seed, "control": control, "settings": settings,
                "steps": steps, "tflop_at_most": tflop,
            })
        });
        let Experiment { name, description, .. } = self.experiment;
        Ok(serde_json::to_string_pretty(&json!({
            "name": name, "description": description, "runs": lines.collect::<Vec<_>>(),
            "tflop_at_most": self.tflop.iter().sum::<f64>(),
        }))?)
    }
}

/// Run folders that are there and not part of the grid: of an earlier configuration under the same name.
fn other_runs(folder: &Path, experiment: &Experiment) -> usize {
    let planned: HashSet<String> = experiment.grid.runs.iter().map(|run| run.id.clone()).collect();
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let names = entries.flatten().filter(|entry| entry.path().join("config.toml").is_file());
    names.filter(|entry| !planned.contains(entry.file_name().to_string_lossy().as_ref())).count()
}
