//! TransformerLens's detector of what followed earlier occurrences, by product.

use super::Measure::Ratio;
use super::Metric;

/// Keys that the options exclude are in neither sum.
pub(super) const METRIC: Metric = Metric {
    name: "induction_mul",
    title: "detector: what followed earlier occurrences of the token, by product",
    formula: "Σ_ij A_ij D_ij / Σ_ij A_ij",
    source: "TransformerLens, `head_detector.py`, error_measure \"mul\"",
    measure: Ratio(|row| row.considered_induction.map(|hit| [hit.mass, row.considered])),
};
