//! Over how many keys a row spreads, by squares.

use super::Measure::Mean;
use super::Metric;

/// The number of keys that, looked at equally, would have the row's sum of squares.
pub(super) const METRIC: Metric = Metric {
    name: "participation",
    title: "participation ratio (keys)",
    formula: "1 / Σ_j p_ij²",
    source: "Hill number of order 2 (Hill 1973)",
    measure: Mean(|row| Some(1.0 / row.squares)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_counts_the_keys_of_an_even_split() {
        assert_eq!(value(&METRIC, &[0.0, 0.5, 0.0, 0.5], 3), Some(2.0));
    }
}
