//! One map, row by row, into bytes small enough for a page.
//!
//! Up to [`MOST_CELLS`] tokens a cell is one weight. A longer map is max-pooled on the way to `MOST_CELLS` × `MOST_CELLS`
//! cells (cell `⌊i · MOST_CELLS / n⌋` holds token `i`), so that the map of 32,768 tokens never exists. Either way the
//! largest keys of every query row are kept exactly beside the cells.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::error::{InspectError, Result};
use super::packed::{LISTED, PackedMap, Quantity, cell_count, key_planes, row_start};
use super::top::{NO_KEY, Top};

/// Cells of a side at most. Longer maps are pooled to this.
pub const MOST_CELLS: usize = 512;
/// Exact keys kept of each row of a pooled map.
pub const TOP_POOLED: usize = 8;
/// Exact keys kept of each row of a map that has a cell for every weight: there they only refine what the cells say.
pub const TOP_WHOLE: usize = 4;
/// Cells of a thumbnail's side at most.
pub const THUMBNAIL: usize = 24;

/// Takes the rows of one map and packs them.
pub struct MapPacker {
    tokens: usize,
    causal: bool,
    quantity: Quantity,
    grid: usize,
    /// The largest value seen in each cell: as a step where the scale is known beforehand, else as it is.
    steps: Vec<u8>,
    values: Vec<f32>,
    top: Top,
    not_finite: usize,
    clipped: usize,
}

impl MapPacker {
    /// An empty map of `tokens` queries and as many keys. A `causal` one has no key after its query.
    ///
    /// Until [`MapPacker::finish`] it takes about 64 bytes a row and key kept, and for up to 512 × 512 cells one byte each
    /// ([`Quantity::Weight`]) or four. Rows never given count as weight 0, or as masked scores.
    ///
    /// # Errors
    /// No tokens, or too many to count.
    pub fn new(tokens: usize, causal: bool, quantity: Quantity) -> Result<Self> {
        if tokens == 0 || u32::try_from(tokens).map_or(true, |n| n == NO_KEY) {
            return Err(InspectError::Tokens { tokens });
        }
        let grid = tokens.min(MOST_CELLS);
        let cells = cell_count(grid, causal);
        let (steps, values) = match quantity {
            Quantity::Weight => (vec![0; cells], Vec::new()),
            Quantity::Contribution => (Vec::new(), vec![0.0; cells]),
            Quantity::Score => (Vec::new(), vec![f32::NEG_INFINITY; cells]),
        };
        let keep = if tokens > MOST_CELLS { TOP_POOLED } else { TOP_WHOLE }.min(tokens);
        let top = Top::new(tokens, keep);
        Ok(Self { tokens, causal, quantity, grid, steps, values, top, not_finite: 0, clipped: 0 })
    }

    /// Keeps `keys` exact keys of each row instead of the usual number. Call it before the first row.
    #[must_use]
    pub fn keeping(mut self, keys: usize) -> Self {
        self.top = Top::new(self.tokens, keys.min(self.tokens));
        self
    }

    /// Adds the values of row `query` for the keys `first_key..first_key + weights.len()`. A row may come in pieces, and
    /// rows and pieces in any order; a key given twice counts with the larger value.
    ///
    /// # Errors
    /// A query or key that the map has not.
    pub fn row(&mut self, query: usize, first_key: usize, weights: &[f32]) -> Result<()> {
        let (tokens, causal) = (self.tokens, self.causal);
        if query >= tokens {
            return Err(InspectError::Query { query, tokens });
        }
        let visible = if causal { query + 1 } else { tokens };
        let end = first_key.saturating_add(weights.len());
        if end > visible {
            return Err(InspectError::Keys { query, first: first_key, end, visible, causal });
        }
        if self.grid == tokens {
            self.whole(query, first_key, weights);
            return Ok(());
        }
        let at_row = row_start(self.cell_of(query), self.grid, causal);
        let mut cell = self.cell_of(first_key);
        let mut key = first_key;
        let mut rest = weights;
        while !rest.is_empty() {
            // A pooled map has `MOST_CELLS` of them; a division by a constant is none.
            let until = ((cell + 1) * tokens).div_ceil(MOST_CELLS).min(end);
            let (piece, after) = rest.split_at(until - key);
            let most = self.look(piece);
            self.put(at_row + cell, most);
            if most > f32::NEG_INFINITY {
                self.top.offer(query, key, piece, most);
            }
            (cell, key, rest) = (cell + 1, until, after);
        }
        Ok(())
    }

