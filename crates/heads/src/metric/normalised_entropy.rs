//! How broadly a row looks, as a share of how broadly it could.

use super::Measure::Mean;
use super::Metric;

/// Between 0 and 1 whatever the length; not defined where there is only one key to look at.
pub(super) const METRIC: Metric = Metric {
    name: "normalised_entropy",
    title: "entropy as a share of its maximum",
    formula: "H_i / ln n_i, for n_i ≥ 2; a null option is one more key",
    source: "entropy (Zhai et al. 2023) over its maximum, so that rows of different length compare",
    measure: Mean(|row| (row.choices() >= 2).then(|| row.entropy / (row.choices() as f64).ln())),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_one_for_uniform_rows_of_any_length_and_undefined_for_a_single_key() {
        assert_eq!(value(&METRIC, &[0.5; 2], 1), Some(1.0));
        assert!(value(&METRIC, &[0.125; 8], 7).is_some_and(|v| (v - 1.0).abs() < 1e-15));
        assert_eq!(value(&METRIC, &[1.0], 0), None);
        assert_eq!(value(&METRIC, &[0.5, 0.5, 0.0, 0.0], 3), Some(0.5));
    }
}
