//! The measurement for a terminal: times, local exponents, and what follows, a block for each panel.

use comfy_table::{Cell as Field, CellAlignment};

use crate::table::{TableStyle, clean, lined, plain, wrapped};

use super::record::{CostReport, Crossover, Estimated, Panel, Series, Setting};

/// Every panel: milliseconds a sequence, local exponents with their intervals, and a summary by form.
pub fn cost_table(report: &CostReport, style: TableStyle) -> String {
    let width = usize::from(style.width);
    let mut out = wrapped(&setting(&report.setting), width);
    for panel in panels(report) {
        let series: Vec<&Series> = report.series.iter().filter(|series| series.panel == panel).collect();
        let lengths = lengths(&series);
        out.push_str(&format!("\n{} (ms a sequence, median)\n", panel.title()));
        if !lengths.is_empty() {
            let what = "local exponents of the time, with 95 % intervals over the rounds";
            let exponents = exponents(&series, &lengths, style);
            out.push_str(&format!("{}{what}\n{exponents}", times(&series, &lengths, style)));
            out.push_str(&summary(&series, style));
        }
        for line in notes(&series) {
            out.push_str(&wrapped(&line, width));
        }
    }
    out
}

/// The panels, in the order in which they were measured.
pub(super) fn panels(report: &CostReport) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for series in &report.series {
        if !panels.contains(&series.panel) {
            panels.push(series.panel);
        }
    }
    panels
}

/// All lengths that some series has.
pub(super) fn lengths(series: &[&Series]) -> Vec<usize> {
    let points = series.iter().flat_map(|series| &series.points);
    let mut lengths: Vec<usize> = points.map(|point| point.length).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// What the numbers are of, in a sentence.
pub(super) fn setting(s: &Setting) -> String {
    let groups = if s.n_kv_heads == s.n_heads {
        String::new()
    } else {
        format!(" over {} key/value heads", s.n_kv_heads)
    };
    let caches: Vec<String> =
        s.caches.iter().map(|cache| format!("{} {}", cache.name, bytes(cache.bytes))).collect();
    let caches = if caches.is_empty() { String::new() } else { format!("; caches: {}", caches.join(", ")) };
    format!(
        "Model {}: D = {}, {} heads of {}{groups}, {} layers, {} tokens to choose from; window {}, {} sinks, blocks of {} \
         with {} kept, top {}; {} rounds, seed {}{caches}.",
        clean(&s.model),
        s.d_model,
        s.n_heads,
        s.head_dim,
        s.n_layers,
        s.vocab,
        s.window,
        s.sinks,
        s.block,
        s.keep,
        s.top_k,
        s.repeats,
        s.seed
    )
}

fn times(series: &[&Series], lengths: &[usize], style: TableStyle) -> String {
    let header = std::iter::once("N".to_owned()).chain(lengths.iter().map(usize::to_string));
    let rows = series.iter().map(|series| {
        let time = |length: &usize| {
            let point = series.points.iter().find(|point| point.length == *length);
            point.map_or("–".to_owned(), |point| milliseconds(point.ms.median))
        };
        std::iter::once(series.form.clone()).chain(lengths.iter().map(time)).collect()
    });
    laid_out(header, rows, style)
}

fn exponents(series: &[&Series], lengths: &[usize], style: TableStyle) -> String {
    let header = std::iter::once("to N".to_owned()).chain(lengths.iter().skip(1).map(usize::to_string));
    let rows = series.iter().map(|series| {
        let one = |length: &usize| {
            let found = series.exponents.iter().find(|exponents| exponents.to == *length);
            found.map_or("–".to_owned(), |e| format!("{:.2}\n{}", e.time.value, interval(&e.time)))
        };
        std::iter::once(series.form.clone()).chain(lengths.iter().skip(1).map(one)).collect()
    });
    laid_out(header, rows, style)
}

fn summary(series: &[&Series], style: TableStyle) -> String {
    let header = [
        "at the longest N",
        "time",
        "memory",
        "operations",
        "aN² + bN + c (ms)",
        "N² leads from",
        "faster than full",
    ];
    let rows = series.iter().map(|series| {
        let last = series.exponents.last();
        let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.2}"));
        vec![
            series.form.clone(),
            number(last.map(|e| e.time.value)),
            number(last.and_then(|e| e.memory)),
            number(last.map(|e| e.operations)),
            series.fit.map_or("–".to_owned(), |fit| {
                format!("{:.1e}, {:.1e}, {:.1e}", fit.a.value, fit.b.value, fit.c.value)
            }),
            leads(series),
            series.crossover.as_ref().map_or("–".to_owned(), crossover),
        ]
    });
    laid_out(header.map(str::to_owned).into_iter(), rows, style)
}

