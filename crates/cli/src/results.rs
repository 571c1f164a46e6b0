//! The results of a grid folder: read, written beside the runs, printed.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result};
use attnlab_report::{Results, RunState, Summary, TableStyle, figure_svg, html, results_csv, terminal_table};
use attnlab_runner::write_file;

use crate::{Usage, say};

/// What every run has, varied or not.
const ALWAYS: [&str; 3] = ["task", "position", "seed"];

/// A grid's results and their summary.
pub(crate) struct Report {
    results: Results,
    summary: Summary,
}

/// Reads a grid folder, and writes `results.csv` and `report.html` into it.
pub(crate) fn write(folder: &Path) -> Result<Report> {
    let report = Report::read(folder, None)?;
    write_file(&folder.join("results.csv"), results_csv(&report.results)?.as_bytes())?;
    report.write_html(&folder.join("report.html"))?;
    Ok(report)
}

impl Report {
    /// Reads a grid folder. `by` is the axis that is compared, or several with commas between; the encoding by default.
    pub(crate) fn read(folder: &Path, by: Option<&str>) -> Result<Self> {
        let results = Results::read(folder)?;
        if let Some(by) = by {
            let axes = results.grid.axes.iter().map(|axis| axis.key.as_str());
            let known: Vec<&str> = axes.filter(|key| !ALWAYS.contains(key)).chain(ALWAYS).collect();
            if let Some(unknown) = by.split(',').map(str::trim).find(|key| !known.contains(key)) {
                let keys = known.join(", ");
                return Err(Usage(format!("--by {unknown} is no key of this grid; it has {keys}")).into());
            }
        }
        let summary = Summary::new(&results, by);
        Ok(Self { results, summary })
    }

    pub(crate) fn write_html(&self, path: &Path) -> Result<()> {
        let page = html(&self.results, &self.summary).context("while making the HTML report")?;
        Ok(write_file(path, page.as_bytes())?)
    }

    /// Writes each task's curves to `<folder>/<task>.svg`.
    pub(crate) fn write_figures(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("could not create folder {}", folder.display()))?;
        for task in &self.summary.tasks {
            let words = task.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            let path = folder.join(format!("{}.svg", words.collect::<Vec<_>>().join("-")));
            write_file(&path, figure_svg(&self.results, &self.summary, task).as_bytes())?;
            say::note(format_args!("Figure: {}", path.display()));
        }
        Ok(())
    }

    /// The tables and the verdict, as wide as the terminal.
    pub(crate) fn table(&self) -> String {
        let terminal = std::io::stdout().is_terminal();
        let width = if terminal { comfy_table::Table::new().width() } else { None };
        let colour = terminal && std::env::var_os("NO_COLOR").is_none();
        terminal_table(&self.summary, TableStyle { width: width.unwrap_or(120), colour })
    }

    /// Every finished run's evaluation, as a JSON list.
    pub(crate) fn json(&self) -> Result<String> {
        let evaluations: Vec<_> = self
            .results
            .runs
            .iter()
            .filter_map(|run| match &run.state {
                RunState::Done(evaluation) => Some(evaluation),
                _ => None,
            })
            .collect();
        Ok(serde_json::to_string_pretty(&evaluations)?)
    }
}
