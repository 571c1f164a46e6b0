//! The share of the token before the query.

use super::Measure::Mean;
use super::Metric;

/// The first query has no token before it and is left out.
pub(super) const METRIC: Metric = Metric {
    name: "previous_token",
    title: "mass on the previous token",
    formula: "p_i,i−1, for i ≥ 1",
    source: "Clark et al. 2019 (arXiv 1906.04341); previous-token heads: Elhage et al. 2021",
    measure: Mean(|row| row.previous),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_weight_just_before_the_query_and_undefined_for_the_first() {
        assert_eq!(value(&METRIC, &[0.25, 0.5, 0.25], 2), Some(0.5));
        assert_eq!(value(&METRIC, &[0.25, 0.5, 0.25], 1), Some(0.25));
        assert_eq!(value(&METRIC, &[0.5, 0.5], 0), None);
    }
}
