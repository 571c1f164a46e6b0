//! The absolute positions of a run of tokens.

use attnlab_ops::Rng;
use candle_core::{Device, Tensor};
use rand::Rng as _;

use crate::error::{PositionError, Result};

/// Absolute positions, (rows, len): one row shared by the whole batch, or one row per sequence.
///
/// Tokens may have a second position besides, within something smaller than the sequence: a digit within its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    rows: usize,
    len: usize,
    ids: Vec<u32>,
    within: Option<Vec<u32>>,
}

impl Places {
    /// `start .. start + len`, shared by the batch.
    pub fn range(start: usize, len: usize) -> Self {
        // A position beyond u32 cannot be represented; it saturates, which no table or sequence reaches.
        let id = |i: usize| u32::try_from(start.saturating_add(i)).unwrap_or(u32::MAX);
        Self { rows: 1, len, ids: (0..len).map(id).collect(), within: None }
    }

    /// One row of positions per sequence; all rows of one length.
    pub fn rows(rows: Vec<Vec<u32>>) -> Result<Self> {
        let len = rows.first().map_or(0, Vec::len);
        if rows.is_empty() || rows.iter().any(|row| row.len() != len) {
            return Err(PositionError::RaggedRows { found: rows.iter().map(Vec::len).collect() });
        }
        Ok(Self { rows: rows.len(), len, ids: rows.concat(), within: None })
    }

    /// A run of `len` positions for each of `rows` sequences, from o ~ U{0, …, `most` − len} on.
    pub(crate) fn random_runs(rows: usize, len: usize, most: usize, rng: &mut Rng) -> Self {
        // Drawn as u32, whose stream is the same on 32- and 64-bit machines.
        let last = u32::try_from(most.saturating_sub(len)).unwrap_or(u32::MAX);
        let starts: Vec<u32> = (0..rows).map(|_| rng.random_range(0..=last)).collect();
        Self::runs(&starts, len)
    }

    /// A run of `len` positions per start, one row each.
    fn runs(starts: &[u32], len: usize) -> Self {
        let ids = starts.iter().flat_map(|start| (*start..).take(len)).collect();
        Self { rows: starts.len(), len, ids, within: None }
    }

    /// One row of positions, shared by the batch.
    pub(crate) fn shared(ids: Vec<u32>) -> Self {
        Self { rows: 1, len: ids.len(), ids, within: None }
    }

    /// Rows of `len` positions each, row after row.
    pub(crate) fn of_length(ids: Vec<u32>, len: usize) -> Self {
        Self { rows: ids.len().checked_div(len).unwrap_or(1), len, ids, within: None }
    }

    /// These tokens at other positions, of as many tokens; what they are within something stays.
    pub(crate) fn moved_to(self, places: Self) -> Self {
        match self.within {
            Some(within) => places.with_within(within),
            None => places,
        }
    }

    /// With second positions, (rows, len) of one row or more; a row of positions that was shared is repeated for each.
    pub(crate) fn with_within(self, within: Vec<u32>) -> Self {
        let rows = within.len().checked_div(self.len).unwrap_or(self.rows);
        let ids = if self.rows == 1 { self.ids.repeat(rows) } else { self.ids };
        Self { rows, len: self.len, ids, within: Some(within) }
    }

    /// The second positions, row after row; the first ones if there are no second ones.
    pub(crate) fn within(&self) -> &[u32] {
        self.within.as_ref().unwrap_or(&self.ids)
    }

    /// Number of positions a row, T.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no positions.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of rows: 1 (shared by the batch) or B.
    pub fn n_rows(&self) -> usize {
        self.rows
    }

    /// All positions, row after row.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// The positions of one row; a shared row serves every index.
    pub fn row(&self, row: usize) -> &[u32] {
        let row = if self.rows == 1 { 0 } else { row };
        self.ids.get(row * self.len..(row + 1) * self.len).unwrap_or_default()
    }

