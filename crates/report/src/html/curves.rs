//! Accuracy, or loss, against length: the figure that shows which encodings generalise.

use std::fmt::Write;

use serde::Serialize;

use crate::read::Results;
use crate::record::{Metric, range};
use crate::summary::Summary;

use super::points::{BOTTOM, HEIGHT, LEFT, Point, RIGHT, Shown, TOP, WIDTH, chance_at, points, scales};
use super::svg::{Paint, Scale, dashes, escape, marker, path, shortened, tick_text, ticks};

/// Lines with more points than this have no markers.
const MOST_MARKERS: usize = 32;

/// What the page's script needs to answer a pointer over a figure.
#[derive(Serialize)]
pub(crate) struct ChartData {
    task: String,
    from: f64,
    to: f64,
    left: f64,
    right: f64,
    width: f64,
    lengths: Vec<f64>,
    series: Vec<SeriesData>,
    chance: [Vec<Option<f64>>; 2],
    /// Whether the values are losses in nats, both times the same, instead of shares.
    nats: bool,
}

#[derive(Serialize)]
struct SeriesData {
    column: usize,
    /// exact, token → for each length: mean, low, high; or null.
    values: [Vec<Option<[f64; 3]>>; 2],
}

/// A standalone SVG of a task's length curves, by the task's own metric, for a README or a talk. A task that the grid does not
/// have gives a figure that says so.
pub fn figure_svg(results: &Results, summary: &Summary, task: &str) -> String {
    let metric = summary.of_task(task).next().map_or(summary.metric, |cell| cell.metric);
    let shown = if summary.by_loss(task) { Shown::Loss } else { Shown::Accuracy(metric) };
    let axis = match shown {
        Shown::Accuracy(Metric::Exact) => "sequences entirely right (%)",
        Shown::Accuracy(Metric::Token) => "labels right (%)",
        Shown::Loss => "loss per token (nats), lower is better",
    };
    let head = 50.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" width=\"{WIDTH}\" height=\"{}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\">\
         <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
        HEIGHT + head,
        HEIGHT + head,
        escape(&format!("{task}: {} by length", shown.word()))
    );
    let _ = write!(
        out,
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#1c2128\">{}</text>\
         <text x=\"{LEFT}\" y=\"42\" fill=\"#667080\">{axis} · {}</text><g transform=\"translate(0 {head})\">",
        escape(&shortened(task, 60)),
        escape(&shortened(&results.grid.name, 50))
    );
    out.push_str(&frame(summary, task, Paint::Standalone));
    out.push_str(&layer(summary, task, shown, Paint::Standalone));
    out.push_str("</g></svg>\n");
    out
}

/// The figure in the page: both metrics drawn, one shown by the style sheet; or the loss.
pub(crate) fn inline(summary: &Summary, task: &str, index: usize) -> String {
    let mut out = format!(
        "<svg class=\"chart\" data-chart=\"{index}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" tabindex=\"0\" role=\"img\" \
         aria-label=\"{}\">",
        escape(&format!(
            "{task}: {} by length, a line for each {}. Arrow keys read the values.",
            if summary.by_loss(task) { "loss per token" } else { "accuracy" },
            summary.by
        ))
    );
    out.push_str(&frame(summary, task, Paint::Page));
    if summary.by_loss(task) {
        out.push_str(&layer(summary, task, Shown::Loss, Paint::Page));
    } else {
        for (metric, class) in [(Metric::Exact, "exact"), (Metric::Token, "token")] {
            let layer = layer(summary, task, Shown::Accuracy(metric), Paint::Page);
            let _ = write!(out, "<g class=\"{class}\">{layer}</g>");
        }
    }
    let _ = write!(out, "<line class=\"cross\" y1=\"{TOP}\" y2=\"{BOTTOM}\" x1=\"-9\" x2=\"-9\"/></svg>");
    out
}