    /// The largest finite value; counts what is not finite or above what a weight can be.
    #[inline]
    fn look(&mut self, values: &[f32]) -> f32 {
        let (mut most, finite) = largest(values);
        if !finite {
            // −∞ is how a masked score is written.
            let fine = |w: &&f32| self.quantity == Quantity::Score && **w == f32::NEG_INFINITY;
            self.not_finite += values.iter().filter(|w| !w.is_finite() && !fine(w)).count();
            most = values.iter().copied().filter(|w| w.is_finite()).fold(f32::NEG_INFINITY, f32::max);
        }
        if self.quantity == Quantity::Weight && most > 1.0 {
            self.clipped += values.iter().filter(|w| w.is_finite() && **w > 1.0001).count();
        }
        most
    }

    /// A row of a map with a cell for every key: one pass, without a branch where the scale is known.
    fn whole(&mut self, query: usize, first_key: usize, values: &[f32]) {
        let most = self.look(values);
        if most > f32::NEG_INFINITY {
            self.top.offer(query, first_key, values, most);
        }
        let from = row_start(query, self.grid, self.causal) + first_key;
        if self.quantity == Quantity::Weight {
            for (cell, &value) in self.steps.iter_mut().skip(from).zip(values) {
                let value = if value.is_finite() { value } else { 0.0 };
                *cell = (*cell).max(self.quantity.step(value, 0.0, 1.0, 255.0) as u8); // `as` saturates
            }
        } else {
            for (cell, &value) in self.values.iter_mut().skip(from).zip(values) {
                *cell = if value.is_finite() { cell.max(value) } else { *cell };
            }
        }
    }

    fn cell_of(&self, token: usize) -> usize {
        token * self.grid / self.tokens
    }

    fn put(&mut self, at: usize, most: f32) {
        if self.quantity == Quantity::Weight {
            let step = self.quantity.step(most, 0.0, 1.0, 255.0) as u8; // `as` saturates, and sends NaN to 0
            if let Some(cell) = self.steps.get_mut(at) {
                *cell = (*cell).max(step);
            }
        } else if let Some(cell) = self.values.get_mut(at)
            && most > *cell
            && most.is_finite()
        {
            *cell = most;
        }
    }

    /// Quantises, adds the thumbnail and compresses.
    ///
    /// # Errors
    /// The compressor fails: out of memory.
    pub fn finish(self) -> Result<PackedMap> {
        let quantity = self.quantity;
        let (low, high) = self.range();
        let cells: Vec<u8> = match quantity {
            Quantity::Weight => self.steps,
            _ => self.values.iter().map(|v| quantity.step(*v, low, high, 255.0) as u8).collect(),
        };
        let keep = self.top.keep();
        let mut payload = cells;
        let cells_end = payload.len();
        let planes = key_planes(self.tokens);
        let listed = self.tokens * keep;
        payload.resize(cells_end + listed * (planes + 2), 0);
        for query in 0..self.tokens {
            for (rank, &(key, value)) in self.top.row(query).iter().enumerate() {
                let at = cells_end + rank * self.tokens + query;
                for (plane, byte) in key.to_le_bytes().into_iter().take(planes).enumerate() {
                    payload[at + plane * listed] = byte;
                }
                let step = if key == NO_KEY { 0.0 } else { quantity.step(value, low, high, LISTED) };
                let [lower, upper] = (step as u16).to_le_bytes();
                payload[at + planes * listed] = lower;
                payload[at + (planes + 1) * listed] = upper;
            }
        }
        let thumbnail = thumbnail(&payload[..cells_end], self.grid, self.causal);
        let mut coder = DeflateEncoder::new(Vec::new(), Compression::new(6));
        coder.write_all(&payload)?;
        Ok(PackedMap {
            tokens: self.tokens,
            causal: self.causal,
            quantity,
            grid: self.grid,
            keep,
            low,
            high,
            bytes: coder.finish()?,
            thumbnail,
            not_finite: self.not_finite,
            clipped: self.clipped,
        })
    }

