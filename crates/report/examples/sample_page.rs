//! `cargo run -p attnlab-report --example sample_page -- FOLDER` writes a made-up grid into FOLDER with its page, figure
//! and table: for looking at the layout without training anything.
#![allow(clippy::unwrap_used, missing_docs, dead_code, unreachable_pub)]

#[path = "../tests/it/fixture.rs"]
mod fixture;

use std::fs;
use std::path::PathBuf;

use attnlab_report::{Results, Summary, TableStyle, figure_svg, html, results_csv, terminal_table};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let by = arguments.next().and_then(|by| by.into_string().ok());
    if !dir.join("grid.json").exists() {
        fixture::sample(&dir);
    }
    let results = Results::read(&dir)?;
    let summary = Summary::new(&results, by.as_deref());
    fs::write(dir.join("report.html"), html(&results, &summary)?)?;
    fs::write(dir.join("results.csv"), results_csv(&results)?)?;
    let task = summary.tasks.get(1).or(summary.tasks.first());
    fs::write(dir.join("figure.svg"), figure_svg(&results, &summary, task.map_or("", |t| t)))?;
    let style = TableStyle { width: 120, colour: false };
    fs::write(dir.join("table.txt"), terminal_table(&summary, style))?;
    Ok(())
}