/// From where on the quadratic part of the fit is more than the rest.
pub(super) fn leads(series: &Series) -> String {
    match series.fit {
        None => "–".to_owned(),
        Some(fit) => fit.quadratic_from.map_or("never".to_owned(), |n| format!("{n:.0}")),
    }
}

/// `from 310 [280, 350]`.
pub(super) fn crossover(found: &Crossover) -> String {
    let end = |end: &Option<f64>, open: &str| end.map_or(open.to_owned(), |end| format!("{end:.0}"));
    match found {
        Crossover::Below { length } => format!("always, from {length}"),
        Crossover::At { length, low, high } => {
            format!("from {length:.0} [{}, {}]", end(low, "any"), end(high, "none"))
        }
        Crossover::NotWithin { length } => format!("not up to {length}"),
    }
}

/// Where a series was broken off, and where its memory leaves a cache.
pub(super) fn notes(series: &[&Series]) -> Vec<String> {
    let mut notes = Vec::new();
    for series in series {
        if let Some(skipped) = &series.skipped {
            notes.push(format!(
                "{}: not measured from N = {} on: {}.",
                series.form, skipped.length, skipped.why
            ));
        }
    }
    let steps: Vec<String> = series.iter().filter_map(|series| cache_steps(series)).collect();
    if !steps.is_empty() {
        notes.push(format!("Steps of the caches: {}.", steps.join("; ")));
    }
    notes
}

/// `full leaves L1 at 128 and L2 at 256`.
fn cache_steps(series: &Series) -> Option<String> {
    let steps: Vec<String> = series
        .points
        .windows(2)
        .filter_map(|pair| match pair {
            [a, b] if a.cache != b.cache => Some(format!("{} at {}", a.cache.as_deref()?, b.length)),
            _ => None,
        })
        .collect();
    (!steps.is_empty()).then(|| format!("{} leaves {}", series.form, steps.join(" and ")))
}

pub(super) fn interval(e: &Estimated) -> String {
    format!("{:.2}–{:.2}", e.low, e.high)
}

/// Three digits.
pub(super) fn milliseconds(ms: f64) -> String {
    let decimals = if ms > 0.0 { (2 - ms.log10().floor() as i32).clamp(0, 4) as usize } else { 0 };
    format!("{ms:.decimals$}")
}

/// `512 KiB`.
pub(super) fn bytes(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = (bytes.max(1).ilog2() / 10).min(4);
    let value = bytes as f64 / 1024f64.powi(power as i32);
    let decimals = if power == 0 || value >= 10.0 || value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.decimals$} {}", units[power as usize])
}

fn laid_out(
    header: impl Iterator<Item = String>,
    rows: impl Iterator<Item = Vec<String>>,
    style: TableStyle,
) -> String {
    let fields = |row: Vec<String>| -> Vec<Field> { row.iter().map(|text| plain(text)).collect() };
    let mut table = lined(style);
    table.set_header(fields(header.collect()));
    table.add_rows(rows.map(fields));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    format!("{}\n", lines.join("\n"))
}
