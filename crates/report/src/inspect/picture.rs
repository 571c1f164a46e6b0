//! Pictures for papers and READMEs: one map, or the survey of all heads by one statistic, as SVG or PNG.
//!
//! The SVG has every label. The PNG is the same without the tokens' text, which its small built-in letters cannot write:
//! axes count tokens, layers and heads.

use super::error::{InspectError, Result};
use super::label::token_label;
use super::packed::{PackedMap, Quantity};
use super::page::Page;
use super::palette::{BLANK, INK, LINE, Rgb, SOFT, ramp};
use super::scene::{Anchor, Scene, Shape};

/// Tokens that still get a label each.
const MOST_LABELS: usize = 64;
/// Units of a map's side, about.
const SIDE: usize = 512;
const TITLE: usize = 34;
const BAR: usize = 14;
/// Room for the colour bar with its numbers.
const BAR_ROOM: usize = 92;

/// A map as SVG: title, a label for each of up to 64 tokens (`tokens` as text, any characters), a colour bar.
///
/// # Errors
/// Damaged bytes, or fewer labels than tokens.
pub fn map_svg(map: &PackedMap, tokens: &[String], title: &str) -> Result<String> {
    if tokens.len() != map.tokens() {
        let reason = format!("it has {} tokens and {} labels", map.tokens(), tokens.len());
        return Err(InspectError::Picture { what: "a map", reason });
    }
    map_scene(map, Some(tokens), title)?.svg()
}

/// A map as PNG: title, token numbers, a colour bar.
///
/// # Errors
/// Damaged bytes.
pub fn map_png(map: &PackedMap, title: &str) -> Result<Vec<u8>> {
    map_scene(map, None, title)?.png()
}

/// The survey as SVG: layers down, heads across, coloured by statistic `statistic` of reading `reading`, with the range of
/// the values and the uniform baseline beside it.
///
/// # Errors
/// Lists that do not fit together, or a reading or statistic that the page has not.
pub fn survey_svg(page: &Page, reading: usize, statistic: usize) -> Result<String> {
    survey_scene(page, reading, statistic)?.svg()
}

/// The survey as PNG.
///
/// # Errors
/// As [`survey_svg`].
pub fn survey_png(page: &Page, reading: usize, statistic: usize) -> Result<Vec<u8>> {
    survey_scene(page, reading, statistic)?.png()
}

fn text(x: usize, y: usize, text: impl Into<String>, anchor: Anchor, colour: Rgb) -> Shape {
    Shape::Text { x, y, text: text.into(), anchor, colour, upright: false, bold: false }
}

fn heading(title: &str) -> Shape {
    let short: String = title.chars().take(90).collect();
    Shape::Text { x: 12, y: 17, text: short, anchor: Anchor::Start, colour: INK, upright: false, bold: true }
}

fn map_scene(map: &PackedMap, tokens: Option<&[String]>, title: &str) -> Result<Scene> {
    let cells = map.unpack()?;
    let grid = cells.grid;
    let labels: Option<Vec<String>> =
        tokens.filter(|t| t.len() <= MOST_LABELS).map(|t| t.iter().map(|t| token_label(t)).collect());
    // A label needs the height of a line.
    let cell = (SIDE / grid).clamp(1, 28).max(if labels.is_some() { 12 } else { 1 });
    let side = cell * grid;
    let longest = labels.iter().flatten().map(|l| l.chars().count()).max().unwrap_or(0);
    let gutter = if labels.is_some() { (longest * 7 + 14).clamp(44, 190) } else { 44 };
    let (left, top) = (gutter, TITLE + if labels.is_some() { gutter } else { 26 });
    let mut colours = Vec::with_capacity(grid * grid);
    for row in 0..grid {
        for column in 0..grid {
            let shown = cells.value(row, column).and(cells.step(row, column));
            colours.push(shown.map(|step| ramp(f64::from(step) / 255.0)));
        }
    }
    let mut shapes = vec![
        heading(title),
        Shape::Rect { x: left - 1, y: top - 1, width: side + 2, height: side + 2, fill: LINE },
        Shape::Rect { x: left, y: top, width: side, height: side, fill: BLANK },
        Shape::Cells { x: left, y: top, width: cell, height: cell, columns: grid, cells: colours },
    ];
    match &labels {
        Some(labels) => {
            for (i, label) in labels.iter().enumerate() {
                let middle = i * cell + cell / 2;
                shapes.push(text(left - 6, top + middle, label.as_str(), Anchor::End, INK));
                let (x, y) = (left + middle, top - 6);
                let text = label.clone();
                shapes.push(Shape::Text {
                    x,
                    y,
                    text,
                    anchor: Anchor::Start,
                    colour: INK,
                    upright: true,
                    bold: false,
                });
            }
        }
        None => {
            let wanted = if side < 200 { 3 } else { 8 };
            for token in whole_ticks(map.tokens(), wanted) {
                let middle = token * side / map.tokens() + cell / 2;
                shapes.push(text(left - 6, top + middle, token.to_string(), Anchor::End, SOFT));
                shapes.push(text(left + middle, top - 9, token.to_string(), Anchor::Middle, SOFT));
            }
        }
    }
    let (low, high) = cells.range();
    let (low, high) = (f64::from(low), f64::from(high));
    let root = map.quantity() != Quantity::Score;
    let value = move |share: f64| if root { high * share * share } else { low + share * (high - low) };
    let ticks: Vec<(f64, String)> = [0.0, 0.25, 0.5, 0.75, 1.0].map(|s| (s, number(value(s)))).into();
    // A small map has a bar of a readable length all the same.
    let bar = side.clamp(96, 240);
    bar_shapes(&mut shapes, left + side + 18, top, bar, &ticks, None);
    shapes.push(text(left + side + 18, top + bar + 16, map.quantity().name(), Anchor::Start, SOFT));
    let width = (left + side + BAR_ROOM).max(320);
    Ok(Scene { width, height: top + side.max(bar + 24) + 14, title: title.to_owned(), shapes })
}

