//! `attnlab compare DIR…`: tables, verdict and report of runs that are there.

use std::path::PathBuf;

use anyhow::{Context, Result};

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
    /// Also write the report as one HTML file (one folder only).
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Also write each task's curves of accuracy (of a text, loss) against length as an SVG file into this folder
    /// (one folder only).
    #[arg(long, value_name = "FOLDER")]
    figures: Option<PathBuf>,
    /// Print the evaluations as JSON instead of tables.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    if (arguments.html.is_some() || arguments.figures.is_some()) && arguments.folders.len() > 1 {
        return Err(Usage("--html and --figures are about one folder; give one DIR".to_string()).into());
    }
    for folder in &arguments.folders {
        let report = Report::read(folder, arguments.by.as_deref())
            .with_context(|| format!("while reading {}", folder.display()))?;
        if arguments.json {
            say::result(report.json()?)?;
        } else {
            say::result(report.table().trim_end())?;
        }
        if let Some(path) = &arguments.html {
            report.write_html(path)?;
            say::note(format_args!("Report: {}", path.display()));
        }
        if let Some(figures) = &arguments.figures {
            report.write_figures(figures)?;
        }
    }
    Ok(End::Success)
}
