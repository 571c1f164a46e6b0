//! TransformerLens's detector of previous token, by difference.

use super::Measure::Mean;
use super::Metric;

/// Keys that the options exclude are left out. One at most, and below zero for most heads.
pub(super) const METRIC: Metric = Metric {
    name: "previous_token_abs",
    title: "detector: the previous token, by difference",
    formula: "1 − (1/T) Σ_ij |A_ij − D_ij|",
    source: "TransformerLens, `head_detector.py`, error_measure \"abs\", not rounded",
    measure: Mean(|row| Some(row.detected(row.considered_previous))),
};
