//! A map as bytes, and back.
//!
//! A cell is one byte and a listed key's value two, on the same scale:
//! [`Quantity::Weight`] and [`Quantity::Contribution`] store `√(v / high)`, so that of 255 steps half are below a quarter
//! of `high` and a weight of 1/65,025 is not yet 0; [`Quantity::Score`] is linear between the map's lowest and highest
//! score, and byte 0 is a key that the row does not see. The payload, deflated without a header:
//!
//! ```text
//! cells         triangle (row q has q + 1) or square, row-major, 1 byte each
//! keys          rank-major, one plane a byte from the lowest: 2 planes up to 65,535 tokens, else 4; all ones: none
//! values        rank-major, low plane, high plane
//! ```

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::error::{InspectError, Result};
use super::top::NO_KEY;

/// What 255 and 65,535 are to cells and listed keys.
pub(super) const LISTED: f32 = 65_535.0;

/// What a map's numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Quantity {
    /// Attention weights in `0..=1`; what lies outside is clipped and counted.
    Weight,
    /// Anything from 0 on, such as weights times the norm of the value: scaled by the map's largest.
    Contribution,
    /// Any finite number, such as scores before the softmax; −∞ is a key that is masked.
    Score,
}

impl Quantity {
    /// The name it goes by in messages and in the page.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Weight => "weights",
            Quantity::Contribution => "value-weighted",
            Quantity::Score => "scores",
        }
    }

    pub(super) fn letter(self) -> char {
        match self {
            Quantity::Weight => 'w',
            Quantity::Contribution => 'v',
            Quantity::Score => 's',
        }
    }

    /// `value` as a step of `0..=steps`, to be cut to a whole number: half a step is added.
    pub(super) fn step(self, value: f32, low: f32, high: f32, steps: f32) -> f32 {
        match self {
            Quantity::Score if value == f32::NEG_INFINITY => 0.0,
            Quantity::Score if high > low => 1.5 + (value - low) / (high - low) * (steps - 1.0),
            Quantity::Score => steps,
            _ if high > 0.0 => (value.clamp(0.0, high) / high).sqrt() * steps + 0.5,
            _ => 0.0,
        }
    }

    /// What a step stands for; `None` where there is no value.
    pub(super) fn value(self, step: f32, low: f32, high: f32, steps: f32) -> Option<f32> {
        match self {
            Quantity::Score if step == 0.0 => None,
            Quantity::Score => Some(low + (step - 1.0) / (steps - 1.0) * (high - low)),
            _ => Some(high * (step / steps).powi(2)),
        }
    }
}

pub(super) fn cell_count(grid: usize, causal: bool) -> usize {
    if causal { grid * (grid + 1) / 2 } else { grid * grid }
}

pub(super) fn row_start(row: usize, grid: usize, causal: bool) -> usize {
    if causal { row * (row + 1) / 2 } else { row * grid }
}

pub(super) fn key_planes(tokens: usize) -> usize {
    if tokens <= 65_535 { 2 } else { 4 }
}

/// One map as the page holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedMap {
    pub(super) tokens: usize,
    pub(super) causal: bool,
    pub(super) quantity: Quantity,
    pub(super) grid: usize,
    pub(super) keep: usize,
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) bytes: Vec<u8>,
    pub(super) thumbnail: Vec<u8>,
    pub(super) not_finite: usize,
    pub(super) clipped: usize,
}

impl PackedMap {
    /// Queries of the map, and keys.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Whether no key comes after its query.
    pub fn causal(&self) -> bool {
        self.causal
    }

    /// What its numbers are.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// Cells of a side: `tokens`, or [`super::MOST_CELLS`] where the map is pooled.
    pub fn grid(&self) -> usize {
        self.grid
    }

    /// Bytes it takes, compressed; a third more in the page.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// How many numbers were not finite and were left out; masked scores are not counted.
    pub fn not_finite(&self) -> usize {
        self.not_finite
    }

    /// How many weights were above 1 and were clipped to it.
    pub fn clipped(&self) -> usize {
        self.clipped
    }

    /// The numbers as the page shows them.
    ///
    /// # Errors
    /// The bytes are damaged.
    pub fn unpack(&self) -> Result<Unpacked> {
        let planes = key_planes(self.tokens);
        let cells = cell_count(self.grid, self.causal);
        let listed = self.tokens * self.keep;
        let expected = cells + listed * (planes + 2);
        let mut payload = Vec::with_capacity(expected);
        // One byte more than expected is enough to see that there are too many.
        DeflateDecoder::new(&self.bytes[..]).take(expected as u64 + 1).read_to_end(&mut payload)?;
        if payload.len() != expected {
            return Err(InspectError::Damaged { tokens: self.tokens, found: payload.len(), expected });
        }
        let mut top = Vec::with_capacity(self.tokens);
        for query in 0..self.tokens {
            let mut row = Vec::with_capacity(self.keep);
            for rank in 0..self.keep {
                let at = cells + rank * self.tokens + query;
                let byte = |plane: usize| u32::from(payload[at + plane * listed]);
                let key = (0..planes).fold(0, |key, plane| key | byte(plane) << (8 * plane));
                if key == NO_KEY >> (32 - 8 * planes) {
                    break;
                }
                let step = (byte(planes) | byte(planes + 1) << 8) as f32;
                let value = self.quantity.value(step, self.low, self.high, LISTED);
                row.push((key as usize, value.unwrap_or(self.low)));
            }
            top.push(row);
        }
        payload.truncate(cells);
        Ok(Unpacked {
            grid: self.grid,
            causal: self.causal,
            quantity: self.quantity,
            low: self.low,
            high: self.high,
            steps: payload,
            top,
        })
    }
}

/// A map's numbers after packing.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacked {
    /// Cells of a side.
    pub grid: usize,
    /// Whether no key comes after its query.
    pub causal: bool,
    quantity: Quantity,
    low: f32,
    high: f32,
    steps: Vec<u8>,
    /// The largest keys of each row and their values, the largest first.
    pub top: Vec<Vec<(usize, f32)>>,
}

impl Unpacked {
    /// The step of a cell, `0..=255`: how strong it is drawn. `None` after the query of a causal map and outside.
    pub fn step(&self, row: usize, column: usize) -> Option<u8> {
        if row >= self.grid || column >= self.grid || (self.causal && column > row) {
            return None;
        }
        self.steps.get(row_start(row, self.grid, self.causal) + column).copied()
    }

    /// What the cell's step stands for; also `None` where a score is masked.
    pub fn value(&self, row: usize, column: usize) -> Option<f32> {
        let step = self.step(row, column)?;
        self.quantity.value(f32::from(step), self.low, self.high, 255.0)
    }

    /// What the lowest and the highest step stand for.
    pub fn range(&self) -> (f32, f32) {
        (self.low, self.high)
    }
}