/// What the figure shows, as numbers.
pub(crate) fn data(summary: &Summary, task: &str) -> ChartData {
    let (x, _) = scales(summary, task);
    let shown = Shown::both(summary, task);
    let cells: Vec<(usize, Vec<Point>)> =
        summary.of_task(task).map(|cell| (summary.column_index(&cell.column), points(cell))).collect();
    let mut lengths: Vec<f64> =
        cells.iter().flat_map(|(_, points)| points.iter().map(|p| p.length)).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let series = cells
        .iter()
        .filter(|(_, points)| !points.is_empty())
        .map(|(column, points)| SeriesData {
            column: *column,
            values: shown.map(|shown| {
                lengths
                    .iter()
                    .map(|length| {
                        let point = points.iter().find(|p| p.length == *length)?;
                        Some(point.value(shown)?.map(round))
                    })
                    .collect()
            }),
        })
        .collect();
    let chance = shown.map(|shown| lengths.iter().map(|l| chance_at(&cells, *l, shown).map(round)).collect());
    ChartData {
        task: task.to_owned(),
        from: x.from,
        to: x.to,
        left: x.start,
        right: x.end,
        width: WIDTH,
        lengths,
        series,
        chance,
        nats: summary.by_loss(task),
    }
}

/// Everything that does not depend on the metric.
fn frame(summary: &Summary, task: &str, paint: Paint) -> String {
    let (x, y) = scales(summary, task);
    let (grid, soft) = (paint.neutral("stroke", "grid"), paint.neutral("fill", "soft"));
    let mut out = String::new();
    let trained = summary.of_task(task).find_map(|cell| cell.train_lengths);
    if let Some((from, to)) = trained {
        let (start, end) = (x.at(from as f64) - 6.0, x.at(to as f64));
        let _ = write!(
            out,
            "<rect x=\"{start:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\" {}/>\
             <text x=\"{start:.1}\" y=\"{:.1}\" {soft}>trained on {}</text>",
            (end - start).max(2.0),
            BOTTOM - TOP,
            paint.neutral("fill", "shade"),
            TOP - 8.0,
            range(from, to),
        );
    }
    let (marks, times) = match summary.by_loss(task) {
        true => (ticks(y.from, y.to, 5), 1.0),
        false => (vec![0.0, 0.25, 0.5, 0.75, 1.0], 100.0),
    };
    for tick in marks {
        let at = y.at(tick);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" {grid}/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" {soft}>{}</text>",
            LEFT - 8.0,
            at + 4.0,
            tick_text(tick * times)
        );
    }
    for tick in ticks(x.from, x.to, 8) {
        let at = x.at(tick);
        let _ = write!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{BOTTOM}\" y2=\"{:.1}\" {}/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {soft}>{}</text>",
            BOTTOM + 5.0,
            paint.neutral("stroke", "soft"),
            BOTTOM + 19.0,
            tick_text(tick)
        );
    }
    let _ = write!(
        out,
        "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" {}/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {soft}>length of the input</text>",
        paint.neutral("stroke", "soft"),
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 38.0
    );
    if summary.of_task(task).all(|cell| points(cell).is_empty()) {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"15\" {soft}>no finished run yet</text>",
            (LEFT + RIGHT) / 2.0,
            (TOP + BOTTOM) / 2.0
        );
    }
    out
}

/// Chance, bands, lines, published points and the names at the lines' ends, for one metric or the loss.
fn layer(summary: &Summary, task: &str, shown: Shown, paint: Paint) -> String {
    let (x, y) = scales(summary, task);
    let cells: Vec<(usize, Vec<Point>)> =
        summary.of_task(task).map(|cell| (summary.column_index(&cell.column), points(cell))).collect();
    let mut out = chance_line(&cells, shown, &x, &y, paint);
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (index, points) in &cells {
        let values: Vec<(f64, [f64; 3])> =
            points.iter().filter_map(|p| Some((x.at(p.length), p.value(shown)?.map(|v| y.at(v))))).collect();
        let places: Vec<(f64, f64)> = values.iter().map(|(px, [mean, ..])| (*px, *mean)).collect();
        let Some((_, last)) = places.last() else { continue };
        names.push((*last, *index));
        let upper = values.iter().map(|(px, [_, _, high])| (*px, *high));
        let lower = values.iter().rev().map(|(px, [_, low, _])| (*px, *low));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        let (fill, stroke) = (paint.column("fill", *index), paint.column("stroke", *index));
        let _ = write!(
            out,
            "<g class=\"enc e{index}\"><polygon points=\"{}\" opacity=\"0.16\" {fill}/>\
             <polyline points=\"{}\" fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\"{} {stroke}/>",
            path(&outline),
            path(&places),
            dashes(*index)
        );
        if places.len() <= MOST_MARKERS {
            for (px, py) in places {
                out.push_str(&marker(px, py, *index, &fill));
            }
        }
        out.push_str("</g>");
    }
    if let Shown::Accuracy(metric) = shown {
        out.push_str(&published(summary, task, metric, &x, &y, paint));
    }
    out.push_str(&end_names(summary, names, paint));
    out
}

