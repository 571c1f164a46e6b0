//! Accuracy against length: the figure that shows which encodings generalise.

use std::fmt::Write;

use serde::Serialize;

use crate::read::Results;
use crate::record::Metric;
use crate::statistics::mean;
use crate::summary::{Cell, Estimate, Scores, Summary};

use super::svg::{Paint, Scale, dashes, escape, marker, path, shortened, tick_text, ticks};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 472.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 272.0;
const METRICS: [(Metric, &str); 2] = [(Metric::Exact, "exact"), (Metric::Token, "token")];
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
}

#[derive(Serialize)]
struct SeriesData {
    column: usize,
    /// exact, token → for each length: mean, low, high; or null.
    values: [Vec<Option<[f64; 3]>>; 2],
}

struct Point {
    length: f64,
    scores: Scores,
    chance: [f64; 2],
}

/// A standalone SVG of a task's length curves, by the task's own metric, for a README or a talk. A task that the grid does not
/// have gives a figure that says so.
pub fn figure_svg(results: &Results, summary: &Summary, task: &str) -> String {
    let metric = summary.of_task(task).next().map_or(summary.metric, |cell| cell.metric);
    let wanted: Vec<_> = METRICS.iter().filter(|(m, _)| *m == metric).collect();
    let axis = match metric {
        Metric::Exact => "sequences entirely right (%)",
        Metric::Token => "labels right (%)",
    };
    let head = 50.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" width=\"{WIDTH}\" height=\"{}\" \
         font-family=\"system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"12\" role=\"img\">\
         <title>{}</title><rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
        HEIGHT + head,
        HEIGHT + head,
        escape(&format!("{task}: accuracy by length"))
    );
    let _ = write!(
        out,
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"600\" fill=\"#1c2128\">{}</text>\
         <text x=\"{LEFT}\" y=\"42\" fill=\"#667080\">{axis} · {}</text><g transform=\"translate(0 {head})\">",
        escape(&shortened(task, 60)),
        escape(&shortened(&results.grid.name, 50))
    );
    out.push_str(&frame(summary, task, Paint::Standalone));
    for (metric, _) in wanted {
        out.push_str(&layer(summary, task, *metric, Paint::Standalone));
    }
    out.push_str("</g></svg>\n");
    out
}

/// The figure in the page: both metrics drawn, one shown by the style sheet.
pub(crate) fn inline(summary: &Summary, task: &str, index: usize) -> String {
    let mut out = format!(
        "<svg class=\"chart\" data-chart=\"{index}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" tabindex=\"0\" role=\"img\" \
         aria-label=\"{}\">",
        escape(&format!(
            "{task}: accuracy by length, a line for each {}. Arrow keys read the values.",
            summary.by
        ))
    );
    out.push_str(&frame(summary, task, Paint::Page));
    for (metric, class) in METRICS {
        let _ = write!(out, "<g class=\"{class}\">{}</g>", layer(summary, task, metric, Paint::Page));
    }
    let _ = write!(out, "<line class=\"cross\" y1=\"{TOP}\" y2=\"{BOTTOM}\" x1=\"-9\" x2=\"-9\"/></svg>");
    out
}

/// What the figure shows, as numbers.
pub(crate) fn data(summary: &Summary, task: &str) -> ChartData {
    let (x, _) = scales(summary, task);
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
            values: METRICS.map(|(metric, _)| {
                lengths
                    .iter()
                    .map(|length| {
                        let point = points.iter().find(|p| p.length == *length)?;
                        let e = point.scores.of(metric);
                        let (low, high) = ends(&e);
                        Some([round(e.mean), round(low), round(high)])
                    })
                    .collect()
            }),
        })
        .collect();
    let chance =
        [0, 1].map(|m| lengths.iter().map(|length| chance_at(&cells, *length, m).map(round)).collect());
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
    }
}

