//! The first token's share of what is moved.

use super::Measure::Mean;
use super::Metric;

/// Sinks tend to have small values: what is looked at need not be read. Norms are given by the caller.
pub(super) const METRIC: Metric = Metric {
    name: "value_weighted_first_token",
    title: "value-weighted mass on the first token",
    formula: "p_i0 ‖v_0 W_O‖ / Σ_j p_ij ‖v_j W_O‖",
    source: "Kobayashi et al. 2020 (arXiv 2004.10102)",
    measure: Mean(|row| row.value_share),
};
