//! One HTML file that opens offline: figures and tables of each panel.

use askama::Template;

use crate::html::HtmlError;

use super::figure::{Quantity, figure};
use super::record::{CostReport, Panel, Series};
use super::table::{bytes, crossover, interval, leads, lengths, milliseconds, notes, panels, setting};

#[derive(Template)]
#[template(path = "cost.html")]
struct Page<'a> {
    setting: String,
    forms: Vec<FormRow<'a>>,
    panels: Vec<PanelView>,
    style: &'static str,
}

struct FormRow<'a> {
    name: &'a str,
    about: &'a str,
    operations: &'a str,
}

struct PanelView {
    title: String,
    figures: Vec<(&'static str, String)>,
    lengths: Vec<usize>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

struct Row {
    index: usize,
    form: String,
    /// One for each length; none where it was not measured.
    fields: Vec<Option<FieldView>>,
    memory: String,
    operations: String,
    fit: String,
    leads: String,
    crossover: String,
}

struct FieldView {
    ms: String,
    exponent: String,
    title: String,
}

/// The page. The same measurement gives the same bytes.
///
/// # Errors
/// If the template fails.
pub fn cost_html(report: &CostReport) -> Result<String, HtmlError> {
    let names: Vec<String> = report.forms.iter().map(|form| form.name.clone()).collect();
    let forms = report.forms.iter();
    let page = Page {
        setting: setting(&report.setting),
        forms: forms
            .map(|form| FormRow { name: &form.name, about: &form.about, operations: &form.operations })
            .collect(),
        panels: panels(report).into_iter().filter_map(|panel| panel_view(report, panel, &names)).collect(),
        style: include_str!("../../assets/report.css"),
    };
    Ok(page.render()?)
}

fn panel_view(report: &CostReport, panel: Panel, names: &[String]) -> Option<PanelView> {
    let series: Vec<&Series> = report.series.iter().filter(|series| series.panel == panel).collect();
    let lengths = lengths(&series);
    let title = panel.title();
    let one = |quantity: Quantity| Some((quantity.caption(), figure(&series, names, quantity, &title)?));
    let figures = Quantity::ALL.into_iter().filter_map(one).collect();
    let rows = series.iter().map(|series| row(series, names, &lengths)).collect();
    let notes = notes(&series);
    (!lengths.is_empty()).then_some(PanelView { title, figures, lengths, rows, notes })
}

fn row(series: &Series, names: &[String], lengths: &[usize]) -> Row {
    let field = |length: &usize| {
        let point = series.points.iter().find(|point| point.length == *length)?;
        let exponent = series.exponents.iter().find(|exponents| exponents.to == *length);
        let memory = point.peak_bytes.map_or(String::new(), |held| format!(", {} held", bytes(held)));
        let cpu = point.cpu_ms.map_or(String::new(), |cpu| format!(", CPU {} ms", milliseconds(cpu.median)));
        Some(FieldView {
            ms: milliseconds(point.ms.median),
            exponent: exponent
                .map_or(String::new(), |e| format!("{:.2} [{}]", e.time.value, interval(&e.time))),
            title: format!(
                "N = {length}, B = {}: shortest {} ms{cpu}{memory}, {} operations of attention, {} of all",
                point.batch,
                milliseconds(point.ms.min),
                point.attention_flops,
                point.flops
            ),
        })
    };
    let last = series.exponents.last();
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
    Row {
        index: names.iter().position(|name| *name == series.form).unwrap_or(0) % 8,
        form: series.form.clone(),
        fields: lengths.iter().map(field).collect(),
        memory: number(last.and_then(|e| e.memory)),
        operations: number(last.map(|e| e.operations)),
        fit: series.fit.map_or("–".to_owned(), |fit| {
            format!("{:.1e}·N² + {:.1e}·N + {:.1e}", fit.a.value, fit.b.value, fit.c.value)
        }),
        leads: leads(series),
        crossover: series.crossover.as_ref().map_or("–".to_owned(), crossover),
    }
}
