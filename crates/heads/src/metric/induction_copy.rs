//! The share of the next place in the first copy of a text said twice.

use super::Measure::Mean;
use super::Metric;

/// Over the queries of the second copy.
pub(super) const METRIC: Metric = Metric {
    name: "induction_copy",
    title: "induction score",
    formula: "p_i,i−n+1, i in the second copy of length n",
    source: "Olsson et al. 2022 (arXiv 2209.11895)",
    measure: Mean(|row| row.copy.map(|[_, next]| next)),
};
