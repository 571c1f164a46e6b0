//! `attnlab compare DIR…`: tables, rankings, verdict and report of runs that are there, and what became of the targets.

use std::path::PathBuf;

use anyhow::{Context, Result};
use attnlab_runner::config::load_targets;

use crate::results::Report;
use crate::{End, Usage, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Folders of experiments, such as `runs/quickstart`.
    #[arg(required = true, value_name = "DIR")]
    folders: Vec<PathBuf>,
    /// The key of the grid to compare, such as `train.learning_rate`, or several with commas between them, such as
    /// `position,train.learning_rate` [default: the encoding].
    #[arg(long, value_name = "KEY,…")]
    by: Option<String>,
    /// The length bin to rank in; 1 holds the training lengths [default: the longest].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    bin: Option<u16>,
    /// Hold the results against published numbers and findings: those of FILE, or else those that the experiment names.
    /// Give it after the folders.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    targets: Option<Option<PathBuf>>,
    /// Exit with 1 unless some target is reproduced and none that was run is not, or is undecided.
    #[arg(long, requires = "targets")]
    strict: bool,
    /// Also write the report as one HTML file (one folder only).
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also write each task's curves of accuracy (of a text, loss) against length as an SVG file into this folder
    /// (one folder only).
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,
    /// Print JSON instead of tables: `runs`, a list of the evaluations, or `comparison`, an object with verdict, controls,
    /// rankings, targets and evaluations.
    #[arg(long, value_name = "FORM", num_args = 0..=1, require_equals = true, default_missing_value = "runs")]
    json: Option<Form>,
}

/// What `--json` prints.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Form {
    Runs,
    Comparison,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    if (arguments.html.is_some() || arguments.figures.is_some()) && arguments.folders.len() > 1 {
        return Err(Usage("--html and --figures are about one folder; give one DIR".to_string()).into());
    }
    if arguments.targets.is_some() && arguments.json == Some(Form::Runs) {
        let message = "a list of evaluations has no place for targets; give --json=comparison with --targets";
        return Err(Usage(message.to_string()).into());
    }
    let given = match &arguments.targets {
        Some(Some(file)) => Some(load_targets(file)?),
        _ => None,
    };
    let mut end = End::Success;
    for folder in &arguments.folders {
        let bin = arguments.bin.map(usize::from);
        let report = Report::read(folder, arguments.by.as_deref(), bin, given.clone())
            .with_context(|| format!("while reading {}", folder.display()))?;
        if arguments.targets.is_some() && !report.has_targets() {
            let message = format!(
                "the experiment in {} names no targets; name a file, --targets FILE, after the folders",
                folder.display()
            );
            return Err(Usage(message).into());
        }
        match arguments.json {
            Some(Form::Runs) => say::result(report.json()?)?,
            Some(Form::Comparison) => say::result(report.comparison()?)?,
            None => {
                say::result(report.table().trim_end())?;
                if arguments.targets.is_some() {
                    say::result(format_args!("\n{}", report.targets().trim_end()))?;
                }
            }
        }
        if let Some(path) = &arguments.html {
            report.write_html(path)?;
            say::note(format_args!("Report: {}", path.display()));
        }
        if let Some(figures) = &arguments.figures {
            report.write_figures(figures)?;
        }
        if arguments.strict && !report.passes() {
            end = End::Incomplete;
        }
    }
    Ok(end)
}
