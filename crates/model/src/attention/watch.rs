//! What a watcher is shown where keys or weights are not those of plain softmax over the text.

use attnlab_ops::{WatchRows, WatchedRow};

/// Rows whose weights need not sum to 1: what lacks goes to nothing.
pub(super) struct Lacking<'a> {
    pub(super) watch: &'a dyn WatchRows,
    /// Keys that the scores know nothing of had a part in the sum of their exponentials.
    pub(super) beside: bool,
}

impl WatchRows for Lacking<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let mass: f64 = row.weights.iter().map(|&a| f64::from(a)).sum();
        let log_sum = if self.beside { f32::NAN } else { row.log_sum };
        self.watch.row(&WatchedRow { null: Some((1.0 - mass).max(0.0) as f32), log_sum, ..*row });
    }
}

/// Rows whose first keys, and maybe first queries, are not the text's: the weight of those keys goes to nothing. The
/// largest and the least score are those of all keys.
pub(super) struct OfText<'a> {
    pub(super) watch: &'a dyn WatchRows,
    /// Queries in front of the text's.
    pub(super) queries: usize,
    /// Keys in front of the text's.
    pub(super) keys: usize,
}

impl WatchRows for OfText<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let Some(at) = row.row.checked_sub(self.queries) else { return };
        let cut = self.keys.saturating_sub(row.first).min(row.weights.len());
        let (front, weights) = row.weights.split_at(cut);
        let front: f64 = front.iter().map(|&a| f64::from(a)).sum();
        self.watch.row(&WatchedRow {
            row: at,
            query: row.query - self.keys as i64,
            first: row.first.saturating_sub(self.keys),
            weights,
            null: Some((f64::from(row.null.unwrap_or(0.0)) + front) as f32),
            ..*row
        });
    }
}
