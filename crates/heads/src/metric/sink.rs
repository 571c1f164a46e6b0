//! The share of the first token in the rows that have others to look at.

use super::Measure::Mean;
use super::Metric;

/// As `first_token` without the first row, which under a causal mask has no choice.
pub(super) const METRIC: Metric = Metric {
    name: "sink",
    title: "mass on the first token, first row left out",
    formula: "p_i0, for i ≥ 1",
    source: "Xiao et al. 2023 (arXiv 2309.17453); Gu et al. 2024 (arXiv 2410.10781)",
    measure: Mean(|row| (row.query > 0).then_some(row.first_token)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn the_first_row_is_left_out() {
        assert_eq!(value(&METRIC, &[0.25, 0.75], 1), Some(0.25));
        assert_eq!(value(&METRIC, &[1.0], 0), None);
    }
}