fn survey_scene(page: &Page, reading: usize, statistic: usize) -> Result<Scene> {
    page.check()?;
    let missing = |what: &str, index: usize, there: usize| InspectError::Picture {
        what: "the survey",
        reason: format!("there is no {what} {index}; the page has {there}"),
    };
    let data = page.readings.get(reading).ok_or_else(|| missing("reading", reading, page.readings.len()))?;
    let info = page
        .statistics
        .get(statistic)
        .ok_or_else(|| missing("statistic", statistic, page.statistics.len()))?;
    let model = page.models.get(data.model).ok_or_else(|| missing("model", data.model, page.models.len()))?;
    let (layers, heads, count) = (model.n_layers, model.n_heads, page.statistics.len());
    if layers * heads == 0 {
        return Err(InspectError::Picture { what: "the survey", reason: "the model has no heads".into() });
    }
    let values: Vec<Option<f64>> = (0..layers * heads)
        .map(|id| data.values.get(id * count + statistic).copied().flatten().filter(|v| v.is_finite()))
        .collect();
    let known = || values.iter().copied().flatten();
    let (low, high) = known().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
    let share = |v: f64| if high > low { (v - low) / (high - low) } else { 0.5 };
    let (width, height) = ((560 / heads).clamp(10, 30), (420 / layers).clamp(10, 24));
    let (left, top) = (44, TITLE + 48);
    let (wide, tall) = (width * heads, height * layers);
    let colours = values.iter().map(|v| Some(v.map_or(BLANK, |v| ramp(share(v))))).collect();
    let subtitle = format!("{} · {}", model.name, data.text);
    let title = format!("{} by head", info.title);
    let mut shapes = vec![
        heading(&title),
        text(12, 36, subtitle.chars().take(100).collect::<String>(), Anchor::Start, SOFT),
        text(12, top - 26, "layers down, heads across", Anchor::Start, SOFT),
        Shape::Rect { x: left - 1, y: top - 1, width: wide + 2, height: tall + 2, fill: LINE },
        Shape::Cells { x: left, y: top, width, height, columns: heads, cells: colours },
    ];
    for layer in whole_ticks(layers, tall / 14) {
        shapes.push(text(left - 6, top + layer * height + height / 2, layer.to_string(), Anchor::End, SOFT));
    }
    for head in whole_ticks(heads, wide / 22) {
        shapes.push(text(left + head * width + width / 2, top - 9, head.to_string(), Anchor::Middle, SOFT));
    }
    let bar = tall.clamp(96, 240);
    let x = left + wide + 18;
    let mut room = BAR_ROOM;
    if low.is_finite() {
        let ticks: Vec<(f64, String)> =
            [0.0, 0.25, 0.5, 0.75, 1.0].map(|s| (s, number(low + s * (high - low)))).into();
        let baseline = data.baselines.get(statistic).copied().flatten().filter(|b| b.is_finite());
        bar_shapes(&mut shapes, x, top, bar, &ticks, baseline.map(share));
        if let Some(baseline) = baseline {
            let place = share(baseline);
            let beyond = if place < 0.0 {
                " (below all)"
            } else if place > 1.0 {
                " (above all)"
            } else {
                ""
            };
            shapes.push(text(
                x,
                top + bar + 16,
                format!("uniform {}{beyond}", number(baseline)),
                Anchor::Start,
                SOFT,
            ));
            room = 190;
        }
    }
    let width = (left + wide + room).max(360);
    Ok(Scene { width, height: top + tall.max(bar + 24) + 14, title: format!("{title}, {subtitle}"), shapes })
}

