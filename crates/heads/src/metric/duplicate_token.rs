//! The share of the same token earlier in the text.

use super::Measure::Mean;
use super::Metric;

/// Queries whose token did not occur before are left out.
pub(super) const METRIC: Metric = Metric {
    name: "duplicate_token",
    title: "mass on earlier occurrences of the token",
    formula: "Σ_{j<i, t_j = t_i} p_ij, where there are any",
    source: "duplicate-token heads: Wang et al. 2022 (arXiv 2211.00593)",
    measure: Mean(|row| row.duplicate.filter(|hit| hit.keys > 0.0).map(|hit| hit.mass)),
};