    /// Whether every row counts up by one.
    pub fn is_contiguous(&self) -> bool {
        (0..self.rows).all(|r| self.row(r).windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1])))
    }

    /// The least distance i − j that a query can see, if distances follow from indices alone: all positions
    /// count up by one and the queries are the last of the keys' positions.
    pub(crate) fn first_distance(queries: &Self, keys: &Self, causal: bool) -> Option<i64> {
        let rows = queries.n_rows().max(keys.n_rows());
        let aligned = queries.len() <= keys.len()
            && !queries.is_empty()
            && queries.is_contiguous()
            && keys.is_contiguous()
            && (0..rows).all(|row| queries.row(row).last() == keys.row(row).last());
        aligned.then(|| if causal { 0 } else { 1 - queries.len() as i64 })
    }

    /// The number of rows of queries and keys together: equal, or one of them shared.
    pub(crate) fn common_rows(queries: &Self, keys: &Self) -> Result<usize> {
        let (rq, rk) = (queries.n_rows(), keys.n_rows());
        if rq == rk || rq == 1 || rk == 1 {
            return Ok(rq.max(rk));
        }
        let (len, batch, time) = (queries.len(), rk, keys.len());
        Err(PositionError::Misfit { moment: "bias", rows: rq, len, batch, time })
    }

    /// Sequences `start .. start + len` of the batch. A shared row stays shared; rows beyond the last are left
    /// out, and the encoding refuses the tensor they would have belonged to.
    pub fn slice_rows(&self, start: usize, len: usize) -> Self {
        if self.rows == 1 {
            return self.clone();
        }
        let start = start.min(self.rows);
        let rows = len.min(self.rows - start);
        let cut = |ids: &[u32]| -> Vec<u32> {
            ids.get(start * self.len..(start + rows) * self.len).unwrap_or_default().to_vec()
        };
        Self { rows, len: self.len, ids: cut(&self.ids), within: self.within.as_deref().map(cut) }
    }

    /// The positions as a u32 tensor (rows, T).
    pub fn tensor(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_slice(&self.ids, (self.rows, self.len), device)?)
    }

    /// Checks that these positions belong to a tensor of `batch` × `time` tokens.
    pub(crate) fn fit(&self, moment: &'static str, batch: usize, time: usize) -> Result<()> {
        if self.len == time && (self.rows == 1 || self.rows == batch) {
            return Ok(());
        }
        Err(PositionError::Misfit { moment, rows: self.rows, len: self.len, batch, time })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_range_is_shared_and_contiguous() {
        let places = Places::range(3, 4);
        assert_eq!((places.n_rows(), places.len(), places.ids()), (1, 4, &[3, 4, 5, 6][..]));
        assert!(places.is_contiguous());
        assert_eq!(places.row(7), [3, 4, 5, 6]);
        assert_eq!(places.slice_rows(5, 2), places);
    }

    #[test]
    fn rows_must_have_one_length() {
        let error = Places::rows(vec![vec![0, 1], vec![0]]).unwrap_err().to_string();
        assert!(error.contains("[2, 1]"), "{error}");
        assert!(Places::rows(vec![]).is_err());
        let places = Places::rows(vec![vec![0, 1], vec![5, 7]]).unwrap();
        assert!(!places.is_contiguous());
        assert_eq!(places.slice_rows(1, 1), Places::rows(vec![vec![5, 7]]).unwrap());
        assert_eq!(places.slice_rows(1, 9).n_rows(), 1);
    }

    #[test]
    fn second_positions_go_with_their_rows_and_stay_when_the_tokens_move() {
        let places = Places::range(0, 2).with_within(vec![0, 1, 2, 0]);
        assert_eq!((places.n_rows(), places.row(1), places.within()), (2, &[0, 1][..], &[0, 1, 2, 0][..]));
        assert_eq!(places.slice_rows(1, 1).within(), [2, 0]);
        let moved = places.moved_to(Places::shared(vec![3, 7]));
        assert_eq!((moved.ids(), moved.within()), (&[3, 7, 3, 7][..], &[0, 1, 2, 0][..]));
        assert_eq!(Places::range(4, 2).within(), [4, 5]);
    }

    #[test]
    fn positions_that_do_not_belong_to_the_tensor_are_refused() {
        let places = Places::rows(vec![vec![0, 1], vec![5, 6]]).unwrap();
        assert!(places.fit("embed", 2, 2).is_ok());
        for (batch, time) in [(3, 2), (2, 3), (1, 2)] {
            assert!(matches!(places.fit("embed", batch, time), Err(PositionError::Misfit { .. })));
        }
        assert!(Places::range(0, 2).fit("embed", 9, 2).is_ok());
    }
}
