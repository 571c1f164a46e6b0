//! How much the favourite key gets.

use super::Measure::Mean;
use super::Metric;

/// 1 when one key has everything, 1/n_i when all have the same.
pub(super) const METRIC: Metric = Metric {
    name: "top1_mass",
    title: "mass of the strongest key",
    formula: "max_j p_ij",
    source: "Veličković et al. 2024 (arXiv 2410.01104) bound it as attention disperses with length",
    measure: Mean(|row| Some(row.top)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_largest_weight() {
        assert_eq!(value(&METRIC, &[0.25, 0.625, 0.125], 2), Some(0.625));
    }
}
