//! A survey as tables: for the terminal, as CSV, as JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use attnlab_heads::{HeadResult, Metric, SurveyResult, registry};
use attnlab_model::ModelConfig;
use comfy_table::{CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;
use serde_json::Value;

use super::survey::Reading;
use crate::model::Model;
use crate::say;

/// The statistics that a terminal has room for.
const SHOWN: [(&str, &str); 9] = [
    ("first_token", "first token"),
    ("previous_token", "previous"),
    ("current_token", "current"),
    ("duplicate_token", "duplicate"),
    ("induction", "induction"),
    ("normalised_entropy", "entropy/max"),
    ("n_95", "n95"),
    ("top1_mass", "largest"),
    ("mean_distance", "distance"),
];

/// A line under the head and none between rows: they are many and belong together.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table for the terminal, numbers to the right.
pub(super) fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// The `top` heads by the statistic `by`, highest first, and what uniform attention scores.
pub(super) fn heads(survey: &SurveyResult, by: &str, top: usize) -> String {
    let mut shown = SHOWN.to_vec();
    if !shown.iter().any(|(name, _)| *name == by) {
        shown.insert(0, (by, by));
    }
    let mut all: Vec<(usize, &HeadResult)> = survey
        .layers
        .iter()
        .flat_map(|layer| layer.heads.iter().map(move |head| (layer.layer, head)))
        .collect();
    let value = |head: &HeadResult| head.mean(by).unwrap_or(f64::NEG_INFINITY);
    all.sort_by(|a, b| value(b.1).total_cmp(&value(a.1)));
    let row = |name: String, head: &HeadResult| -> Vec<String> {
        let cells = shown.iter().map(|(name, _)| {
            head.values.get(name).map_or_else(String::new, |estimate| {
                let digits = if matches!(*name, "n_95" | "mean_distance") { 1 } else { 3 };
                match (estimate.mean, estimate.half_width) {
                    (Some(mean), Some(half)) => format!("{mean:.digits$} ±{half:.digits$}"),
                    (Some(mean), None) => format!("{mean:.digits$}"),
                    (None, _) => "–".to_owned(),
                }
            })
        });
        [name].into_iter().chain(cells).collect()
    };
    let count = all.len();
    let name = |layer: usize, head: &HeadResult| format!("L{layer}H{}", head.head.unwrap_or_default());
    let mut rows: Vec<_> =
        all.into_iter().take(top).map(|(layer, head)| row(name(layer, head), head)).collect();
    rows.extend(survey.layers.first().map(|layer| row("uniform".to_owned(), &layer.uniform)));
    let header: Vec<&str> = ["head"].into_iter().chain(shown.iter().map(|(_, title)| *title)).collect();
    let table = table(&header, rows);
    match count.saturating_sub(top) {
        0 => table,
        more => {
            format!("{table}\n{} more; --top 0 shows all, --by chooses the order", say::count(more, "head"))
        }
    }
}

/// What is said of a reading before its table.
pub(super) fn headline(model: &Model, reading: &Reading) -> String {
    let tokens = say::count(reading.survey.tokens, "token");
    let what = match reading.texts {
        1 => format!("{}: {tokens}", reading.label),
        n => format!("{}: {}, {tokens}", reading.label, say::count(n, "text")),
    };
    let loss = match (reading.loss, reading.copies) {
        (_, Some([first, second])) => {
            format!("; loss {first:.3} nats a token in the first copy, {second:.3} in the second")
        }
        (Some(loss), None) => format!("; loss {loss:.4} nats a token, perplexity {:.2}", loss.exp()),
        (None, None) => String::new(),
    };
    format!("{} ({})\n{what}{loss}", model.name, model.note)
}

/// Everything of one model, for programs. It is written from what is there: as a tree of values, the profiles of a long
/// text would take gigabytes.
#[derive(Serialize)]
pub(super) struct Everything<'a> {
    model: &'a str,
    note: &'a str,
    config: &'a ModelConfig,
    metrics: Vec<MetricEntry>,
    readings: Vec<ReadingEntry<'a>>,
    /// Answers to other questions, by name.
    #[serde(flatten)]
    answers: &'a BTreeMap<&'static str, Value>,
}

#[derive(Serialize)]
struct MetricEntry {
    name: &'static str,
    title: &'static str,
    formula: &'static str,
    source: &'static str,
}

#[derive(Serialize)]
struct ReadingEntry<'a> {
    text: &'a str,
    texts: usize,
    input_ids: &'a [u32],
    tokens: Vec<String>,
    loss: Option<f64>,
    loss_of_copies: Option<[f64; 2]>,
    survey: &'a SurveyResult,
}

impl<'a> Everything<'a> {
    pub(super) fn new(
        model: &'a Model,
        readings: &'a [Reading],
        answers: &'a BTreeMap<&'static str, Value>,
    ) -> Self {
        let metric = |metric: &Metric| MetricEntry {
            name: metric.name,
            title: metric.title,
            formula: metric.formula,
            source: metric.source,
        };
        let reading = |reading: &'a Reading| ReadingEntry {
            text: &reading.label,
            texts: reading.texts,
            input_ids: &reading.ids,
            tokens: reading.ids.iter().map(|&id| model.label(id)).collect(),
            loss: reading.loss,
            loss_of_copies: reading.copies,
            survey: &reading.survey,
        };
        Self {
            model: &model.name,
            note: &model.note,
            config: model.transformer.config(),
            metrics: registry().iter().map(metric).collect(),
            readings: readings.iter().map(reading).collect(),
            answers,
        }
    }
}

/// A line for each model, text and head, a column for each statistic.
pub(super) fn csv(all: &[(Model, Vec<Reading>)]) -> Result<Vec<u8>> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let names: Vec<&str> = registry().iter().map(|metric| metric.name).collect();
    out.write_record(["model", "text", "layer", "head"].into_iter().chain(names.iter().copied()))?;
    for (model, reading) in
        all.iter().flat_map(|(model, readings)| readings.iter().map(move |reading| (model, reading)))
    {
        for layer in &reading.survey.layers {
            for head in layer.heads.iter().chain([&layer.uniform]) {
                let number =
                    |name: &&str| head.mean(name).map_or_else(String::new, |value| value.to_string());
                let who = head.head.map_or_else(|| "uniform".to_owned(), |head| head.to_string());
                let cells = [model.name.clone(), reading.label.clone(), layer.layer.to_string(), who];
                out.write_record(cells.into_iter().chain(names.iter().map(number)))?;
            }
        }
    }
    Ok(out.into_inner()?)
}
