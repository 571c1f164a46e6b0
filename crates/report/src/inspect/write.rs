//! A [`Page`] → one file: the shell with everything the survey needs, then one block of text a map.
//!
//! The blocks come last and nobody parses them before a head is opened: the survey is on the screen while a browser still
//! reads the rest of a hundred megabytes. Text reaches the page as JSON whose `<`, `>` and `&` are escaped, and from there
//! through `textContent` or a canvas only.

use std::collections::BTreeMap;
use std::io::Write;

use askama::Template;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::Serialize;

use super::curve::{Thin, groups, thinned};
use super::error::Result;
use super::label::token_label;
use super::pack::THUMBNAIL;
use super::packed::Quantity;
use super::page::{Map, Page, Reading};
use crate::html::json;
use crate::html::maps::base64;

#[derive(Template)]
#[template(path = "inspect.html")]
struct Shell<'a> {
    title: &'a str,
    style: &'static str,
    script: String,
    data: String,
}

/// The scripts, in the order they run: each a file about one idea, all in one scope.
const SCRIPTS: [&str; 13] = [
    include_str!("../../assets/page.js"),
    include_str!("../../assets/inspect/core.js"),
    include_str!("../../assets/inspect/colour.js"),
    include_str!("../../assets/inspect/store.js"),
    include_str!("../../assets/inspect/state.js"),
    include_str!("../../assets/inspect/survey.js"),
    include_str!("../../assets/inspect/table.js"),
    include_str!("../../assets/inspect/gallery.js"),
    include_str!("../../assets/inspect/map.js"),
    include_str!("../../assets/inspect/lines.js"),
    include_str!("../../assets/inspect/curves.js"),
    include_str!("../../assets/inspect/detail.js"),
    include_str!("../../assets/inspect/main.js"),
];

#[derive(Serialize)]
struct Data<'a> {
    title: &'a str,
    note: &'a str,
    statistics: Vec<StatisticData<'a>>,
    models: Vec<ModelData<'a>>,
    readings: Vec<ReadingData<'a>>,
}

#[derive(Serialize)]
struct StatisticData<'a> {
    name: &'a str,
    title: &'a str,
    formula: &'a str,
    higher: &'a str,
}

#[derive(Serialize)]
struct ModelData<'a> {
    name: &'a str,
    layers: usize,
    heads: usize,
    note: &'a str,
}

#[derive(Serialize)]
struct ReadingData<'a> {
    model: usize,
    text: &'a str,
    tokens: Vec<String>,
    loss: Option<f64>,
    note: &'a str,
    /// Little-endian f32, not-a-number where there is none, base64.
    values: String,
    intervals: Option<String>,
    baselines: Vec<Option<f64>>,
    curves: Vec<CurveData<'a>>,
    /// For each quantity's letter the heads that have a map, as `layer · heads + head`.
    maps: BTreeMap<char, Vec<usize>>,
    /// Side of a thumbnail; 0 without maps.
    thumb: usize,
    causal: bool,
    /// Numbers that were left out or clipped when packing.
    not_finite: usize,
    clipped: usize,
}

#[derive(Serialize)]
struct CurveData<'a> {
    name: &'a str,
    title: &'a str,
    x_title: &'a str,
    y_title: &'a str,
    log: bool,
    x: Vec<f64>,
    baseline: Option<Vec<f64>>,
    thinned: bool,
}

impl Page {
    /// Writes the page. The same page gives the same bytes.
    ///
    /// # Errors
    /// Lists that do not fit together, or a file that cannot be written.
    pub fn write(&self, mut out: impl Write) -> Result<()> {
        self.check()?;
        let readings = self.readings.iter().map(|r| self.reading(r)).collect();
        let models = self.models.iter();
        let statistics = self.statistics.iter();
        let data = Data {
            title: &self.title,
            note: &self.note,
            statistics: statistics
                .map(|s| StatisticData {
                    name: &s.name,
                    title: &s.title,
                    formula: &s.formula,
                    higher: &s.higher,
                })
                .collect(),
            models: models
                .map(|m| ModelData { name: &m.name, layers: m.n_layers, heads: m.n_heads, note: &m.note })
                .collect(),
            readings,
        };
        let shell = Shell {
            title: &self.title,
            style: include_str!("../../assets/inspect/inspect.css"),
            script: SCRIPTS.concat(),
            data: json(&data)?,
        };
        shell.write_into(&mut out)?;
        for (index, reading) in self.readings.iter().enumerate() {
            thumbnails(&mut out, index, reading)?;
            self.profiles(&mut out, index, reading)?;
            for map in &reading.maps {
                let (m, letter) = (&map.map, map.map.quantity.letter());
                writeln!(
                    out,
                    "<script type=\"text/plain\" id=\"m{index}.{}.{}.{letter}\" data-map=\"{} {} {} {} {} {}\">{}</script>",
                    map.layer,
                    map.head,
                    m.tokens,
                    m.grid,
                    u8::from(m.causal),
                    m.keep,
                    m.low,
                    m.high,
                    base64(&m.bytes)
                )?;
            }
        }
        writeln!(out, "<i id=\"end\" hidden></i>\n</body>\n</html>")?;
        out.flush()?;
        Ok(())
    }