fn chance_line(cells: &[(usize, Vec<Point>)], shown: Shown, x: &Scale, y: &Scale, paint: Paint) -> String {
    let mut lengths: Vec<f64> =
        cells.iter().flat_map(|(_, points)| points.iter().map(|p| p.length)).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    let line: Vec<(f64, f64)> = lengths
        .iter()
        .filter_map(|length| Some((x.at(*length), y.at(chance_at(cells, *length, shown)?))))
        .collect();
    let Some((_, first)) = line.first() else {
        return String::new();
    };
    format!(
        "<polyline points=\"{}\" fill=\"none\" stroke-width=\"1.4\" stroke-dasharray=\"5 4\" {}/>\
         <text x=\"{:.1}\" y=\"{:.1}\" {}>chance</text>",
        path(&line),
        paint.neutral("stroke", "soft"),
        LEFT + 8.0,
        first - 5.0,
        paint.neutral("fill", "soft"),
    )
}

/// Published numbers as hollow diamonds over the middle of their bins.
fn published(summary: &Summary, task: &str, metric: Metric, x: &Scale, y: &Scale, paint: Paint) -> String {
    let mut out = String::new();
    for cell in summary.of_task(task) {
        let index = summary.column_index(&cell.column);
        for numbers in cell.published.iter().filter(|p| p.metric == metric) {
            for (bin, percent) in cell.bins.iter().zip(&numbers.percent) {
                let px = x.at((bin.from + bin.to) as f64 / 2.0);
                let py = y.at(percent / 100.0);
                let _ = write!(
                    out,
                    "<g class=\"enc e{index}\"><polygon points=\"{}\" stroke-width=\"2\" {}><title>{}</title></polygon></g>",
                    path(&[(px, py - 7.0), (px + 7.0, py), (px, py + 7.0), (px - 7.0, py)]),
                    paint.outline(index),
                    escape(&format!(
                        "{}, {}: {percent} % at {}–{} ({})",
                        cell.task, cell.column, bin.from, bin.to, numbers.source
                    ))
                );
            }
        }
    }
    out
}

/// The lines' names at their ends, moved apart where they would touch.
fn end_names(summary: &Summary, mut names: Vec<(f64, usize)>, paint: Paint) -> String {
    names.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let gap = (15.0f64).min((BOTTOM - TOP + 24.0) / names.len().max(1) as f64);
    let mut places: Vec<f64> = names.iter().map(|(y, _)| *y).collect();
    let mut floor = TOP - 12.0;
    for place in &mut places {
        *place = place.max(floor);
        floor = *place + gap;
    }
    let mut ceiling = BOTTOM + 4.0;
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - gap;
    }
    let mut out = String::new();
    for ((y, index), place) in names.iter().zip(&places) {
        let Some(name) = summary.columns.get(*index) else {
            continue;
        };
        let _ = write!(
            out,
            "<g class=\"enc e{index}\"><polyline points=\"{}\" fill=\"none\" stroke-width=\"1\" opacity=\"0.5\" {}/>{}\
             <text x=\"{:.1}\" y=\"{:.1}\" {}>{}</text></g>",
            path(&[(RIGHT + 4.0, *y), (RIGHT + 16.0, *place)]),
            paint.column("stroke", *index),
            marker(RIGHT + 22.0, *place, *index, &paint.column("fill", *index)),
            RIGHT + 31.0,
            place + 4.0,
            paint.neutral("fill", "ink"),
            escape(&shortened(name, 19))
        );
    }
    out
}
