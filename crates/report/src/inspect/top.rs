//! The largest entries of each row, exact, whatever order the row arrives in.

/// Marks a place that no key has taken.
pub(super) const NO_KEY: u32 = u32::MAX;

/// The `keep` largest entries of every row: larger values first, of equal ones the earlier key.
pub(super) struct Top {
    keep: usize,
    entries: Vec<(u32, f32)>,
}

impl Top {
    pub(super) fn new(rows: usize, keep: usize) -> Self {
        Self { keep, entries: vec![(NO_KEY, f32::NEG_INFINITY); rows * keep] }
    }

    pub(super) fn keep(&self) -> usize {
        self.keep
    }

    /// Takes from `values`, which belong to the keys from `first` on and whose largest is `most`, what is large enough.
    #[inline]
    pub(super) fn offer(&mut self, row: usize, first: usize, values: &[f32], most: f32) {
        let from = row * self.keep;
        let Some(kept) = self.entries.get_mut(from..from + self.keep) else { return };
        let Some(&(_, least)) = kept.last() else { return };
        // `>=`: an equal value of an earlier key goes first.
        if most < least {
            return;
        }
        for (key, &value) in (first..).zip(values) {
            let key = u32::try_from(key).unwrap_or(NO_KEY);
            let Some(&last) = kept.last() else { return };
            if !before((key, value), last) {
                continue;
            }
            let at = kept.partition_point(|&entry| before(entry, (key, value)));
            kept[at..].rotate_right(1);
            kept[at] = (key, value);
        }
    }

    /// The entries of a row; keys not taken are [`NO_KEY`].
    pub(super) fn row(&self, row: usize) -> &[(u32, f32)] {
        self.entries.get(row * self.keep..(row + 1) * self.keep).unwrap_or(&[])
    }
}

/// Whether `a` is listed before `b`. A place nobody took is last; what is not finite never enters.
fn before(a: (u32, f32), b: (u32, f32)) -> bool {
    if !a.1.is_finite() || a.0 == NO_KEY {
        return false;
    }
    b.0 == NO_KEY || a.1 > b.1 || (a.1 == b.1 && a.0 < b.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn most(values: &[f32]) -> f32 {
        values.iter().copied().fold(f32::NEG_INFINITY, f32::max)
    }

    #[test]
    fn the_largest_are_kept_in_order_and_of_equals_the_earlier_key() {
        let mut top = Top::new(2, 3);
        let (late, early) = ([0.2, 0.5, 0.1], [0.5, 0.2, f32::NAN]);
        top.offer(1, 10, &late, most(&late));
        top.offer(1, 0, &early, most(&early));
        assert_eq!(top.row(1), [(0, 0.5), (11, 0.5), (1, 0.2)]);
        assert!(top.row(0).iter().all(|e| e.0 == NO_KEY));
    }

    #[test]
    fn a_row_in_pieces_of_any_size_gives_what_sorting_the_whole_gives() {
        let values: Vec<f32> = (0..1000u32).map(|i| (i.wrapping_mul(2_654_435_761) % 257) as f32).collect();
        let mut sorted: Vec<(u32, f32)> = (0u32..).zip(values.iter().copied()).collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for size in [1, 7, 64, 1000] {
            let mut top = Top::new(1, 8);
            let pieces: Vec<_> = values.chunks(size).enumerate().collect();
            for (i, piece) in pieces.into_iter().rev() {
                top.offer(0, i * size, piece, most(piece));
            }
            assert_eq!(top.row(0), &sorted[..8]);
        }
    }
}
