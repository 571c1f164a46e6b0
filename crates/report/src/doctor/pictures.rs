//! The pictures of a checkup, as SVG whose colours follow the page's theme.

use std::fmt::Write;

use crate::html::svg::{Paint, Scale, dashes, escape, marker, path, tick_text, ticks};

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pictures {
    /// The largest sink rate, by layer and head.
    pub sinks: Map,
    /// Entropy over its maximum, by layer and head.
    pub entropy: Map,
    /// The share of the visible keys that holds a share of the weight.
    pub mass: Vec<Curve>,
    /// How far states are from their mean, by layer.
    pub residual: Stream,
    /// The first state's length over the others', by layer.
    pub peak: Stream,
    /// Entropy over its maximum by training step, one curve a head; empty where it was not logged.
    pub training: Vec<Curve>,
}

/// A value of 0 to 1 for each layer and head.
pub type Map = Vec<Vec<Option<f64>>>;
/// Curves over layers: 0 is what enters the first block, l what leaves block l − 1.
pub type Stream = Vec<Curve>;

/// A named line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// What it is of.
    pub name: String,
    /// Its points, by ascending abscissa.
    pub points: Vec<(f64, f64)>,
}

/// Layers from top to bottom, heads from left to right; a number in each field while there is room.
pub(super) fn map(title: &str, map: &Map) -> String {
    let (rows, columns) = (map.len(), map.iter().map(Vec::len).max().unwrap_or(0));
    if rows == 0 || columns == 0 {
        return String::new();
    }
    let cell = (560.0 / columns as f64).clamp(9.0, 44.0);
    let height = cell.min(24.0);
    let (left, top) = (34.0, 18.0);
    let (width, tall) = (left + cell * columns as f64 + 4.0, top + height * rows as f64 + 4.0);
    let mut out = format!(
        "<svg class=\"train\" viewBox=\"0 0 {width:.0} {tall:.0}\" style=\"max-width:{width:.0}px\" role=\"img\" \
         aria-label=\"{}: {rows} layers, {columns} heads\">",
        escape(title)
    );
    let every = (24.0 / cell).ceil().max(1.0) as usize;
    for head in (0..columns).step_by(every) {
        let x = left + cell * (head as f64 + 0.5);
        let _ = write!(out, "<text class=\"tick mid\" x=\"{x:.1}\" y=\"12\">{head}</text>");
    }
    for (layer, heads) in map.iter().enumerate() {
        let y = top + height * layer as f64;
        let middle = y + height / 2.0 + 4.0;
        let _ =
            write!(out, "<text class=\"tick end\" x=\"{:.1}\" y=\"{middle:.1}\">{layer}</text>", left - 6.0);
        for (head, value) in heads.iter().enumerate() {
            let x = left + cell * head as f64;
            let value = value.filter(|value| value.is_finite());
            let share = value.unwrap_or(0.0).clamp(0.0, 1.0);
            let shown = value.map_or("no value".to_owned(), |value| format!("{value:.3}"));
            let _ = write!(
                out,
                "<g><title>L{layer}H{head}: {shown}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" \
                 height=\"{:.1}\" rx=\"2\" style=\"fill:color-mix(in oklab,var(--c0) {:.0}%,var(--shade))\"/>",
                cell - 1.5,
                height - 1.5,
                100.0 * share
            );
            if cell >= 28.0
                && let Some(value) = value
            {
                let ink = if share > 0.55 { "var(--paper)" } else { "var(--ink)" };
                let _ = write!(
                    out,
                    "<text class=\"mid\" x=\"{:.1}\" y=\"{middle:.1}\" style=\"fill:{ink}\">{value:.2}</text>",
                    x + cell / 2.0
                );
            }
            out.push_str("</g>");
        }
    }
    out.push_str("</svg>");
    out
}

const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 500.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 208.0;
/// Lines that are named below the picture; of more the names would say nothing.
const NAMED: usize = 6;

/// Curves over layers.
pub(super) fn stream(title: &str, curves: &[Curve], top: Option<f64>) -> String {
    self::curves(title, "after so many blocks", curves, top)
}

/// Curves from 0 to `top`, or to their largest value, with their names below.
pub(super) fn curves(title: &str, x_title: &str, curves: &[Curve], top: Option<f64>) -> String {
    let points =
        || curves.iter().flat_map(|curve| &curve.points).filter(|(x, y)| x.is_finite() && y.is_finite());
    if points().count() == 0 {
        return String::new();
    }
    let largest = points().map(|(_, y)| *y).fold(0.0, f64::max);
    let top = top.unwrap_or(1.05 * largest).max(1e-9);
    let from = points().map(|(x, _)| *x).fold(f64::INFINITY, f64::min);
    let to = points().map(|(x, _)| *x).fold(f64::NEG_INFINITY, f64::max);
    let x = Scale { from, to, start: LEFT, end: RIGHT };
    let y = Scale { from: 0.0, to: top, start: BOTTOM, end: TOP };
    let mut out = format!(
        "<svg class=\"train\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escape(title)
    );
    for tick in ticks(0.0, top, 4) {
        let at = y.at(tick);
        let _ = write!(
            out,
            "<line class=\"rule\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"tick end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 7.0,
            at + 4.0,
            tick_text(tick)
        );
    }
    for tick in ticks(from, to, 6) {
        let _ = write!(
            out,
            "<text class=\"tick mid\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x.at(tick),
            BOTTOM + 18.0,
            tick_text(tick)
        );
    }
    let middle = (LEFT + RIGHT) / 2.0;
    let _ = write!(
        out,
        "<text class=\"tick mid\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
        HEIGHT - 6.0,
        escape(x_title)
    );
    for (index, curve) in curves.iter().enumerate() {
        let finite = curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let places: Vec<(f64, f64)> = finite.map(|&(a, b)| (x.at(a), y.at(b.clamp(0.0, top)))).collect();
        let _ = write!(
            out,
            "<g><title>{}</title><polyline points=\"{}\" fill=\"none\" stroke-width=\"1.8\"{} {}/>",
            escape(&curve.name),
            path(&places),
            dashes(index),
            Paint::Page.column("stroke", index)
        );
        if curves.len() <= NAMED && places.len() <= 64 {
            for (x, y) in &places {
                out.push_str(&marker(*x, *y, index, &Paint::Page.column("fill", index)));
            }
        }
        out.push_str("</g>");
    }
    out.push_str("</svg>");
    if (1..=NAMED).contains(&curves.len()) {
        out.push_str("<p class=\"names\">");
        for (index, curve) in curves.iter().enumerate() {
            let _ = write!(
                out,
                "<span><i class=\"dot\" style=\"background:var(--c{})\"></i>{}</span>",
                index % 8,
                escape(&curve.name)
            );
        }
        out.push_str("</p>");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_has_a_field_a_head_and_nothing_draws_nothing() {
        let picture = map("α", &vec![vec![Some(0.25), None], vec![Some(7.0), Some(0.5)]]);
        assert_eq!(picture.matches("<rect").count(), 4);
        assert!(picture.contains("L0H1: no value") && picture.contains("L1H0: 7.000"));
        assert_eq!(map("α", &Vec::new()), "");
        assert_eq!(curves("a", "b", &[Curve::default()], None), "");
    }

    #[test]
    fn a_single_point_has_a_place_inside_the_frame() {
        let curve = Curve { name: "one".into(), points: vec![(3.0, 0.5)] };
        let picture = curves("a", "b", &[curve], Some(1.0));
        assert!(
            picture.contains(&format!("{:.1},{:.1}", (LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0)),
            "{picture}"
        );
    }
}
