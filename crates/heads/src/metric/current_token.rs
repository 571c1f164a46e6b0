//! The share of the query's own token.

use super::Measure::Mean;
use super::Metric;

/// The diagonal of the map.
pub(super) const METRIC: Metric = Metric {
    name: "current_token",
    title: "mass on the query's own token",
    formula: "p_ii",
    source: "Clark et al. 2019 (arXiv 1906.04341)",
    measure: Mean(|row| Some(row.current)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_diagonal() {
        assert_eq!(value(&METRIC, &[0.125, 0.625, 0.25], 1), Some(0.625));
    }
}
