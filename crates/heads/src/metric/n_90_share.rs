//! Which part of the keys holds 90 % of a row.

use super::Measure::Mean;
use super::Metric;

/// As the number of keys, over how many there are to see.
pub(super) const METRIC: Metric = Metric {
    name: "n_90_share",
    title: "share of the keys that hold 90 % of the mass",
    formula: "n_90 / n_i",
    source: "Top-k recall of sparse attention: Gupta et al. 2021 (arXiv 2106.06899)",
    measure: Mean(|row| Some(row.needed[0] / row.visible as f64)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_one_for_an_even_row() {
        assert_eq!(value(&METRIC, &[0.25; 4], 3), Some(1.0));
        assert_eq!(value(&METRIC, &[0.0, 1.0, 0.0, 0.0], 3), Some(0.25));
    }
}
