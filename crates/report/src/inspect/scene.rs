//! A picture as a list of shapes, written as SVG or as PNG.

use std::fmt::Write;

use super::error::Result;
use super::font::{ADVANCE, HEIGHT, glyph};
use super::palette::{PAPER, Rgb, hex};
use super::png::Image;
use crate::html::maps::base64;
use crate::html::svg::escape;

/// Pixels of a PNG for each unit of the scene.
const PIXELS: usize = 2;
/// A grid of more cells a side is one image in an SVG.
const MOST_RECTS: usize = 64;

/// Which end of a text is at its place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

pub(super) enum Shape {
    Rect {
        x: usize,
        y: usize,
        width: usize,
        height: usize,
        fill: Rgb,
    },
    /// Cells of `width` × `height` units, `columns` a row; `None` shows what is behind.
    Cells {
        x: usize,
        y: usize,
        width: usize,
        height: usize,
        columns: usize,
        cells: Vec<Option<Rgb>>,
    },
    /// `y` is the middle of the line. An upright text reads upwards, and `x` is the middle of its line.
    Text {
        x: usize,
        y: usize,
        text: String,
        anchor: Anchor,
        colour: Rgb,
        upright: bool,
        bold: bool,
    },
}

/// Shapes on white, the first at the back.
pub(super) struct Scene {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) title: String,
    pub(super) shapes: Vec<Shape>,
}

impl Scene {
    /// As SVG 1.1 with its own colours, for viewers without style sheets.
    pub(super) fn svg(&self) -> Result<String> {
        let (w, h) = (self.width, self.height);
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\" \
             font-family=\"system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif\" font-size=\"11\">\n<title>{}</title>\n\
             <rect width=\"{w}\" height=\"{h}\" fill=\"{}\"/>\n",
            escape(&self.title),
            hex(PAPER)
        );
        for shape in &self.shapes {
            match shape {
                Shape::Rect { x, y, width, height, fill } => {
                    let _ = writeln!(
                        out,
                        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>",
                        hex(*fill)
                    );
                }
                Shape::Cells { x, y, width, height, columns, cells } => {
                    let rows = cells.len() / (*columns).max(1);
                    if rows.max(*columns) > MOST_RECTS {
                        let pixels = cells.iter().map(|c| c.unwrap_or(super::palette::BLANK)).collect();
                        let image = Image { width: *columns, height: rows, pixels };
                        let _ = writeln!(
                            out,
                            "<image x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                             style=\"image-rendering:pixelated\" href=\"data:image/png;base64,{}\"/>",
                            width * columns,
                            height * rows,
                            base64(&image.png()?)
                        );
                        continue;
                    }
                    out.push_str("<g shape-rendering=\"crispEdges\">\n");
                    for (i, colour) in cells.iter().enumerate() {
                        let Some(colour) = colour else { continue };
                        let (left, top) = (x + i % columns * width, y + i / columns * height);
                        let _ = writeln!(
                            out,
                            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"{}\"/>",
                            hex(*colour)
                        );
                    }
                    out.push_str("</g>\n");
                }
                Shape::Text { x, y, text, anchor, colour, upright, bold } => {
                    let anchor = match anchor {
                        Anchor::Start => "start",
                        Anchor::Middle => "middle",
                        Anchor::End => "end",
                    };
                    let turn =
                        if *upright { format!(" transform=\"rotate(-90 {x} {y})\"") } else { String::new() };
                    let weight = if *bold { " font-weight=\"650\" font-size=\"13\"" } else { "" };
                    let _ = writeln!(
                        out,
                        "<text x=\"{x}\" y=\"{y}\" dy=\"0.34em\" text-anchor=\"{anchor}\" fill=\"{}\" \
                         xml:space=\"preserve\" unicode-bidi=\"isolate\"{weight}{turn}>{}</text>",
                        hex(*colour),
                        escape(text)
                    );
                }
            }
        }
        out.push_str("</svg>\n");
        Ok(out)
    }

    /// As PNG, two pixels a unit.
    pub(super) fn png(&self) -> Result<Vec<u8>> {
        let mut image = Image::new(self.width * PIXELS, self.height * PIXELS, PAPER);
        for shape in &self.shapes {
            match shape {
                Shape::Rect { x, y, width, height, fill } => {
                    image.fill(x * PIXELS, y * PIXELS, width * PIXELS, height * PIXELS, *fill);
                }
                Shape::Cells { x, y, width, height, columns, cells } => {
                    let (w, h) = (width * PIXELS, height * PIXELS);
                    for (i, colour) in cells.iter().enumerate() {
                        if let Some(colour) = colour {
                            image.fill(
                                x * PIXELS + i % columns * w,
                                y * PIXELS + i / columns * h,
                                w,
                                h,
                                *colour,
                            );
                        }
                    }
                }
                Shape::Text { x, y, text, anchor, colour, upright, .. } => {
                    write(&mut image, (x * PIXELS, y * PIXELS), text, *anchor, *upright, *colour);
                }
            }
        }
        image.png()
    }
}

/// Letters of two pixels a dot.
fn write(image: &mut Image, at: (usize, usize), text: &str, anchor: Anchor, upright: bool, colour: Rgb) {
    let dot = PIXELS;
    let long = text.chars().count() * ADVANCE * dot;
    let before = match anchor {
        Anchor::Start => 0,
        Anchor::Middle => long / 2,
        Anchor::End => long,
    };
    let half = HEIGHT * dot / 2;
    for (i, letter) in text.chars().enumerate() {
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in 0..5 {
                if bits >> (4 - column) & 1 == 0 {
                    continue;
                }
                let (along, down) = ((i * ADVANCE + column) * dot, row * dot);
                // An upright text runs from below upwards: its start is its lower end.
                let place = if upright {
                    ((at.0 + down).checked_sub(half), (at.1 + before).checked_sub(along + dot))
                } else {
                    ((at.0 + along).checked_sub(before), (at.1 + down).checked_sub(half))
                };
                if let (Some(x), Some(y)) = place {
                    image.fill(x, y, dot, dot, colour);
                }
            }
        }
    }
}
