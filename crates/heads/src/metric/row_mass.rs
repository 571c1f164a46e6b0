//! How much attention a row gives at all.

use super::Measure::Mean;
use super::Metric;

/// 1 for softmax without a null option; less where mass goes to none, or was knocked out.
pub(super) const METRIC: Metric = Metric {
    name: "row_mass",
    title: "total attention",
    formula: "Σ_j A_ij",
    source: "the rows' normalisation; below 1 with softmax-off-by-one (Miller 2023), sinks as logits, or edits",
    measure: Mean(|row| Some(row.mass)),
};