    /// Values that the lowest and the highest step stand for.
    fn range(&self) -> (f32, f32) {
        let seen = || self.values.iter().copied().filter(|v| v.is_finite());
        match self.quantity {
            Quantity::Weight => (0.0, 1.0),
            Quantity::Contribution => (0.0, seen().fold(0.0, f32::max)),
            Quantity::Score => {
                // A cell holds its largest; a listed key may be lower than every cell only if its row is.
                let (low, high) =
                    seen().fold((f32::INFINITY, f32::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
                let listed = (0..self.tokens).flat_map(|q| self.top.row(q));
                let low = listed.filter(|e| e.0 != NO_KEY).fold(low, |l, e| l.min(e.1));
                if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 0.0) }
            }
        }
    }
}

/// The largest number, −∞ for none, and whether all are finite. Eight lanes, so that it runs at the memory's speed.
#[inline]
fn largest(values: &[f32]) -> (f32, bool) {
    let (mut most, mut odd) = ([f32::NEG_INFINITY; 8], [0f32; 8]);
    let (whole, rest) = values.as_chunks::<8>();
    for chunk in whole {
        for (i, &v) in chunk.iter().enumerate() {
            most[i] = if v > most[i] { v } else { most[i] };
            odd[i] += v * 0.0; // not a number once v is not finite
        }
    }
    for &v in rest {
        most[0] = if v > most[0] { v } else { most[0] };
        odd[0] += v * 0.0;
    }
    (most.into_iter().fold(f32::NEG_INFINITY, f32::max), odd.into_iter().sum::<f32>() == 0.0)
}