    /// The page as one string; better written with [`Page::write`] where it is large.
    ///
    /// # Errors
    /// As [`Page::write`].
    pub fn render(&self) -> Result<String> {
        let mut bytes = Vec::new();
        self.write(&mut bytes)?;
        String::from_utf8(bytes).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e).into())
    }

    fn reading<'a>(&self, reading: &'a Reading) -> ReadingData<'a> {
        let heads = self.models.get(reading.model).map_or(0, |m| m.n_heads);
        let mut maps: BTreeMap<char, Vec<usize>> = BTreeMap::new();
        for map in &reading.maps {
            maps.entry(map.map.quantity.letter()).or_default().push(map.layer * heads + map.head);
        }
        let finite = |v: &Option<f64>| v.filter(|v| v.is_finite());
        let curves = reading.curves.iter().map(|curve| {
            let ends = groups(curve);
            CurveData {
                name: &curve.name,
                title: &curve.title,
                x_title: &curve.x_title,
                y_title: &curve.y_title,
                log: curve.log_x,
                x: thinned(|i| curve.x.get(i).copied().unwrap_or(0.0), &ends, Thin::Mean),
                baseline: curve
                    .baseline
                    .as_ref()
                    .map(|b| thinned(|i| b.get(i).copied().unwrap_or(0.0), &ends, curve.thin)),
                thinned: ends.len() < curve.x.len(),
            }
        });
        ReadingData {
            model: reading.model,
            text: &reading.text,
            tokens: reading.tokens.iter().map(|t| token_label(t)).collect(),
            loss: finite(&reading.loss),
            note: &reading.note,
            values: floats(reading.values.iter().map(number)),
            intervals: (!reading.intervals.is_empty()).then(|| floats(reading.intervals.iter().map(number))),
            baselines: reading.baselines.iter().map(finite).collect(),
            curves: curves.collect(),
            maps,
            thumb: weights(reading).next().map_or(0, |m| m.map.grid.min(THUMBNAIL)),
            causal: reading.maps.iter().all(|m| m.map.causal),
            not_finite: reading.maps.iter().map(|m| m.map.not_finite()).sum(),
            clipped: reading.maps.iter().map(|m| m.map.clipped()).sum(),
        }
    }

    /// One block a layer: for each head and curve its points as f32, not-a-number where there is none.
    fn profiles(&self, out: &mut impl Write, index: usize, reading: &Reading) -> Result<()> {
        let heads = self.models.get(reading.model).map_or(0, |m| m.n_heads);
        let ends: Vec<Vec<usize>> = reading.curves.iter().map(groups).collect();
        let starts: Vec<usize> = ends
            .iter()
            .scan(0, |at, e| {
                let start = *at;
                *at += e.len();
                Some(start)
            })
            .collect();
        let of_head: usize = ends.iter().map(Vec::len).sum();
        let mut layers: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
        for profile in &reading.profiles {
            let (Some(curve), Some(ends), Some(start)) =
                (reading.curves.get(profile.curve), ends.get(profile.curve), starts.get(profile.curve))
            else {
                continue;
            };
            let layer = layers.entry(profile.layer).or_insert_with(|| vec![f32::NAN; heads * of_head]);
            let y = thinned(|i| profile.y.get(i).map_or(f64::NAN, |y| f64::from(*y)), ends, curve.thin);
            for (place, y) in layer.iter_mut().skip(profile.head * of_head + start).zip(y) {
                *place = y as f32;
            }
        }
        for (layer, points) in layers {
            let bytes: Vec<u8> = points.iter().flat_map(|p| p.to_le_bytes()).collect();
            block(out, &format!("c{index}.{layer}"), &bytes)?;
        }
        Ok(())
    }
}

/// The maps of weights, which thumbnails are made of.
fn weights(reading: &Reading) -> impl Iterator<Item = &Map> {
    reading.maps.iter().filter(|m| m.map.quantity == Quantity::Weight)
}

/// One block with the thumbnails of all maps of weights, in the order of the index.
fn thumbnails(out: &mut impl Write, index: usize, reading: &Reading) -> Result<()> {
    let bytes: Vec<u8> = weights(reading).flat_map(|m| m.map.thumbnail.iter().copied()).collect();
    if bytes.is_empty() { Ok(()) } else { block(out, &format!("t{index}"), &bytes) }
}

fn block(out: &mut impl Write, id: &str, bytes: &[u8]) -> Result<()> {
    let mut coder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    coder.write_all(bytes)?;
    writeln!(out, "<script type=\"text/plain\" id=\"{id}\">{}</script>", base64(&coder.finish()?))?;
    Ok(())
}

fn number(value: &Option<f64>) -> f32 {
    value.map_or(f32::NAN, |v| v as f32)
}

fn floats(values: impl Iterator<Item = f32>) -> String {
    base64(&values.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
}
