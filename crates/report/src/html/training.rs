//! Training curves: one thin line a run, in its encoding's colour.

use std::fmt::Write;

use crate::read::{Results, Run};
use crate::record::{Metric, MetricLine};
use crate::summary::Summary;

use super::svg::{Paint, Scale, dashes, escape, path, tick_text, ticks};

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 236.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 500.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 196.0;
/// Points a line is thinned to; the last one always stays.
const MOST_POINTS: usize = 180;

/// Loss and in-distribution accuracy over the steps of one task's runs.
pub(crate) struct Training {
    pub(crate) loss: String,
    pub(crate) accuracy: String,
    pub(crate) loss_caption: &'static str,
    pub(crate) accuracy_caption: &'static str,
}

struct Line {
    column: usize,
    points: Vec<(f64, f64)>,
}

/// `None` when no run of the task has logged a step.
pub(crate) fn training(results: &Results, summary: &Summary, task: &str) -> Option<Training> {
    let runs: Vec<&Run> =
        results.of_results().filter(|run| run.planned.task == task && !run.metrics.is_empty()).collect();
    if runs.is_empty() {
        return None;
    }
    let by_loss = summary.by_loss(task);
    // Hardly ever is a whole text right: there the share of tokens is what moves.
    let metric = match by_loss {
        true => Metric::Token,
        false => summary.of_task(task).next().map_or(summary.metric, |cell| cell.metric),
    };
    let lines = |value: &dyn Fn(&MetricLine) -> Option<f64>| -> Vec<Line> {
        runs.iter()
            .map(|run| {
                let points: Vec<(f64, f64)> = run
                    .metrics
                    .iter()
                    .filter_map(|m| Some((m.step as f64, value(m).filter(|v| v.is_finite())?)))
                    .collect();
                let column = summary.column_index(&summary.column_of(&run.planned));
                Line { column, points: thinned(points) }
            })
            .collect()
    };
    let losses = lines(&|m| Some(m.loss));
    let accuracies = lines(&|m| m.accuracy.map(|a| a.of(metric)));
    let what = match metric {
        Metric::Exact => "sequences entirely right (%)",
        Metric::Token => "labels right (%)",
    };
    let (loss_caption, accuracy_caption) = match by_loss {
        true => ("loss per token, in nats", "next token guessed right, on the training lengths, in percent"),
        false => ("loss per label, in nats", "accuracy on the training lengths, in percent"),
    };
    Some(Training {
        loss_caption,
        accuracy_caption,
        loss: chart(task, "loss per label (nats)", &losses, ceiling(&losses), 1.0),
        accuracy: chart(task, &format!("on training lengths: {what}"), &accuracies, 1.0, 100.0),
    })
}

fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    points
        .into_iter()
        .enumerate()
        .filter(|(i, _)| i % stride == 0 || *i == last)
        .map(|(_, point)| point)
        .collect()
}

/// The 98th percentile: one exploding run must not flatten the others.
fn ceiling(lines: &[Line]) -> f64 {
    let mut values: Vec<f64> = lines.iter().flat_map(|l| l.points.iter().map(|p| p.1)).collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len() as f64 * 0.98) as usize;
    let top = values.get(at.min(values.len().saturating_sub(1)));
    top.map_or(1.0, |v| v * 1.05).max(1e-6)
}

fn chart(task: &str, title: &str, lines: &[Line], top: f64, times: f64) -> String {
    let last = lines.iter().filter_map(|l| l.points.last()).map(|p| p.0).fold(1.0, f64::max);
    let first = lines.iter().filter_map(|l| l.points.first()).map(|p| p.0).fold(last, f64::min).max(1.0);
    let y = Scale { from: 0.0, to: top, start: BOTTOM, end: TOP };
    let mut out = format!(
        "<svg class=\"train\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&format!("{task}, {title}, over the training steps"))
    );
    for tick in ticks(0.0, top, 4) {
        let at = y.at(tick);
        let _ = write!(
            out,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 7.0,
            at + 4.0,
            tick_text(tick * times)
        );
    }
    let linear = Scale { from: 0.0, to: last, start: LEFT, end: RIGHT };
    let decades = Scale { from: first.log10(), to: last.log10(), ..linear };
    let plain = ticks(0.0, last, 5);
    out.push_str(&group("lin", lines, &plain, |v| linear.at(v), &y));
    let powers: Vec<f64> = (0..12).map(|p| 10f64.powi(p)).filter(|v| *v >= first && *v <= last).collect();
    out.push_str(&group("log", lines, &powers, |v| decades.at(v.max(first).log10()), &y));
    let _ = write!(
        out,
        "<text class=\"tick mid\" x=\"{:.1}\" y=\"{:.1}\">step</text></svg>",
        (LEFT + RIGHT) / 2.0,
        HEIGHT - 4.0
    );
    out
}

fn group(class: &str, lines: &[Line], marks: &[f64], x: impl Fn(f64) -> f64, y: &Scale) -> String {
    let mut out = format!("<g class=\"{class}\">");
    for tick in marks {
        let _ = write!(
            out,
            "<text class=\"tick mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x(*tick),
            BOTTOM + 18.0,
            tick_text(*tick)
        );
    }
    for line in lines.iter().filter(|line| !line.points.is_empty()) {
        let places: Vec<(f64, f64)> =
            line.points.iter().map(|(step, value)| (x(*step), y.at(value.min(y.to)))).collect();
        let _ = write!(
            out,
            "<polyline class=\"enc e{}\" points=\"{}\" fill=\"none\" stroke-width=\"1.6\" stroke-linejoin=\"round\" \
             opacity=\"0.8\"{} {}/>",
            line.column,
            path(&places),
            dashes(line.column),
            Paint::Page.column("stroke", line.column)
        );
    }
    out.push_str("</g>");
    out
}
