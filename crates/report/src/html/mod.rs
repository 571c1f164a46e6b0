//! The page: one file that opens offline, in any browser, on paper, and with scripts off.
//!
//! Every string of a config or a result passes `escape` (figures), askama's own escaping (template) or `json` (data for the
//! script, which then uses `textContent` only); a content security policy denies all else.

mod curves;
mod heatmap;
mod maps;
mod svg;
mod training;

use askama::Template;
use serde::Serialize;

use crate::csv::{CsvError, results_csv};
use crate::read::{Results, RunState};
use crate::record::Metric;
use crate::summary::{Cell, Estimate, Summary};
use crate::table::{ending, fit, seeds, signed};
use crate::verdict::{Control, Verdict};

pub use curves::figure_svg;
use maps::Embedded;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum HtmlError {
    /// The template failed.
    #[error("rendering the page: {0}")]
    Template(#[from] askama::Error),
    /// The table of runs failed.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// The data for the page's script failed.
    #[error("writing the page's data: {0}")]
    Data(#[from] serde_json::Error),
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    name: &'a str,
    description: &'a str,
    verdict: Verdict,
    control: (&'static str, &'static str),
    facts: Vec<(String, &'static str)>,
    by: &'a str,
    columns: &'a [String],
    token_first: bool,
    heatmap: Vec<heatmap::Row>,
    tasks: Vec<Task>,
    maps: &'a Embedded,
    table: Vec<TableRow>,
    table_bins: Vec<String>,
    csv: String,
    csv_name: String,
    troubles: Vec<String>,
    provenance: Vec<(String, String)>,
    configs: Vec<(String, String)>,
    data: String,
    style: &'static str,
    script: &'static str,
}

struct Task {
    name: String,
    control: bool,
    text: String,
    chart: String,
    training: Option<training::Training>,
}

struct TableRow {
    task: String,
    task_index: usize,
    column: String,
    column_index: usize,
    seeds: String,
    seeds_order: usize,
    fit: String,
    fit_title: String,
    fit_order: f64,
    bins: Vec<BinField>,
    ending: String,
    ending_order: f64,
}

struct BinField {
    lengths: String,
    title: String,
    exact: Number,
    token: Number,
}

#[derive(Default)]
struct Number {
    text: String,
    interval: String,
    chance: String,
    published: Vec<String>,
    order: f64,
}

#[derive(Serialize)]
struct Data<'a> {
    by: &'a str,
    columns: &'a [String],
    charts: Vec<curves::ChartData>,
    maps: &'a [maps::MapRun],
}

/// The whole page. The same folder gives the same bytes: nothing in it comes from the clock or the machine that renders it.
pub fn html(results: &Results, summary: &Summary) -> Result<String, HtmlError> {
    let verdict = Verdict::of(summary);
    let embedded = maps::embed(results, summary);
    let tasks = summary
        .tasks
        .iter()
        .enumerate()
        .map(|(index, name)| Task {
            name: name.clone(),
            control: crate::verdict::is_control(name),
            text: verdict
                .tasks
                .get(index)
                .map_or(String::new(), |t| t.text.clone()),
            chart: curves::inline(summary, name, index),
            training: training::training(results, summary, name),
        })
        .collect();
    let data = Data {
        by: &summary.by,
        columns: &summary.columns,
        charts: summary
            .tasks
            .iter()
            .map(|task| curves::data(summary, task))
            .collect(),
        maps: &embedded.runs,
    };
    let (provenance, configs) = provenance(results);
    let page = Page {
        name: &results.grid.name,
        description: &results.grid.description,
        control: match verdict.control {
            Control::Passes => ("ok", "control passes"),
            Control::Fails => ("bad", "control fails"),
            Control::Unfinished => ("part", "control unfinished"),
            Control::Absent => ("part", "no control"),
        },
        facts: facts(results, summary),
        by: &summary.by,
        columns: &summary.columns,
        token_first: summary.metric == Metric::Token,
        heatmap: heatmap::rows(summary),
        tasks,
        table_bins: bin_titles(summary),
        table: table(summary),
        csv: maps::base64(results_csv(results)?.as_bytes()),
        csv_name: format!("{}-results.csv", file_name(&results.grid.name)),
        troubles: troubles(results),
        provenance,
        configs,
        data: json(&data)?,
        style: include_str!("../../assets/report.css"),
        script: include_str!("../../assets/report.js"),
        maps: &embedded,
        verdict,
    };
    Ok(page.render()?)
}

/// JSON that may stand in a script element: no `<`, so neither `</script` nor `<!--`.
fn json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(value)?
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn facts(results: &Results, summary: &Summary) -> Vec<(String, &'static str)> {
    let c = &summary.counts;
    let mut seeds: Vec<u64> = results.runs.iter().map(|r| r.planned.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    vec![
        (format!("{}/{}", c.done(), c.planned), "runs finished"),
        (summary.tasks.len().to_string(), "tasks"),
        (
            summary.columns.len().to_string(),
            if summary.by == "position" {
                "encodings"
            } else {
                "columns"
            },
        ),
        (seeds.len().to_string(), "seeds"),
        (
            format!("{}/{}", c.fit(), c.judged()),
            "learned the training lengths",
        ),
        (
            format!("{}/{}", c.generalise, c.fit()),
            "of these hold beyond",
        ),
    ]
}

/// The bins' lengths when all tasks agree, else their numbers.
fn bin_titles(summary: &Summary) -> Vec<String> {
    let ranges = |cell: &Cell| -> Vec<(usize, usize)> {
        cell.bins.iter().map(|b| (b.from, b.to)).collect()
    };
    let all: Vec<_> = summary.cells.iter().map(ranges).collect();
    let most = all.iter().max_by_key(|r| r.len()).cloned().unwrap_or_default();
    let agree = all.iter().all(|r| r.is_empty() || *r == most);
    most.iter()
        .enumerate()
        .map(|(i, (from, to))| match (agree, i) {
            (true, _) => format!("{from}–{to}"),
            (false, 0) => "trained lengths".to_owned(),
            (false, i) => format!("beyond, bin {i}"),
        })
        .collect()
}

fn table(summary: &Summary) -> Vec<TableRow> {
    let width = bin_titles(summary).len();
    let row = |cell: &Cell| {
        let judged = cell.counts.judged();
        let share = crate::statistics::wilson(cell.counts.fit(), judged);
        let mut bins: Vec<BinField> = cell
            .bins
            .iter()
            .enumerate()
            .map(|(index, bin)| BinField {
                lengths: format!("{}–{}", bin.from, bin.to),
                title: bin_title(cell, index),
                exact: number(cell, index, Metric::Exact),
                token: number(cell, index, Metric::Token),
            })
            .collect();
        bins.resize_with(width, || BinField {
            lengths: String::new(),
            title: String::new(),
            exact: Number { order: -1.0, ..Number::default() },
            token: Number { order: -1.0, ..Number::default() },
        });
        TableRow {
            task_index: summary.tasks.iter().position(|t| *t == cell.task).unwrap_or(0),
            task: cell.task.clone(),
            column_index: summary.column_index(&cell.column),
            column: cell.column.clone(),
            seeds: seeds(&cell.counts),
            seeds_order: cell.counts.done(),
            fit: fit(&cell.counts),
            fit_title: share.map_or(String::new(), |i| {
                format!("95 % Wilson interval {:.0} to {:.0} %", i.low * 100.0, i.high * 100.0)
            }),
            fit_order: if judged == 0 { -1.0 } else { cell.counts.fit() as f64 / judged as f64 },
            bins,
            ending: ending(cell),
            ending_order: match (cell.breaks_at, cell.counts.fit()) {
                (Some(at), _) => at,
                (None, 0) => -1.0,
                (None, _) => 1e12,
            },
        }
    };
    summary.cells.iter().map(row).collect()
}

fn bin_title(cell: &Cell, index: usize) -> String {
    let Some(bin) = cell.bins.get(index) else {
        return String::new();
    };
    let mut title = format!("lengths {}–{}, {} different sequences", bin.from, bin.to, bin.distinct);
    if cell.counts.fit() > 0
        && cell.counts.fit() < cell.counts.judged()
        && let Some(fitting) = bin.fitting
    {
        title.push_str(&format!(
            "; the {} seeds that fit: {}",
            cell.counts.fit(),
            with_interval(&fitting.of(cell.metric))
        ));
    }
    title
}

fn number(cell: &Cell, index: usize, metric: Metric) -> Number {
    let Some(bin) = cell.bins.get(index) else {
        return Number::default();
    };
    let estimate = bin.all.of(metric);
    let published = cell
        .published
        .iter()
        .filter(|p| p.metric == metric)
        .filter_map(|p| {
            let theirs = p.percent.get(index)?;
            let difference = p.difference.get(index).copied().flatten()?;
            Some(format!("{}: {theirs:.1} ({})", p.source, signed(difference)))
        })
        .collect();
    Number {
        text: format!("{:.1}", estimate.mean * 100.0),
        interval: estimate.interval.map_or(String::new(), |i| {
            format!("{:.1} – {:.1}", i.low * 100.0, i.high * 100.0)
        }),
        chance: format!("{:.1}", bin.chance.of(metric) * 100.0),
        published,
        order: estimate.mean,
    }
}

fn with_interval(estimate: &Estimate) -> String {
    let mean = estimate.mean * 100.0;
    match estimate.interval {
        Some(i) => format!("{mean:.1} % ({:.1} – {:.1})", i.low * 100.0, i.high * 100.0),
        None => format!("{mean:.1} %"),
    }
}

fn troubles(results: &Results) -> Vec<String> {
    let mut troubles = Vec::new();
    for run in &results.runs {
        if let RunState::Unreadable { file, reason } = &run.state {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned());
            troubles.push(format!(
                "{}, {}: {reason}",
                run.planned.id,
                name.unwrap_or_default()
            ));
        }
        for warning in &run.warnings {
            troubles.push(format!("{}, {warning}", run.planned.id));
        }
    }
    troubles
}

/// What the runs were made with, without when: times differ between equal results.
fn provenance(results: &Results) -> (Vec<(String, String)>, Vec<(String, String)>) {
    let mut facts: Vec<(String, Vec<String>)> = ["attnlab", "revision", "machine"]
        .map(|name| (name.to_owned(), Vec::new()))
        .into();
    let mut configs = Vec::new();
    for run in &results.runs {
        let Some(p) = &run.provenance else { continue };
        let revision = p.revision.clone().unwrap_or_else(|| "not a git folder".to_owned());
        for ((_, values), value) in facts.iter_mut().zip([p.version.clone(), revision, p.machine.clone()]) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        configs.push((run.planned.id.clone(), p.config_hash.clone()));
    }
    let facts = facts
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (name, values.join(", ")))
        .collect();
    (facts, configs)
}

fn file_name(name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    if safe.is_empty() { "grid".to_owned() } else { safe }
}
