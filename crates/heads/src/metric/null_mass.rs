//! How much attention goes to nothing.

use super::Measure::Mean;
use super::Metric;

/// Defined where there is an option to attend to nothing.
pub(super) const METRIC: Metric = Metric {
    name: "null_mass",
    title: "mass on the null option",
    formula: "p_i∅",
    source: "Miller 2023 (softmax off by one); Xiao et al. 2023 (arXiv 2309.17453); gpt-oss's learned sinks",
    measure: Mean(|row| row.null),
};
