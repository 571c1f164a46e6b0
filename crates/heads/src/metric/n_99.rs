//! How many keys hold 99 % of a row.

use super::Measure::Mean;
use super::Metric;

/// Within 1e-6 of the share.
pub(super) const METRIC: Metric = Metric {
    name: "n_99",
    title: "keys that hold 99 % of the mass",
    formula: "the least n whose n largest weights sum to 99 % of Σ_j p_ij",
    source: "Top-k recall of sparse attention: Gupta et al. 2021 (arXiv 2106.06899)",
    measure: Mean(|row| Some(row.needed[2])),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_counts_the_largest_weights() {
        assert_eq!(value(&METRIC, &[0.25; 4], 3), Some(4.0));
        assert_eq!(value(&METRIC, &[0.0, 1.0, 0.0], 2), Some(1.0));
    }
}
