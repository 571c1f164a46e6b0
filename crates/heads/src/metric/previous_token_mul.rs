//! TransformerLens's detector of previous token, by product.

use super::Measure::Ratio;
use super::Metric;

/// Keys that the options exclude are in neither sum.
pub(super) const METRIC: Metric = Metric {
    name: "previous_token_mul",
    title: "detector: the previous token, by product",
    formula: "Σ_ij A_ij D_ij / Σ_ij A_ij",
    source: "TransformerLens, `head_detector.py`, error_measure \"mul\"",
    measure: Ratio(|row| Some([row.considered_previous.mass, row.considered])),
};
