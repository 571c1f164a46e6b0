//! The page: one file that opens offline, in any browser, on paper, and with scripts off.
//!
//! Every string of a config or a result passes `escape` (figures), askama's own escaping (template) or `json` (data for the
//! script, which then uses `textContent` only); a content security policy denies all else.

mod curves;
mod guards;
mod heatmap;
pub(crate) mod maps;
mod points;
mod ranking;
pub(crate) mod svg;
mod table;
mod training;

use askama::Template;
use serde::Serialize;

use crate::controls::Kind;
use crate::csv::{CsvError, results_csv};
use crate::read::{Results, RunState};
use crate::record::Metric;
use crate::summary::Summary;
use crate::targets::Checked;
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
    guards: Vec<guards::Guard>,
    /// What is said of the order-free control where it is not among the guards.
    without: String,
    absent: String,
    goals: guards::Goals,
    rankings: Vec<ranking::Table>,
    mean_ranks: Vec<ranking::Mean>,
    over: String,
    facts: Vec<(String, &'static str)>,
    by: &'a str,
    columns: &'a [String],
    token_first: bool,
    /// Whether some task is judged by accuracy, and whether some is measured by loss.
    accuracies: bool,
    losses: bool,
    curves_title: &'static str,
    /// `seeds` or `runs`, and what else than seeds the runs of a number differ in.
    unit: &'static str,
    mixed: String,
    heatmap: Vec<heatmap::Row>,
    tasks: Vec<Task>,
    maps: &'a Embedded,
    table: Vec<table::TableRow>,
    table_bins: Vec<String>,
    /// Whether the table's fields must tell their lengths because the tasks differ in them.
    bin_lengths: bool,
    csv: String,
    csv_name: String,
    troubles: Vec<String>,
    provenance: Pairs,
    configs: Pairs,
    data: String,
    style: &'static str,
    script: &'static str,
}

/// Name and value.
type Pairs = Vec<(String, String)>;

struct Task {
    name: String,
    control: bool,
    by_loss: bool,
    text: String,
    chart: String,
    training: Option<training::Training>,
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
            control: summary.is_order_free(name),
            by_loss: summary.by_loss(name),
            text: verdict.tasks.get(index).map_or(String::new(), |t| t.text.clone()),
            chart: curves::inline(summary, name, index),
            training: training::training(results, summary, name),
        })
        .collect();
    let data = Data {
        by: &summary.by,
        columns: &summary.columns,
        charts: summary.tasks.iter().map(|task| curves::data(summary, task)).collect(),
        maps: &embedded.runs,
    };
    let (provenance, configs) = provenance(results);
    let losses = summary.tasks.iter().any(|task| summary.by_loss(task));
    let accuracies = !losses || summary.tasks.iter().any(|task| !summary.by_loss(task));
    let page = Page {
        name: &results.grid.name,
        description: &results.grid.description,
        control: match verdict.control {
            Control::Passes => ("ok", "control passes"),
            Control::Fails => ("bad", "control fails"),
            Control::Trivial => ("part", "control shows nothing"),
            Control::Untested => ("part", "control untested beyond"),
            Control::Unfinished => ("part", "control unfinished"),
            Control::Absent => ("part", "no control"),
            Control::NotNeeded => ("part", "losses only"),
        },
        guards: guards::guards(&verdict.controls),
        without: match verdict.controls.checks.iter().any(|check| check.kind == Kind::OrderFree) {
            true => String::new(),
            false => verdict.control_text.clone(),
        },
        absent: verdict.controls.absent_text().unwrap_or_default(),
        goals: match results.grid.targets.is_empty() {
            true => guards::Goals::default(),
            false => guards::goals(&Checked::of(results)),
        },
        rankings: ranking::tables(summary, &verdict.ranking),
        mean_ranks: ranking::means(summary, &verdict.ranking),
        over: crate::verdict::join(&verdict.ranking.over),
        facts: facts(results, summary),
        by: &summary.by,
        columns: &summary.columns,
        token_first: summary.metric == Metric::Token,
        accuracies,
        losses,
        curves_title: match (accuracies, losses) {
            (true, true) => "Accuracy and loss against length",
            (false, true) => "Loss against length",
            _ => "Accuracy against length",
        },
        unit: summary.unit(),
        mixed: crate::verdict::join(&summary.mixed),
        heatmap: heatmap::rows(summary),
        tasks,
        table_bins: table::bin_titles(summary).0,
        bin_lengths: !table::bin_titles(summary).1,
        table: table::rows(summary),
        csv: maps::base64(results_csv(results)?.as_bytes()),
        csv_name: format!("{}-results.csv", file_name(&results.grid.name)),
        troubles: troubles(results),
        provenance,
        configs,
        data: json(&data)?,
        style: include_str!("../../assets/report.css"),
        script: concat!(include_str!("../../assets/page.js"), include_str!("../../assets/report.js")),
        maps: &embedded,
        verdict,
    };
    Ok(page.render()?)
}

/// JSON that may stand in a script element: no `<`, so neither `</script` nor `<!--`.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    Ok(serde_json::to_string(value)?
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029"))
}

fn facts(results: &Results, summary: &Summary) -> Vec<(String, &'static str)> {
    let c = &summary.counts;
    let mut seeds: Vec<u64> = results.of_results().map(|r| r.planned.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    let count =
        |n: usize, one: &'static str, many: &'static str| (n.to_string(), if n == 1 { one } else { many });
    let mut facts = vec![
        (format!("{}/{}", c.done(), c.planned), "runs finished"),
        count(summary.tasks.len(), "task", "tasks"),
        match summary.by.as_str() {
            "position" => count(summary.columns.len(), "encoding", "encodings"),
            _ => count(summary.columns.len(), "column", "columns"),
        },
        count(seeds.len(), "seed", "seeds"),
    ];
    // Runs on a text can diverge and count as judged, but they have nothing to learn entirely.
    let judged = summary.cells.iter().filter(|cell| !summary.by_loss(&cell.task));
    let judged: usize = judged.map(|cell| cell.counts.judged()).sum();
    if judged > 0 || c.measured + c.trivial == 0 {
        facts.push((format!("{}/{judged}", c.fit()), "learned the training lengths"));
        let beyond = if c.fits == 0 { "of these hold beyond" } else { "of those tested beyond hold" };
        facts.push((format!("{}/{}", c.generalise, c.tested()), beyond));
    }
    if c.trivial > 0 {
        facts.push((c.trivial.to_string(), "show nothing: a constant passes"));
    }
    facts
}

fn troubles(results: &Results) -> Vec<String> {
    let mut troubles = Vec::new();
    for run in &results.runs {
        if let RunState::Unreadable { file, reason } = &run.state {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned());
            troubles.push(format!("{}, {}: {reason}", run.planned.id, name.unwrap_or_default()));
        }
        for warning in &run.warnings {
            troubles.push(format!("{}, {warning}", run.planned.id));
        }
    }
    troubles
}

/// What the runs were made with, without when: times differ between equal results.
fn provenance(results: &Results) -> (Pairs, Pairs) {
    let mut facts: Vec<(String, Vec<String>)> =
        ["attnlab", "revision", "machine"].map(|name| (name.to_owned(), Vec::new())).into();
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
    let safe: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    if safe.is_empty() { "grid".to_owned() } else { safe }
}
