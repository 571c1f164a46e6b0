//! The metrics: one file and one line in the registry each. What they read is in [`crate::digest`].

use crate::digest::{Hit, RowDigest};

impl RowDigest {
    /// How many outcomes a row has: the keys it sees, and nothing if that is an option.
    fn choices(&self) -> usize {
        self.visible + usize::from(self.null.is_some())
    }

    /// 1 − Σ_j |p_ij − D_ij| over the keys that detectors consider.
    fn detected(&self, hit: Hit) -> f64 {
        1.0 - (self.considered - hit.mass) - (hit.keys - hit.mass)
    }
}

/// How a row's digest becomes a number of its head.
#[derive(Clone, Copy, Debug)]
pub enum Measure {
    /// A number per row, averaged over the rows of a text; `None` where it is not defined, and the row is left out.
    Mean(fn(&RowDigest) -> Option<f64>),
    /// Σ a / Σ b of the pairs \[a, b\] of all rows of a text.
    Ratio(fn(&RowDigest) -> Option<[f64; 2]>),
}

impl Measure {
    /// What a row adds to numerator and denominator.
    pub(crate) fn of(&self, row: &RowDigest) -> Option<[f64; 2]> {
        match self {
            Self::Mean(value) => value(row).map(|value| [value, 1.0]),
            Self::Ratio(pair) => pair(row),
        }
    }
}

/// A number per head.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// The name in tables and files.
    pub name: &'static str,
    /// A title of a few words.
    pub title: &'static str,
    /// The value of row i, with n_i the number of keys it may see.
    pub formula: &'static str,
    /// Where the definition is from.
    pub source: &'static str,
    /// How it is computed from the digests of rows.
    pub measure: Measure,
}

macro_rules! registry {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every metric there is.
        pub fn registry() -> &'static [Metric] {
            const { &[$($module::METRIC),*] }
        }
    };
}

registry! {
    row_mass,
    null_mass,
    entropy,
    normalised_entropy,
    effective_support,
    participation,
    top1_mass,
    n_90,
    n_90_share,
    n_95,
    n_95_share,
    n_99,
    n_99_share,
    sparsity,
    first_token,
    sink,
    first_k_mass,
    value_weighted_first_token,
    previous_token,
    current_token,
    duplicate_token,
    induction,
    duplicate_copy,
    induction_copy,
    previous_token_mul,
    previous_token_abs,
    duplicate_token_mul,
    duplicate_token_abs,
    induction_mul,
    induction_abs,
    mean_distance,
    locality,
    score_range,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;
    use crate::digest::Constants;

    /// The value of the row `p` of query `query`, which must sum to one.
    pub(super) fn value(metric: &Metric, p: &[f64], query: usize) -> Option<f64> {
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        let row = RowDigest::of_weights(p, query, None, &Constants::default());
        metric.measure.of(&row).filter(|[_, weight]| *weight != 0.0).map(|[value, weight]| value / weight)
    }

    #[test]
    fn every_metric_says_what_it_is_and_has_its_own_name() {
        let mut names = HashSet::new();
        for metric in registry() {
            assert!(names.insert(metric.name), "{} is there twice", metric.name);
            for text in [metric.name, metric.title, metric.formula, metric.source] {
                assert!(!text.trim().is_empty(), "{}", metric.name);
            }
        }
    }

    #[test]
    fn every_metric_is_finite_where_it_is_defined() {
        for metric in registry() {
            for (p, query) in
                [(&[1.0][..], 0), (&[0.0, 1.0], 1), (&[1.0, 0.0, 0.0], 2), (&[0.5, 0.25, 0.25], 0)]
            {
                assert!(value(metric, p, query).is_none_or(f64::is_finite), "{} of {p:?}", metric.name);
            }
        }
    }
}
