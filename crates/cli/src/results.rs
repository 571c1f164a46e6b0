//! The results of a grid folder: read, written beside the runs, printed.

use std::io::IsTerminal;
use std::path::Path;

use anyhow::{Context, Result};
use attnlab_report::record::Targets;
use attnlab_report::{
    Checked, Results, RunState, Summary, TableStyle, comparison_json, figure_svg, html, results_csv,
    targets_table, terminal_table,
};
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
    let report = Report::read(folder, None, None, None)?;
    write_file(&folder.join("results.csv"), results_csv(&report.results)?.as_bytes())?;
    report.write_html(&folder.join("report.html"))?;
    Ok(report)
}

impl Report {
    /// Reads a grid folder. `by` is the axis that is compared, or several with commas between; the encoding by default.
    /// Columns are ranked in `bin`, from 1; the longest by default. `targets` replace those of the grid.
    pub(crate) fn read(
        folder: &Path,
        by: Option<&str>,
        bin: Option<usize>,
        targets: Option<Targets>,
    ) -> Result<Self> {
        let mut results = Results::read(folder)?;
        if let Some(targets) = targets {
            results.grid.targets = targets;
        }
        if let Some(by) = by {
            let axes = results.grid.axes.iter().map(|axis| axis.key.as_str());
            let known: Vec<&str> = axes.filter(|key| !ALWAYS.contains(key)).chain(ALWAYS).collect();
            if let Some(unknown) = by.split(',').map(str::trim).find(|key| !known.contains(key)) {
                let keys = known.join(", ");
                return Err(Usage(format!("--by {unknown} is no key of this grid; it has {keys}")).into());
            }
        }
        let summary = Summary::new(&results, by);
        let Some(bin) = bin else { return Ok(Self { results, summary }) };
        let most = summary.cells.iter().map(|cell| cell.bins.len()).max().unwrap_or(0);
        if most > 0 && bin > most {
            return Err(Usage(format!("--bin {bin}: the runs have {most} bins, 1 to {most}")).into());
        }
        Ok(Self { summary: summary.ranked_in(bin), results })
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
        terminal_table(&self.summary, style())
    }

    /// Whether there is anything to hold the results against.
    pub(crate) fn has_targets(&self) -> bool {
        !self.results.grid.targets.is_empty()
    }

    /// Whether targets were reproduced, and none came out otherwise or stayed open.
    pub(crate) fn passes(&self) -> bool {
        Checked::of(&self.results).passes()
    }

    /// What became of each target, as wide as the terminal.
    pub(crate) fn targets(&self) -> String {
        targets_table(&Checked::of(&self.results), style())
    }

    /// How many targets came out how, in one line; none where there are none.
    pub(crate) fn targets_line(&self) -> Option<String> {
        self.has_targets().then(|| Checked::of(&self.results).summary())
    }

    /// Everything that is said of the comparison, as a JSON object.
    pub(crate) fn comparison(&self) -> Result<String> {
        Ok(comparison_json(&self.results, &self.summary)?)
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

/// As wide as the terminal, and with colours where they are wanted.
fn style() -> TableStyle {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none();
    TableStyle { width: say::width(), colour }
}
