//! The share of the same place in the first copy of a text said twice.

use super::Measure::Mean;
use super::Metric;

/// Over the queries of the second copy.
pub(super) const METRIC: Metric = Metric {
    name: "duplicate_copy",
    title: "mass on the same place of the first copy",
    formula: "p_i,i−n, i in the second copy of length n",
    source: "TransformerLens's demonstrations of duplicate-token heads",
    measure: Mean(|row| row.copy.map(|[same, _]| same)),
};
