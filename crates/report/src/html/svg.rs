//! The pieces of a figure: scales, ticks, colours, markers, escaping.

use std::fmt::Write;

/// Colours on white, by a column's index; with the markers of the same index no two lines differ by colour alone.
/// After Okabe & Ito, darkened to a contrast of at least 3 : 1.
const INKS: [&str; 8] =
    ["#0072b2", "#d55e00", "#00855f", "#a34a94", "#a87400", "#2b93c9", "#5c6470", "#9c1f45"];

/// Where a figure will be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// In the page, whose style sheet holds the colours of both themes.
    Page,
    /// In a file of its own, on white, for viewers that know no style sheets.
    Standalone,
}

impl Paint {
    /// An attribute that sets `property` (`stroke` or `fill`) to a column's colour.
    pub(crate) fn column(self, property: &str, index: usize) -> String {
        let index = index % INKS.len();
        match self {
            Paint::Page => format!("style=\"{property}:var(--c{index})\""),
            Paint::Standalone => {
                format!("{property}=\"{}\"", INKS.get(index).unwrap_or(&"#000"))
            }
        }
    }

    /// Attributes of a hollow shape in a column's colour, which still catches the pointer on its line.
    pub(crate) fn outline(self, index: usize) -> String {
        match self {
            Paint::Page => format!("style=\"fill:none;stroke:var(--c{})\"", index % INKS.len()),
            Paint::Standalone => format!("fill=\"none\" {}", self.column("stroke", index)),
        }
    }

    /// The same for a named neutral: `ink`, `soft`, `grid`, `shade`, `paper`.
    pub(crate) fn neutral(self, property: &str, name: &str) -> String {
        match self {
            Paint::Page => format!("style=\"{property}:var(--{name})\""),
            Paint::Standalone => {
                let colour = match name {
                    "ink" => "#1c2128",
                    "soft" => "#667080",
                    "grid" => "#e3e7ec",
                    "shade" => "#f1f4f8",
                    _ => "#ffffff",
                };
                format!("{property}=\"{colour}\"")
            }
        }
    }
}

/// Lines past the last colour repeat the colours with dashes.
pub(crate) fn dashes(index: usize) -> &'static str {
    match index / INKS.len() {
        0 => "",
        1 => " stroke-dasharray=\"7 4\"",
        _ => " stroke-dasharray=\"2 3\"",
    }
}

/// A straight map from values to pixels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

impl Scale {
    pub(crate) fn at(&self, value: f64) -> f64 {
        let width = self.to - self.from;
        if width <= 0.0 || !width.is_finite() {
            return (self.start + self.end) / 2.0;
        }
        self.start + (value - self.from) / width * (self.end - self.start)
    }
}

/// Round values inside `from..=to`, about `wanted` of them.
pub(crate) fn ticks(from: f64, to: f64, wanted: usize) -> Vec<f64> {
    let span = to - from;
    if !span.is_finite() || span <= 0.0 || wanted == 0 {
        return vec![from];
    }
    let raw = span / wanted as f64;
    let power = 10f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw);
    let first = (from / step).ceil();
    let count = ((to / step).floor() - first).max(0.0) as usize;
    (0..=count).map(|i| (first + i as f64) * step).collect()
}

/// A number as an axis writes it.
pub(crate) fn tick_text(value: f64) -> String {
    let shown = format!("{value:.3}");
    shown.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A marker of about six pixels, different for each of eight indices.
pub(crate) fn marker(x: f64, y: f64, index: usize, attributes: &str) -> String {
    let shape = |points: &[(f64, f64)]| {
        let mut path = String::new();
        for (dx, dy) in points {
            let _ = write!(path, "{:.1},{:.1} ", x + dx, y + dy);
        }
        format!("<polygon points=\"{}\" {attributes}/>", path.trim_end())
    };
    match index % INKS.len() {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\" {attributes}/>"),
        1 => shape(&[(-2.9, -2.9), (2.9, -2.9), (2.9, 2.9), (-2.9, 2.9)]),
        2 => shape(&[(0.0, -3.8), (3.6, 2.8), (-3.6, 2.8)]),
        3 => shape(&[(0.0, -4.2), (4.2, 0.0), (0.0, 4.2), (-4.2, 0.0)]),
        4 => shape(&[(0.0, 3.8), (3.6, -2.8), (-3.6, -2.8)]),
        5 => shape(&[(-4.4, -1.5), (4.4, -1.5), (4.4, 1.5), (-4.4, 1.5)]),
        6 => shape(&[(-1.5, -4.4), (1.5, -4.4), (1.5, 4.4), (-1.5, 4.4)]),
        _ => shape(&[
            (-1.3, -4.0),
            (1.3, -4.0),
            (1.3, -1.3),
            (4.0, -1.3),
            (4.0, 1.3),
            (1.3, 1.3),
            (1.3, 4.0),
            (-1.3, 4.0),
            (-1.3, 1.3),
            (-4.0, 1.3),
            (-4.0, -1.3),
            (-1.3, -1.3),
        ]),
    }
}

/// A polyline's or polygon's points.
pub(crate) fn path(points: &[(f64, f64)]) -> String {
    let mut text = String::new();
    for (x, y) in points {
        let _ = write!(text, "{x:.1},{y:.1} ");
    }
    text.truncate(text.trim_end().len());
    text
}

/// For text and attributes of SVG and HTML. Control characters are no XML: they become the replacement character.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// At most `limit` characters, with an ellipsis for what is cut.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(1.0, 160.0, 8), vec![20.0, 40.0, 60.0, 80.0, 100.0, 120.0, 140.0, 160.0]);
        assert_eq!(ticks(0.0, 0.7, 4), vec![0.0, 0.2, 0.4, 0.6000000000000001]);
        assert_eq!(ticks(5.0, 5.0, 4), vec![5.0]);
    }

    #[test]
    fn escaping_leaves_no_markup_and_no_control_character() {
        assert_eq!(
            escape("<a href='x' b=\"y\">&\u{7}"),
            "&lt;a href=&#39;x&#39; b=&quot;y&quot;&gt;&amp;\u{fffd}"
        );
    }
}
