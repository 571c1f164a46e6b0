//! TransformerLens's detector of what followed earlier occurrences, by difference.

use super::Measure::Mean;
use super::Metric;

/// Keys that the options exclude are left out. One at most, and below zero for most heads.
pub(super) const METRIC: Metric = Metric {
    name: "induction_abs",
    title: "detector: what followed earlier occurrences of the token, by difference",
    formula: "1 − (1/T) Σ_ij |A_ij − D_ij|",
    source: "TransformerLens, `head_detector.py`, error_measure \"abs\", not rounded",
    measure: Mean(|row| row.considered_induction.map(|hit| row.detected(hit))),
};