/// The largest step of each of at most [`THUMBNAIL`]² fields, square, row-major.
fn thumbnail(cells: &[u8], grid: usize, causal: bool) -> Vec<u8> {
    let side = grid.min(THUMBNAIL);
    let mut fields = vec![0u8; side * side];
    for row in 0..grid {
        let from = row_start(row, grid, causal);
        let keys = if causal { row + 1 } else { grid };
        let Some(weights) = cells.get(from..from + keys) else { continue };
        for (key, step) in weights.iter().enumerate() {
            let field = &mut fields[row * side / grid * side + key * side / grid];
            *field = (*field).max(*step);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Rows that sum to 1, uneven, the same each time.
    fn row(query: usize, keys: usize) -> Vec<f32> {
        let raw: Vec<f32> = (0..keys)
            .map(|key| {
                let x = (query as u32).wrapping_mul(2_654_435_761) ^ (key as u32).wrapping_mul(2_246_822_519);
                ((x >> 8) as f32 / 16_777_216.0).powi(9) + 1e-7
            })
            .collect();
        let sum: f32 = raw.iter().sum();
        raw.iter().map(|w| w / sum).collect()
    }

    fn packed(tokens: usize, causal: bool) -> PackedMap {
        let mut packer = MapPacker::new(tokens, causal, Quantity::Weight).unwrap();
        for query in 0..tokens {
            let weights = row(query, if causal { query + 1 } else { tokens });
            // In two pieces, the later one first.
            let middle = weights.len() / 3;
            packer.row(query, middle, &weights[middle..]).unwrap();
            packer.row(query, 0, &weights[..middle]).unwrap();
        }
        packer.finish().unwrap()
    }

    #[test]
    fn a_map_unpacks_to_its_quantised_weights() {
        for causal in [true, false] {
            for tokens in [1, 2, 37, 512] {
                let map = packed(tokens, causal).unpack().unwrap();
                assert_eq!(map.grid, tokens);
                for query in 0..tokens {
                    let weights = row(query, if causal { query + 1 } else { tokens });
                    for key in 0..tokens {
                        let expected = weights.get(key).map(|w| (w.sqrt() * 255.0).round() as u8);
                        assert_eq!(map.step(query, key), expected, "{tokens} tokens, {query} → {key}");
                    }
                }
            }
        }
    }

    #[test]
    fn pooling_keeps_the_largest_weight_of_every_cell() {
        for causal in [true, false] {
            let tokens = 1300;
            let map = packed(tokens, causal).unpack().unwrap();
            assert_eq!(map.grid, MOST_CELLS);
            let mut most = vec![0u8; MOST_CELLS * MOST_CELLS];
            for query in 0..tokens {
                for (key, w) in row(query, if causal { query + 1 } else { tokens }).into_iter().enumerate() {
                    let cell = &mut most[query * 512 / tokens * 512 + key * 512 / tokens];
                    *cell = (*cell).max((w.sqrt() * 255.0).round() as u8);
                }
            }
            for (i, expected) in most.into_iter().enumerate() {
                let (r, c) = (i / 512, i % 512);
                assert_eq!(map.step(r, c), (!causal || c <= r).then_some(expected));
            }
        }
    }

    #[test]
    fn the_top_keys_of_a_pooled_map_are_those_of_the_whole_row() {
        let tokens = 700;
        let map = packed(tokens, true).unpack().unwrap();
        for query in 0..tokens {
            let mut all: Vec<(usize, f32)> = row(query, query + 1).into_iter().enumerate().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            let found = &map.top[query];
            assert_eq!(found.len(), TOP_POOLED.min(query + 1));
            for (found, expected) in found.iter().zip(&all) {
                assert_eq!(found.0, expected.0);
                // Half a step of 1/65,535 on the root's scale.
                assert!((found.1.sqrt() - expected.1.sqrt()).abs() < 0.6 / 65_535.0);
            }
        }
    }

    #[test]
    fn indices_beyond_16_bits_are_exact() {
        let tokens = 70_000;
        let mut packer = MapPacker::new(tokens, true, Quantity::Weight).unwrap();
        packer.row(69_999, 66_000, &[0.25, 0.75]).unwrap();
        let map = packer.finish().unwrap().unpack().unwrap();
        assert_eq!(map.top[69_999].iter().map(|e| e.0).collect::<Vec<_>>(), [66_001, 66_000]);
        assert!(map.top[0].is_empty());
    }

    #[test]
    fn scores_keep_their_range_and_masked_keys_have_none() {
        let mut packer = MapPacker::new(2, false, Quantity::Score).unwrap();
        packer.row(0, 0, &[-3.0, f32::NEG_INFINITY]).unwrap();
        packer.row(1, 0, &[7.0, 2.0]).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!(packed.not_finite(), 0);
        let map = packed.unpack().unwrap();
        assert_eq!(map.range(), (-3.0, 7.0));
        assert_eq!((map.value(0, 0), map.value(0, 1), map.value(1, 0)), (Some(-3.0), None, Some(7.0)));
        assert!((map.value(1, 1).unwrap() - 2.0).abs() < 0.03);
        assert_eq!(map.top[0], [(0, -3.0)]);
    }

    #[test]
    fn contributions_are_scaled_by_their_largest() {
        let mut packer = MapPacker::new(2, true, Quantity::Contribution).unwrap();
        packer.row(0, 0, &[12.0]).unwrap();
        packer.row(1, 0, &[3.0, 0.0]).unwrap();
        let map = packer.finish().unwrap().unpack().unwrap();
        assert_eq!(map.range(), (0.0, 12.0));
        assert_eq!(map.step(1, 0), Some(128));
    }

    #[test]
    fn what_is_not_finite_or_above_one_is_counted_and_does_no_harm() {
        let mut packer = MapPacker::new(3, true, Quantity::Weight).unwrap();
        packer.row(2, 0, &[f32::NAN, 1.5, f32::INFINITY]).unwrap();
        let packed = packer.finish().unwrap();
        assert_eq!((packed.not_finite(), packed.clipped()), (2, 1));
        assert_eq!(packed.unpack().unwrap().step(2, 1), Some(255));
    }

    #[test]
    fn a_row_or_key_outside_the_map_is_refused() {
        let mut packer = MapPacker::new(4, true, Quantity::Weight).unwrap();
        assert!(packer.row(4, 0, &[1.0]).unwrap_err().to_string().contains("query 4"));
        let error = packer.row(1, 1, &[0.5, 0.5]).unwrap_err().to_string();
        assert!(error.contains("keys 1..3") && error.contains("0..2") && error.contains("causal"), "{error}");
        assert!(MapPacker::new(0, true, Quantity::Weight).is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let mut map = packed(20, true);
        map.tokens = 21;
        assert!(matches!(map.unpack(), Err(InspectError::Damaged { .. })));
        map.bytes.truncate(5);
        assert!(map.unpack().is_err());
    }

    #[test]
    fn a_thumbnail_shows_the_strongest_of_each_field() {
        let mut packer = MapPacker::new(96, true, Quantity::Weight).unwrap();
        packer.row(95, 2, &[1.0]).unwrap();
        let map = packer.finish().unwrap();
        assert_eq!(map.thumbnail.len(), THUMBNAIL * THUMBNAIL);
        let lit: Vec<usize> = (0..map.thumbnail.len()).filter(|i| map.thumbnail[*i] > 0).collect();
        assert_eq!(lit, [23 * 24]);
    }
}
