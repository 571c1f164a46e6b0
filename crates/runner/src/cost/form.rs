//! The forms of attention that are compared: one file each in `forms`, one line in [`registry`].

use attnlab_model::ModelConfig;
use attnlab_ops::{AttentionSpec, Result};
use candle_core::Tensor;

use super::forms;

/// A form of causal attention.
pub trait Form: Sync {
    /// What options and tables call it.
    fn name(&self) -> &'static str;

    /// What it computes, in a line.
    fn about(&self) -> &'static str;

    /// Multiply-adds ×2 of its forward pass a head and sequence, as a formula in N and K.
    fn operations(&self) -> &'static str;

    /// (B, N, H, K) from q, k, v (B, N, H, K).
    fn attend(&self, q: &Tensor, k: &Tensor, v: &Tensor, reach: &Reach) -> Result<Tensor>;

    /// Gives every layer of a model this form.
    fn shape(&self, config: &mut ModelConfig, reach: &Reach);

    /// Whether maps (B, H, N, N) are held.
    fn holds_maps(&self) -> bool {
        false
    }

    /// Of a form that holds maps: its scores, from the masked scores (B, H, N, N) of full attention; none: these.
    fn edit(&self, _scores: &Tensor, _reach: &Reach) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What a head needs for a sequence of n tokens.
    fn needs(&self, n: u64, k: u64, reach: &Reach) -> Needs;
}

/// What a form's definition needs for one head and sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Pairs of query and key that a score is needed for.
    pub pairs: u64,
    /// Multiply-adds ×2 of the forward pass between queries, keys and values.
    pub forward: u64,
    /// Those of the backward pass, in which a fused kernel computes the scores again.
    pub backward: u64,
}

impl Needs {
    /// With a score and a value product forward, and backward those of ∂v, ∂p, ∂q and ∂k.
    pub(super) fn of_maps(pairs: u64, k: u64) -> Self {
        Self { pairs, forward: 4 * k * pairs, backward: 8 * k * pairs }
    }

    /// The same in a kernel that holds no map: it computes the scores twice.
    pub(super) fn of_kernel(pairs: u64, k: u64) -> Self {
        Self { pairs, forward: 4 * k * pairs, backward: 10 * k * pairs }
    }
}

/// How far the sparse forms see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Tokens of a window, the query among them.
    pub window: usize,
    /// First keys that stay visible beside it.
    pub sinks: usize,
    /// Tokens of a block.
    pub block: usize,
    /// Earlier blocks that a block sees.
    pub keep: usize,
    /// Keys that a query keeps.
    pub top_k: usize,
}

impl Default for Reach {
    fn default() -> Self {
        Self { window: 128, sinks: 4, block: 32, keep: 3, top_k: 32 }
    }
}

/// Every form, in the order of tables.
pub fn registry() -> &'static [&'static dyn Form] {
    &[&forms::Full, &forms::Streamed, &forms::Window, &forms::TopK]
}

/// Causal attention with the usual scale.
pub(super) fn causal(q: &Tensor) -> Result<AttentionSpec> {
    let scale = 1.0 / (q.dim(3)? as f64).sqrt();
    Ok(AttentionSpec { scale, causal: true, window: None, softcap: None })
}

/// n(n + 1)/2: each query sees itself and what is before it.
pub(super) fn triangle(n: u64) -> u64 {
    n * (n + 1) / 2
}

/// The same with only the last w keys of each query.
pub(super) fn band(n: u64, w: u64) -> u64 {
    triangle(n) - triangle(n.saturating_sub(w))
}

/// The same with the first s keys besides.
pub(super) fn sinks_and_band(n: u64, w: u64, s: u64) -> u64 {
    let beyond = n.saturating_sub(w);
    band(n, w) + band(beyond, s)
}

/// With the k best keys of each query.
pub(super) fn top(n: u64, k: u64) -> u64 {
    band(n, k)
}

/// In blocks of b, with the `keep` best earlier blocks of each query; and how many means it is compared with for them.
pub(super) fn blocks(n: u64, b: u64, keep: u64) -> (u64, u64) {
    let of_query = |i: u64| i % b + 1 + keep.min(i / b) * b;
    ((0..n).map(of_query).sum(), (0..n).map(|i| i / b).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_those_that_a_loop_counts() {
        for n in [1, 2, 7, 16, 33] {
            for (w, s) in [(1, 0), (4, 3), (8, 100), (50, 2)] {
                let count = |sees: &dyn Fn(u64, u64) -> bool| {
                    (0..n).map(|i| (0..=i).filter(|&j| sees(i, j)).count() as u64).sum::<u64>()
                };
                assert_eq!(triangle(n), count(&|_, _| true));
                assert_eq!(band(n, w), count(&|i, j| i - j < w));
                assert_eq!(sinks_and_band(n, w, s), count(&|i, j| i - j < w || j < s));
                assert_eq!(top(n, w), (0..n).map(|i| w.min(i + 1)).sum::<u64>());
                let own = |i: u64, j: u64| i / w == j / w;
                let earlier: u64 = (0..n).map(|i| s.min(i / w) * w).sum();
                assert_eq!(blocks(n, w, s).0, count(&own) + earlier);
            }
        }
    }

    #[test]
    fn every_form_has_a_name_of_its_own_and_says_what_it_is() {
        let names: std::collections::BTreeSet<&str> = registry().iter().map(|form| form.name()).collect();
        assert_eq!(names.len(), registry().len());
        assert!(registry().iter().all(|form| !form.about().is_empty() && form.operations().contains('N')));
        assert_eq!(registry().first().map(|form| form.name()), Some("full"));
    }
}
