//! How far scores lie apart.

use super::Measure::Mean;
use super::Metric;

/// Bounds how sharp a row can be: no key gets more than 1/(1 + (n − 1) e^{−Δ}).
pub(super) const METRIC: Metric = Metric {
    name: "score_range",
    title: "range of the scores",
    formula: "Δ_i = max_j s_ij − min_j s_ij",
    source: "Veličković et al. 2024 (arXiv 2410.01104)",
    measure: Mean(|row| row.score_range),
};
