//! Cost against length on logarithmic axes, where a power is a straight line and its exponent the slope.

use std::fmt::Write;

use crate::html::svg::{Paint, Scale, dashes, escape, marker, path, shortened};

use super::record::{Point, Series};
use super::table::{bytes, lengths};

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 486.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 292.0;

/// What is drawn against the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantity {
    /// Milliseconds a sequence.
    Time,
    /// Peak bytes a sequence.
    Memory,
    /// Operations a sequence.
    Operations,
}

impl Quantity {
    pub(super) const ALL: [Self; 3] = [Self::Time, Self::Memory, Self::Operations];

    pub(super) fn caption(self) -> &'static str {
        match self {
            Self::Time => "wall-clock time of a sequence, median of the rounds",
            Self::Memory => "most memory held at a time, for each sequence of the batch",
            Self::Operations => "multiply-adds × 2 of a sequence, by the forms' formulas",
        }
    }

    fn of(self, point: &Point) -> Option<f64> {
        let a_sequence = |value: u64| value as f64 / point.batch as f64;
        let value = match self {
            Self::Time => point.ms.median,
            Self::Memory => a_sequence(point.peak_bytes?),
            Self::Operations => a_sequence(point.flops),
        };
        (value > 0.0).then_some(value)
    }

    fn text(self, value: f64) -> String {
        match self {
            Self::Time if value < 1.0 => format!("{:.0} µs", value * 1e3),
            Self::Time if value < 1e3 => format!("{value:.0} ms"),
            Self::Time => format!("{:.0} s", value / 1e3),
            Self::Memory => bytes(value as u64),
            Self::Operations => {
                let power = (value.log10() / 3.0).floor().clamp(0.0, 5.0) as usize;
                let unit = ["", "k", "M", "G", "T", "P"][power];
                format!("{:.0}{unit}", value / 1e3f64.powi(power as i32))
            }
        }
    }

    /// Of the marks on the axis: powers of ten, or of two to the tenth for bytes.
    fn step(self) -> f64 {
        if self == Self::Memory { 16f64.log10() } else { 1.0 }
    }
}

/// A figure of one panel, each form in its colour; none if nothing of the quantity is known.
pub(super) fn figure(
    series: &[&Series],
    forms: &[String],
    quantity: Quantity,
    title: &str,
) -> Option<String> {
    let lines: Vec<(usize, Vec<(f64, f64)>)> = series
        .iter()
        .filter_map(|series| {
            let index = forms.iter().position(|form| *form == series.form)?;
            let points = series.points.iter();
            let points = points.filter_map(|p| Some(((p.length as f64).log2(), quantity.of(p)?.log10())));
            Some((index, points.collect()))
        })
        .collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let (from, to) = range(all().map(|point| point.0))?;
    let (low, high) = range(all().map(|point| point.1))?;
    let air = (0.04 * (high - low)).max(0.05);
    let x = Scale { from, to, start: LEFT + 10.0, end: RIGHT };
    let y = Scale { from: low - air, to: high + air, start: BOTTOM, end: TOP };
    let caption = format!("{title}: {}", quantity.caption());
    let mut out = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(&caption)
    );
    out.push_str(&axes(&x, &y, quantity, &lengths(series)));
    out.push_str(&slopes(&x, &y));
    let mut names: Vec<(f64, usize)> = Vec::new();
    for (index, points) in &lines {
        let places: Vec<(f64, f64)> = points.iter().map(|(n, value)| (x.at(*n), y.at(*value))).collect();
        let Some((_, last)) = places.last() else { continue };
        names.push((*last, *index));
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"2\" stroke-linejoin=\"round\"{} {}/>",
            path(&places),
            dashes(*index),
            Paint::Page.column("stroke", *index)
        );
        for (px, py) in &places {
            out.push_str(&marker(*px, *py, *index, &Paint::Page.column("fill", *index)));
        }
    }
    out.push_str(&end_names(names, forms));
    out.push_str("</svg>");
    Some(out)
}

fn axes(x: &Scale, y: &Scale, quantity: Quantity, lengths: &[usize]) -> String {
    let (grid, soft) = (Paint::Page.neutral("stroke", "grid"), Paint::Page.neutral("fill", "soft"));
    let mut out = String::new();
    let step = quantity.step();
    // Not more than ten marks.
    let step = step * ((y.to - y.from) / step / 10.0).ceil().max(1.0);
    let mut tick = (y.from / step).ceil() * step;
    while tick <= y.to {
        let at = y.at(tick);
        let _ = write!(
            out,
            "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\" {grid}/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" {soft}>{}</text>",
            LEFT - 7.0,
            at + 4.0,
            quantity.text(10f64.powf(tick))
        );
        tick += step;
    }
    for length in lengths {
        let at = x.at((*length as f64).log2());
        let _ = write!(
            out,
            "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {soft}>{length}</text>",
            BOTTOM + 18.0
        );
    }
    let _ = write!(
        out,
        "<line x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\" {}/>\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" {soft}>length N</text>",
        Paint::Page.neutral("stroke", "soft"),
        (LEFT + RIGHT) / 2.0,
        BOTTOM + 38.0
    );
    out
}

/// What N and N² look like, from the lower left corner.
fn slopes(x: &Scale, y: &Scale) -> String {
    let mut out = String::new();
    for (power, name) in [(1.0, "N"), (2.0, "N²")] {
        // In logarithms to the base 10 of what grows with those to the base 2.
        let slope = power * std::f64::consts::LOG10_2;
        let run = ((y.to - y.from) / slope).min(x.to - x.from);
        let end = (x.at(x.from + run), y.at(y.from + run * slope));
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"1.2\" stroke-dasharray=\"2 4\" {}/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" {}>{name}</text>",
            path(&[(x.at(x.from), y.at(y.from)), end]),
            Paint::Page.neutral("stroke", "soft"),
            end.0 - 4.0,
            end.1 + 12.0,
            Paint::Page.neutral("fill", "soft")
        );
    }
    out
}

/// The forms' names at the lines' ends, moved apart where they would touch.
fn end_names(mut names: Vec<(f64, usize)>, forms: &[String]) -> String {
    names.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let gap = 15.0;
    let mut places: Vec<f64> = names.iter().map(|(y, _)| *y).collect();
    let mut ceiling = BOTTOM;
    for place in places.iter_mut().rev() {
        *place = place.min(ceiling);
        ceiling = *place - gap;
    }
    let mut floor = TOP - 6.0;
    for place in &mut places {
        *place = place.max(floor);
        floor = *place + gap;
    }
    let mut out = String::new();
    for ((y, index), place) in names.iter().zip(&places) {
        let Some(name) = forms.get(*index) else { continue };
        let _ = write!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke-width=\"1\" opacity=\"0.5\" {}/>{}\
             <text x=\"{:.1}\" y=\"{:.1}\" {}>{}</text>",
            path(&[(RIGHT + 4.0, *y), (RIGHT + 16.0, *place)]),
            Paint::Page.column("stroke", *index),
            marker(RIGHT + 22.0, *place, *index, &Paint::Page.column("fill", *index)),
            RIGHT + 31.0,
            place + 4.0,
            Paint::Page.neutral("fill", "ink"),
            escape(&shortened(name, 17))
        );
    }
    out
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| {
        let (low, high) = range.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    })
}
