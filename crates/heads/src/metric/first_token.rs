//! The share of the first token: the attention sink's place.

use super::Measure::Mean;
use super::Metric;

/// Every row counts, the first too, which has no other key under a causal mask.
pub(super) const METRIC: Metric = Metric {
    name: "first_token",
    title: "mass on the first token",
    formula: "p_i0",
    source: "Gu et al. 2024 (arXiv 2410.10781), importance α_1; Xiao et al. 2023 (arXiv 2309.17453)",
    measure: Mean(|row| Some(row.first_token)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_weight_of_key_zero_wherever_the_query_stands() {
        assert_eq!(value(&METRIC, &[0.25, 0.75], 1), Some(0.25));
        assert_eq!(value(&METRIC, &[1.0], 0), Some(1.0));
    }
}
