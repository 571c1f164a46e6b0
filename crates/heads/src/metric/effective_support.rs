//! Over how many keys a row spreads.

use super::Measure::Mean;
use super::Metric;

/// The number of keys that, looked at equally, would have the row's entropy.
pub(super) const METRIC: Metric = Metric {
    name: "effective_support",
    title: "effective number of keys",
    formula: "exp(H_i)",
    source: "perplexity of the row, the Hill number of order 1 (Hill 1973)",
    measure: Mean(|row| Some(row.entropy.exp())),
};

#[cfg(test)]
mod tests {
    use super::super::tests::value;
    use super::*;

    #[test]
    fn it_counts_the_keys_of_an_even_split() {
        assert!(value(&METRIC, &[0.0, 0.5, 0.0, 0.5], 3).is_some_and(|v| (v - 2.0).abs() < 1e-15));
        assert_eq!(value(&METRIC, &[1.0, 0.0], 1), Some(1.0));
    }
}
