//! How far away a row looks.

use super::Measure::Mean;
use super::Metric;

/// In tokens, in both directions where the mask allows both.
pub(super) const METRIC: Metric = Metric {
    name: "mean_distance",
    title: "mean distance (tokens)",
    formula: "Σ_j p_ij |i − j|",
    source: "Vig & Belinkov 2019 (arXiv 1906.04284)",
    measure: Mean(|row| Some(row.distance)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_weighs_distances_in_both_directions() {
        assert_eq!(value(&METRIC, &[0.5, 0.0, 0.25, 0.25], 2), Some(1.25));
    }
}
