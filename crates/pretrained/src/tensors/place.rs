//! Where a tensor's bytes are, and how they become the tensor that Hugging Face would have.

use std::fmt;
use std::ops::Range;

use candle_core::{Device, Tensor};

use super::TensorInfo;
use super::decode::{Number, append};
use super::source::Source;
use crate::error::Result;

/// Where a tensor is stored, and how.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Which of the checkpoint's files.
    pub(crate) file: usize,
    /// The first byte.
    pub(crate) offset: u64,
    /// Which stored row each row is.
    pub(crate) order: Order,
    /// Stored with the two axes exchanged.
    pub(crate) transposed: bool,
    /// What was added to every number before it was stored.
    pub(crate) added: f64,
}

/// The order in which rows are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// As Hugging Face has them.
    Same,
    /// A head's rows 0, half, 1, half+1, …, where Hugging Face has 0, 1, …: they rotate in pairs and not in halves.
    Pairs {
        /// How many heads the rows are of.
        heads: usize,
    },
    /// All queries, all keys, all values, where Hugging Face has a key/value head's queries, its key and its value
    /// together.
    Apart {
        /// How many key/value heads.
        groups: usize,
        /// How many queries share one.
        queries: usize,
    },
}

impl Order {
    /// The stored row that is row `row` of `rows`.
    fn stored(self, row: usize, rows: usize) -> usize {
        match self {
            Self::Same => row,
            Self::Pairs { heads } => {
                let (size, half) = (rows / heads, rows / heads / 2);
                let (head, within) = (row / size, row % size);
                head * size + within % half * 2 + within / half
            }
            Self::Apart { groups, queries } => {
                let size = rows / (groups * (queries + 2));
                let (group, within) = (row / ((queries + 2) * size), row % ((queries + 2) * size));
                match (within / size).checked_sub(queries) {
                    None => group * queries * size + within,
                    Some(keys_or_values) => {
                        (groups * (queries + keys_or_values) + group) * size + within % size
                    }
                }
            }
        }
    }

    /// Whether this many rows can be in this order.
    pub(crate) fn fits(self, rows: usize) -> bool {
        let divides = |parts: usize| parts > 0 && rows > 0 && rows.is_multiple_of(parts);
        match self {
            Self::Same => true,
            Self::Pairs { heads } => divides(heads.saturating_mul(2)),
            Self::Apart { groups, queries } => {
                queries > 0 && divides(groups.saturating_mul(queries.saturating_add(2)))
            }
        }
    }
}

impl fmt::Display for Order {
    /// How many rows it takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("any number of rows"),
            Self::Pairs { heads } => write!(f, "an even number for each of {heads} heads"),
            Self::Apart { groups, queries } => {
                write!(f, "a multiple of {groups} x ({queries} + 2), for queries, keys and values")
            }
        }
    }
}

/// Rows with fewer numbers are not worth a read each.
const NARROW: usize = 32;

impl Place {
    /// Stored as Hugging Face has it.
    pub(crate) fn new(file: usize, offset: u64) -> Self {
        Self { file, offset, order: Order::Same, transposed: false, added: 0.0 }
    }

    /// Reads rows of the tensor that `info` describes.
    pub(crate) fn read<T: Number>(
        &self,
        source: &Source,
        info: &TensorInfo,
        rows: Range<usize>,
    ) -> Result<Tensor> {
        let mut shape = info.shape.clone();
        let n_rows = shape.first().copied().unwrap_or(1);
        let all = rows == (0..n_rows);
        // Numbers in a row. The shape's product was checked against the file's size.
        let width: usize = shape.iter().skip(1).product();
        let (block, _) = info.stored.block().unwrap_or((1, 0));

        // Blocks that cross rows, or rows that are columns: the whole is read, and cut.
        let cut = self.transposed || !(width.is_multiple_of(block) || (all && self.order == Order::Same));
        let reading = if cut { 0..n_rows } else { rows.clone() };
        let mut out: Vec<T> = Vec::with_capacity(reading.len() * width);
        if self.order == Order::Same || self.transposed || cut || width < NARROW {
            let (from, count) = match self.order {
                Order::Same => (reading.start, reading.len()),
                _ => (0, n_rows),
            };
            let offset = self.offset + bytes(info, from * width);
            append(&mut out, source, offset, count * width, &info.stored)?;
            if self.order != Order::Same {
                let stored = std::mem::take(&mut out);
                out.reserve_exact(reading.len() * width);
                for row in reading {
                    let from = self.order.stored(row, n_rows) * width;
                    out.extend_from_slice(&stored[from..from + width]);
                }
            }
        } else {
            for row in reading {
                let offset = self.offset + bytes(info, self.order.stored(row, n_rows) * width);
                append(&mut out, source, offset, width, &info.stored)?;
            }
        }
        if self.added != 0.0 {
            let added = T::of_f64(self.added);
            out.iter_mut().for_each(|x| *x -= added);
        }

        if self.transposed {
            let stored = Tensor::from_vec(out, (width, n_rows), &Device::Cpu)?;
            return Ok(stored.t()?.narrow(0, rows.start, rows.len())?);
        }
        if cut {
            let whole = Tensor::from_vec(out, shape, &Device::Cpu)?;
            return Ok(whole.narrow(0, rows.start, rows.len())?);
        }
        if let Some(first) = shape.first_mut() {
            *first = rows.len();
        }
        Ok(Tensor::from_vec(out, shape, &Device::Cpu)?)
    }
}

/// The bytes of `n` numbers that begin a block.
fn bytes(info: &TensorInfo, n: usize) -> u64 {
    let (block, size) = info.stored.block().unwrap_or((1, 0));
    (n / block * size) as u64
}

#[cfg(test)]
mod tests {
    use super::Order;

    #[test]
    fn pairs_come_back_as_halves() {
        let stored: Vec<_> = (0..8).map(|row| Order::Pairs { heads: 2 }.stored(row, 8)).collect();
        assert_eq!(stored, [0, 2, 1, 3, 4, 6, 5, 7]);
    }

    #[test]
    fn queries_keys_and_values_come_back_per_head() {
        // Two heads of one row: stored q0 q1 k0 k1 v0 v1.
        let stored: Vec<_> =
            (0..6).map(|row| Order::Apart { groups: 2, queries: 1 }.stored(row, 6)).collect();
        assert_eq!(stored, [0, 2, 4, 1, 3, 5]);
        // Two queries a group: stored q0 q1 q2 q3 k0 k1 v0 v1.
        let stored: Vec<_> =
            (0..8).map(|row| Order::Apart { groups: 2, queries: 2 }.stored(row, 8)).collect();
        assert_eq!(stored, [0, 1, 4, 6, 2, 3, 5, 7]);
    }
}
