//! How many keys hardly count.

use super::Measure::Mean;
use super::Metric;

/// Compared with the row's own maximum, so that length does not enter.
pub(super) const METRIC: Metric = Metric {
    name: "sparsity",
    title: "keys below 1 % of the row's maximum",
    formula: "|{j : p_ij < 0.01 max_j p_ij}| / n_i",
    source: "Zhang et al. 2023, H2O (arXiv 2306.14048)",
    measure: Mean(|row| Some(row.small / row.visible as f64)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_share_of_keys_below_the_cut() {
        assert_eq!(value(&METRIC, &[0.9921875, 0.0078125, 0.0, 0.0], 3), Some(0.75));
        assert_eq!(value(&METRIC, &[0.5, 0.5], 1), Some(0.0));
    }
}
