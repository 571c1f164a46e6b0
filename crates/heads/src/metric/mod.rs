//! The metrics: one file and one line in the registry each.

/// One query row of a map, as a distribution over the keys it may see.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// p, which sums to one: a weight per visible key, from key 0 on.
    pub p: &'a [f64],
    /// The position of the query among the keys, i.
    pub query: usize,
    /// ΣA, the mass before it was divided out.
    pub mass: f64,
}

impl Row<'_> {
    /// −Σ p ln p in nats, with 0 ln 0 = 0.
    pub fn entropy(&self) -> f64 {
        // `0.0 -` and not unary minus: the entropy of certainty is 0, not −0.
        0.0 - self.p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>()
    }

    /// The weight of key `key`; zero where the row cannot see it.
    pub fn at(&self, key: usize) -> f64 {
        self.p.get(key).copied().unwrap_or(0.0)
    }
}

/// A number per query row, averaged over the rows of a head (and the sequences of a batch).
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
    /// The value of a row; `None` where it is not defined, and the row is left out of the mean.
    pub of_row: fn(&Row<'_>) -> Option<f64>,
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
    entropy,
    normalised_entropy,
    effective_support,
    top1_mass,
    first_token,
    previous_token,
    current_token,
    mean_distance,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    /// The value of the row `p` of query `query`, which must sum to one.
    pub(super) fn value(metric: &Metric, p: &[f64], query: usize) -> Option<f64> {
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-15);
        (metric.of_row)(&Row { p, query, mass: 1.0 })
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