/// The ramp upright, strong on top, numbers at its right; a black line at the baseline.
fn bar_shapes(
    shapes: &mut Vec<Shape>,
    x: usize,
    top: usize,
    long: usize,
    ticks: &[(f64, String)],
    baseline: Option<f64>,
) {
    let cells = (0..long).map(|i| Some(ramp(1.0 - i as f64 / (long - 1).max(1) as f64))).collect();
    let edge = Shape::Rect { x: x - 1, y: top - 1, width: BAR + 2, height: long + 2, fill: LINE };
    shapes.push(edge);
    shapes.push(Shape::Cells { x, y: top, width: BAR, height: 1, columns: 1, cells });
    let place = |share: f64| top + ((1.0 - share) * (long - 1) as f64).round() as usize;
    for (share, number) in ticks {
        shapes.push(Shape::Rect { x: x + BAR, y: place(*share), width: 4, height: 1, fill: SOFT });
        shapes.push(text(x + BAR + 7, place(*share), number.as_str(), Anchor::Start, SOFT));
    }
    if let Some(share) = baseline.filter(|s| (0.0..=1.0).contains(s)) {
        shapes.push(Shape::Rect { x: x - 4, y: place(share), width: BAR + 8, height: 2, fill: INK });
    }
}

/// Round indices below `n`, about `wanted` of them, from 0 on.
fn whole_ticks(n: usize, wanted: usize) -> Vec<usize> {
    let least = n.div_ceil(wanted.max(1)).max(1);
    let step = (0..20)
        .flat_map(|power| [1, 2, 5].map(|m| m * 10usize.saturating_pow(power)))
        .find(|step| *step >= least)
        .unwrap_or(n);
    (0..n).step_by(step).collect()
}

/// Three significant digits, without trailing zeros.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let size = value.abs();
    if !(1e-3..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let digits = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{MapPacker, Model, Reading, Statistic};
    use super::*;

    fn map(tokens: usize) -> PackedMap {
        let mut packer = MapPacker::new(tokens, true, Quantity::Weight).unwrap();
        for query in 0..tokens {
            packer.row(query, query, &[1.0]).unwrap();
        }
        packer.finish().unwrap()
    }

    fn labels(tokens: usize) -> Vec<String> {
        (0..tokens).map(|i| format!("<t{i}>&")).collect()
    }

    #[test]
    fn a_small_map_has_a_label_for_every_token_and_none_is_markup() {
        let svg = map_svg(&map(10), &labels(10), "a \"title\" & <more>").unwrap();
        assert_eq!(svg.matches("&lt;t7&gt;&amp;").count(), 2);
        assert!(!svg.contains("<t7>") && !svg.contains("<more>"));
        assert!(
            svg.contains("a &quot;title&quot; &amp; &lt;more&gt;")
                || svg.contains("a \"title\" &amp; &lt;more&gt;")
        );
    }

    #[test]
    fn a_large_map_is_one_image_with_numbers_on_its_axes() {
        let svg = map_svg(&map(300), &labels(300), "t").unwrap();
        assert!(svg.contains("data:image/png;base64,") && svg.contains(">250</text>") && !svg.contains("t7"));
        assert!(svg.len() < 100_000);
    }

    #[test]
    fn labels_must_be_as_many_as_tokens() {
        let error = map_svg(&map(3), &labels(2), "t").unwrap_err().to_string();
        assert!(error.contains("3 tokens and 2 labels"), "{error}");
    }

    #[test]
    fn pngs_of_any_size_can_be_made() {
        for tokens in [1, 2, 64, 700] {
            let png = map_png(&map(tokens), "L3 H5 · weights").unwrap();
            assert_eq!(png[..4], *b"\x89PNG");
        }
    }

    fn page(value: Option<f64>) -> Page {
        let mut reading = Reading::new(0, "text", vec![], (3, 40, 1));
        for id in 0..120 {
            reading.set_value(id / 40, id % 40, 0, value.map(|v| v + id as f64));
        }
        reading.baselines[0] = Some(30.0);
        Page {
            title: String::new(),
            note: String::new(),
            statistics: vec![Statistic { title: "entropy".into(), ..Statistic::default() }],
            models: vec![Model { name: "m".into(), n_layers: 3, n_heads: 40, note: String::new() }],
            readings: vec![reading],
        }
    }

    #[test]
    fn the_survey_tells_its_range_and_its_baseline() {
        let svg = survey_svg(&page(Some(1.0)), 0, 0).unwrap();
        assert!(svg.contains("entropy by head") && svg.contains("uniform 30") && svg.contains(">120</text>"));
        assert_eq!(survey_png(&page(Some(1.0)), 0, 0).unwrap()[..4], *b"\x89PNG");
        // Without a single value there is still a picture.
        assert!(survey_svg(&page(None), 0, 0).is_ok());
        assert!(survey_svg(&page(None), 1, 0).unwrap_err().to_string().contains("no reading 1"));
        assert!(survey_svg(&page(None), 0, 2).unwrap_err().to_string().contains("no statistic 2"));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [0.0, 0.25, 1.0, 12.34, 0.0625, 120.0].map(number),
            ["0", "0.25", "1", "12.3", "0.0625", "120"]
        );
        assert_eq!(number(1.5e-7), "1.5e-7");
    }
}
