//! The share of the first few tokens.

use super::Measure::Mean;
use super::Metric;

/// Sinks may be spread over several tokens.
pub(super) const METRIC: Metric = Metric {
    name: "first_k_mass",
    title: "mass on the first four tokens",
    formula: "Σ_{j<4} p_ij",
    source: "Xiao et al. 2023 (arXiv 2309.17453), who keep four",
    measure: Mean(|row| Some(row.first_k)),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_is_the_weight_of_the_first_four_keys() {
        assert_eq!(value(&METRIC, &[0.125, 0.125, 0.25, 0.25, 0.25], 4), Some(0.75));
        assert_eq!(value(&METRIC, &[0.5, 0.5], 1), Some(1.0));
    }
}
