//! Which keys of a causal map each query keeps, after training: masks on the scores.

use serde::{Deserialize, Serialize};

use super::form::{band, blocks, sinks_and_band, top, triangle};

/// Which keys a query keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// The last w, itself among them (Beltagy et al. 2020).
    Window(usize),
    /// The first s besides (Xiao et al. 2024).
    WindowSinks {
        /// w.
        window: usize,
        /// s.
        sinks: usize,
    },
    /// Those up to itself in its block, and the earlier blocks with the largest mean score (Lu et al. 2025, MoBA).
    Blocks {
        /// Tokens of a block.
        block: usize,
        /// Earlier blocks.
        keep: usize,
    },
    /// Those with the k largest scores (Gupta et al. 2021).
    TopK(usize),
}

/// Pairs of query and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// Whose score is needed, that of a query and a block's mean counted as one.
    pub scored: u64,
    /// Whose value is read.
    pub read: u64,
}

impl Span {
    /// The form's name.
    pub fn form(self) -> &'static str {
        match self {
            Self::Window(_) => "window",
            Self::WindowSinks { .. } => "window + sinks",
            Self::Blocks { .. } => "block-sparse",
            Self::TopK(_) => "top-k",
        }
    }

    /// The form with its numbers.
    pub fn label(self) -> String {
        match self {
            Self::Window(window) => format!("window {window}"),
            Self::WindowSinks { window, sinks } => format!("window {window}, {sinks} sinks"),
            Self::Blocks { block, keep } => format!("blocks of {block}, {keep} kept"),
            Self::TopK(k) => format!("top {k}"),
        }
    }

    /// The pairs of one head over n tokens.
    pub fn pairs(self, n: u64) -> Pairs {
        let same = |pairs| Pairs { scored: pairs, read: pairs };
        match self {
            Self::Window(window) => same(band(n, window as u64)),
            Self::WindowSinks { window, sinks } => same(sinks_and_band(n, window as u64, sinks as u64)),
            Self::Blocks { block, keep } => {
                let (pairs, compared) = blocks(n, block as u64, keep as u64);
                Pairs { scored: pairs + compared, read: pairs }
            }
            Self::TopK(k) => Pairs { scored: triangle(n), read: top(n, k as u64) },
        }
    }

    /// Puts −∞ where a query does not keep the key, in the scores (T, T) of one head.
    pub(super) fn narrow(self, scores: &mut [f32], n: usize) {
        for (i, row) in scores.chunks_exact_mut(n.max(1)).enumerate() {
            let visible = &mut row[..=i];
            match self {
                Self::Window(window) => hide(visible, |j| j + window > i),
                Self::WindowSinks { window, sinks } => hide(visible, |j| j < sinks || j + window > i),
                Self::Blocks { block, keep } => {
                    let own = i / block;
                    let chosen = best_blocks(&visible[..own * block], block, keep);
                    hide(visible, |j| j / block == own || chosen.contains(&(j / block)));
                }
                Self::TopK(k) if k <= i => {
                    let mut order: Vec<usize> = (0..=i).collect();
                    // Of equals the earlier key.
                    let better = |a: &usize, b: &usize| visible[*b].total_cmp(&visible[*a]).then(a.cmp(b));
                    order.select_nth_unstable_by(k, better);
                    order[k..].iter().for_each(|&j| visible[j] = f32::NEG_INFINITY);
                }
                Self::TopK(_) => {}
            }
        }
    }
}

fn hide(visible: &mut [f32], keeps: impl Fn(usize) -> bool) {
    for (_, score) in visible.iter_mut().enumerate().filter(|(j, _)| !keeps(*j)) {
        *score = f32::NEG_INFINITY;
    }
}

/// The blocks of scores with the largest mean; of equals the earlier one.
fn best_blocks(scores: &[f32], block: usize, keep: usize) -> Vec<usize> {
    let sums =
        scores.chunks_exact(block).map(|scores| scores.iter().map(|&score| f64::from(score)).sum::<f64>());
    let mut order: Vec<(f64, usize)> = sums.zip(0..).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    order.into_iter().take(keep).map(|(_, at)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores that no two are equal of.
    fn scores(n: usize) -> Vec<f32> {
        (0..n * n)
            .map(|at| if at % n > at / n { f32::NEG_INFINITY } else { ((at * 7919) % 10007) as f32 / 1e3 })
            .collect()
    }

    #[test]
    fn as_many_pairs_are_kept_as_the_formulas_say() {
        for n in [1, 2, 5, 16, 23, 64] {
            for span in [
                Span::Window(1),
                Span::Window(6),
                Span::Window(100),
                Span::WindowSinks { window: 6, sinks: 3 },
                Span::WindowSinks { window: 6, sinks: 40 },
                Span::Blocks { block: 4, keep: 2 },
                Span::Blocks { block: 5, keep: 0 },
                Span::Blocks { block: 30, keep: 9 },
                Span::TopK(1),
                Span::TopK(7),
            ] {
                let mut narrowed = scores(n);
                span.narrow(&mut narrowed, n);
                let kept = narrowed.iter().filter(|score| score.is_finite()).count() as u64;
                assert_eq!(kept, span.pairs(n as u64).read, "{} of {n}", span.label());
            }
        }
    }

    #[test]
    fn each_span_keeps_the_keys_it_is_named_for() {
        let n = 12;
        let full = scores(n);
        let kept = |span: Span| {
            let mut narrowed = full.clone();
            span.narrow(&mut narrowed, n);
            (0..n).filter(|j| narrowed[(n - 1) * n + j].is_finite()).collect::<Vec<usize>>()
        };
        assert_eq!(kept(Span::Window(3)), [9, 10, 11]);
        assert_eq!(kept(Span::WindowSinks { window: 3, sinks: 2 }), [0, 1, 9, 10, 11]);
        let row = &full[(n - 1) * n..];
        let third = kept(Span::TopK(3)).iter().map(|&j| row[j]).fold(f32::INFINITY, f32::min);
        assert_eq!(row.iter().filter(|score| **score > third).count(), 2);
        // Of blocks of four the better of the two earlier ones.
        let sum = |block: usize| row[4 * block..][..4].iter().sum::<f32>();
        let better = if sum(0) > sum(1) { 0 } else { 4 };
        let expected: Vec<usize> = (better..better + 4).chain(8..12).collect();
        assert_eq!(kept(Span::Blocks { block: 4, keep: 1 }), expected);
    }
}