/// The curve, or the bins' middles where a run recorded no curve.
fn points(cell: &Cell) -> Vec<Point> {
    let both = |chance: &crate::record::Accuracy| METRICS.map(|(m, _)| chance.of(m));
    if cell.curve.is_empty() {
        let bins = cell.bins.iter().map(|bin| Point {
            length: (bin.from + bin.to) as f64 / 2.0,
            scores: bin.all,
            chance: both(&bin.chance),
        });
        return bins.collect();
    }
    let curve = cell.curve.iter().map(|point| Point {
        length: point.length as f64,
        scores: point.all,
        chance: both(&point.chance),
    });
    curve.collect()
}

fn scales(summary: &Summary, task: &str) -> (Scale, Scale) {
    let mut from = f64::INFINITY;
    let mut to = f64::NEG_INFINITY;
    for cell in summary.of_task(task) {
        let trained = cell.train_lengths.map(|(a, b)| [a as f64, b as f64]);
        let lengths = points(cell).into_iter().map(|p| p.length);
        for length in lengths.chain(trained.into_iter().flatten()) {
            from = from.min(length);
            to = to.max(length);
        }
    }
    if from > to {
        (from, to) = (0.0, 1.0);
    }
    let x = Scale { from, to, start: LEFT + 6.0, end: RIGHT };
    let y = Scale { from: 0.0, to: 1.0, start: BOTTOM - 4.0, end: TOP + 4.0 };
    (x, y)
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
             <text x=\"{start:.1}\" y=\"{:.1}\" {soft}>trained on {from}–{to}</text>",
            (end - start).max(2.0),
            BOTTOM - TOP,
            paint.neutral("fill", "shade"),
            TOP - 8.0,
        );
    }
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let at = y.at(tick);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" {grid}/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" {soft}>{}</text>",
            LEFT - 8.0,
            at + 4.0,
            tick_text(tick * 100.0)
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

/// Chance, bands, lines, published points and the names at the lines' ends, for one metric.
fn layer(summary: &Summary, task: &str, metric: Metric, paint: Paint) -> String {
    let (x, y) = scales(summary, task);
    let cells: Vec<(usize, Vec<Point>)> =
        summary.of_task(task).map(|cell| (summary.column_index(&cell.column), points(cell))).collect();
    let mut out = chance_line(&cells, metric, &x, &y, paint);
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (index, points) in &cells {
        let Some(last) = points.last() else { continue };
        names.push((y.at(last.scores.of(metric).mean), *index));
        let places: Vec<(f64, f64)> =
            points.iter().map(|p| (x.at(p.length), y.at(p.scores.of(metric).mean))).collect();
        let band = |end: fn((f64, f64)) -> f64| {
            points.iter().map(move |p| (x.at(p.length), y.at(end(ends(&p.scores.of(metric))))))
        };
        let mut outline: Vec<(f64, f64)> = band(|e| e.1).collect();
        let mut lower: Vec<(f64, f64)> = band(|e| e.0).collect();
        lower.reverse();
        outline.append(&mut lower);
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
    out.push_str(&published(summary, task, metric, &x, &y, paint));
    out.push_str(&end_names(summary, names, paint));
    out
}

fn chance_line(cells: &[(usize, Vec<Point>)], metric: Metric, x: &Scale, y: &Scale, paint: Paint) -> String {
    let which = usize::from(metric == Metric::Token);
    let mut lengths: Vec<f64> =
        cells.iter().flat_map(|(_, points)| points.iter().map(|p| p.length)).collect();
    lengths.sort_by(f64::total_cmp);
    lengths.dedup();
    let line: Vec<(f64, f64)> = lengths
        .iter()
        .filter_map(|length| Some((x.at(*length), y.at(chance_at(cells, *length, which)?))))
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

fn chance_at(cells: &[(usize, Vec<Point>)], length: f64, metric: usize) -> Option<f64> {
    let values: Vec<f64> = cells
        .iter()
        .flat_map(|(_, points)| points)
        .filter(|p| p.length == length)
        .filter_map(|p| p.chance.get(metric).copied())
        .collect();
    mean(&values)
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

fn ends(estimate: &Estimate) -> (f64, f64) {
    estimate.interval.map_or((estimate.mean, estimate.mean), |i| (i.low, i.high))
}
