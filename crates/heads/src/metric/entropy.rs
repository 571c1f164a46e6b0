//! How broadly a row looks.

use super::Measure::Mean;
use super::Metric;

/// 0 when one key has everything, ln n_i when all have the same.
pub(super) const METRIC: Metric = Metric {
    name: "entropy",
    title: "attention entropy (nats)",
    formula: "H_i = −Σ_j p_ij ln p_ij, the null option among the keys",
    source: "Zhai et al. 2023 (arXiv 2303.06296)",
    measure: Mean(|row| Some(row.entropy)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn a_uniform_row_has_the_logarithm_of_its_length_and_a_certain_one_has_zero() {
        assert_eq!(value(&METRIC, &[0.25; 4], 3), Some(4f64.ln()));
        assert_eq!(value(&METRIC, &[0.0, 1.0, 0.0], 2), Some(0.0));
        assert!(value(&METRIC, &[0.0, 1.0], 1).is_some_and(f64::is_sign_positive));
    }
}
