//! The share of what followed the same token earlier in the text.

use super::Measure::Mean;
use super::Metric;

/// Queries whose token did not occur before are left out.
pub(super) const METRIC: Metric = Metric {
    name: "induction",
    title: "mass on what followed earlier occurrences of the token",
    formula: "Σ_{j<i, t_j = t_i} p_i,j+1, where there are any",
    source: "Olsson et al. 2022 (arXiv 2209.11895)",
    measure: Mean(|row| row.induction.filter(|hit| hit.keys > 0.0).map(|hit| hit.mass)),
};
