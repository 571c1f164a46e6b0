//! How much a row looks around itself.

use super::Measure::Mean;
use super::Metric;

/// The query's own token counts.
pub(super) const METRIC: Metric = Metric {
    name: "locality",
    title: "mass within sixteen tokens",
    formula: "Σ_{|i−j|<16} p_ij",
    source: "Child et al. 2019 (arXiv 1904.10509); locality of heads: Sukhbaatar et al. 2019 (arXiv 1905.07799)",
    measure: Mean(|row| Some(row.local)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn keys_sixteen_tokens_away_are_no_longer_local() {
        let mut p = [0.0; 17];
        (p[0], p[1], p[16]) = (0.5, 0.25, 0.25);
        assert_eq!(value(&METRIC, &p, 16), Some(0.5));
    }
}
