//! From maps to a number per head and metric.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::digest::{Constants, RowDigest};
use crate::error::{HeadsError, Result};
use crate::metric::registry;

/// Which keys a query may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// Those up to its own position: n_i = i + 1.
    Causal,
    /// All of them: n_i = T.
    Full,
}

impl Mask {
    /// n_i, the number of keys that query `query` sees of `keys`.
    fn visible(self, query: usize, keys: usize) -> usize {
        match self {
            Self::Causal => keys.min(query + 1),
            Self::Full => keys,
        }
    }
}

/// The statistics of one head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadStatistics {
    /// Query rows that were looked at, over all sequences.
    pub rows: usize,
    /// Those among them without any mass, which no metric counts.
    pub empty_rows: usize,
    /// Each metric's mean over the rows for which it is defined; `None` if there was none.
    pub values: BTreeMap<&'static str, Option<f64>>,
}

impl HeadStatistics {
    /// The value of the metric `name`; `None` if there is no such metric or no row for which it is defined.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied().flatten()
    }
}

/// The statistics of every head of a map (B, H, T, T), over all its sequences and rows.
pub fn head_statistics(pattern: &Tensor, mask: Mask) -> Result<Vec<HeadStatistics>> {
    let dims = pattern.dims();
    if dims.len() != 4 || dims[2] != dims[3] {
        return Err(HeadsError::Shape { found: dims.to_vec(), rows: "as many as keys".to_owned() });
    }
    let rows: Vec<usize> = (0..dims[2]).collect();
    let mut tally = Tally::new(mask);
    tally.add(pattern, &rows)?;
    Ok(tally.statistics())
}

/// What uniform attention over T tokens scores: `p_ij = 1/n_i` on every key that row i may see.
pub fn uniform_statistics(t: usize, mask: Mask) -> HeadStatistics {
    uniform_statistics_of_rows(t, 0..t, mask)
}

/// What uniform attention over T tokens scores in these query rows: the baseline of a map that was captured in part.
pub fn uniform_statistics_of_rows(
    t: usize,
    rows: impl IntoIterator<Item = usize>,
    mask: Mask,
) -> HeadStatistics {
    let mut head = Head::new();
    for query in rows {
        let n = mask.visible(query, t);
        head.add(&vec![1.0 / n as f64; n], query);
    }
    head.statistics()
}

/// Statistics over several maps of one layer: batches, or texts of different length.
#[derive(Clone, Debug)]
pub struct Tally {
    mask: Mask,
    heads: Vec<Head>,
}

impl Tally {
    /// No rows yet.
    pub fn new(mask: Mask) -> Self {
        Self { mask, heads: Vec::new() }
    }

    /// Adds a map (B, H, R, Tk) whose query rows stand at the positions `rows` of the keys.
    ///
    /// Nothing is added if any weight is not that of an attention map under the mask.
    pub fn add(&mut self, pattern: &Tensor, rows: &[usize]) -> Result<()> {
        let wrong = || HeadsError::Shape { found: pattern.dims().to_vec(), rows: rows.len().to_string() };
        let &[_, heads, r, keys] = pattern.dims() else { return Err(wrong()) };
        if r != rows.len() {
            return Err(wrong());
        }
        if !self.heads.is_empty() && self.heads.len() != heads {
            return Err(HeadsError::Heads { found: heads, expected: self.heads.len() });
        }
        if let Some(&row) = rows.iter().find(|row| **row >= keys) {
            return Err(HeadsError::NoSuchRow { row, keys });
        }
        let weights = pattern.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
        let mut added = if self.heads.is_empty() { vec![Head::new(); heads] } else { self.heads.clone() };
        // Row after row in the order (batch, head, row).
        for (index, weights) in weights.chunks_exact(keys.max(1)).enumerate() {
            let (batch, head, query) = (index / (heads * r), index / r % heads, rows[index % r]);
            let visible = self.mask.visible(query, keys);
            for (key, &value) in weights.iter().enumerate() {
                let row = query;
                if !(value.is_finite() && value >= 0.0) {
                    return Err(HeadsError::Weight { batch, head, row, key, value });
                }
                if key >= visible && value != 0.0 {
                    return Err(HeadsError::Ahead { batch, head, row, key, value });
                }
            }
            added[head].add(&weights[..visible], query);
        }
        self.heads = added;
        Ok(())
    }

    /// The statistics of each head so far.
    pub fn statistics(&self) -> Vec<HeadStatistics> {
        self.heads.iter().map(Head::statistics).collect()
    }
}

/// Sums over rows, per metric.
#[derive(Clone, Debug)]
struct Head {
    rows: usize,
    empty_rows: usize,
    sums: Vec<[f64; 2]>, // as the registry: numerator and denominator
}

impl Head {
    fn new() -> Self {
        Self { rows: 0, empty_rows: 0, sums: vec![[0.0; 2]; registry().len()] }
    }

    /// Adds a row's weights over the keys it may see.
    fn add(&mut self, weights: &[f64], query: usize) {
        self.rows += 1;
        if weights.iter().all(|&a| a == 0.0) {
            self.empty_rows += 1;
            return;
        }
        let row = RowDigest::of_weights(weights, query, None, &Constants::default());
        for (metric, [above, below]) in registry().iter().zip(&mut self.sums) {
            if let Some([a, b]) = metric.measure.of(&row) {
                *above += a;
                *below += b;
            }
        }
    }

    fn statistics(&self) -> HeadStatistics {
        let value = |&[above, below]: &[f64; 2]| (below > 0.0).then(|| above / below);
        let values = registry().iter().zip(&self.sums).map(|(metric, sums)| (metric.name, value(sums)));
        HeadStatistics { rows: self.rows, empty_rows: self.empty_rows, values: values.collect() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{D, Device};

    use super::*;

    /// A map (B, H, T, T) in which no two rows agree, and no weight is zero where it is visible.
    fn pattern(b: usize, h: usize, t: usize, mask: Mask, dtype: DType) -> Tensor {
        let values: Vec<f64> = (0..b * h * t * t)
            .map(|flat| {
                let (i, j) = (flat / t % t, flat % t);
                if mask == Mask::Causal && j > i { 0.0 } else { (2.0 * (flat as f64 * 1.7).sin()).exp() }
            })
            .collect();
        let weights = Tensor::from_vec(values, (b, h, t, t), &Device::Cpu).unwrap();
        let sums = weights.sum_keepdim(D::Minus1).unwrap();
        weights.broadcast_div(&sums).unwrap().to_dtype(dtype).unwrap()
    }

    fn close(found: Option<f64>, expected: f64, what: &str) {
        assert!(
            found.is_some_and(|v| (v - expected).abs() < 1e-12),
            "{what}: {found:?}, expected {expected}"
        );
    }

    #[test]
    fn uniform_attention_in_some_rows_is_the_mean_over_those() {
        let rows = uniform_statistics_of_rows(8, [3, 7], Mask::Causal);
        assert_eq!(rows.rows, 2);
        let expected = (4f64.ln() + 8f64.ln()) / 2.0;
        assert!((rows.get("entropy").unwrap() - expected).abs() < 1e-12);
    }

    #[test]
    fn statistics_are_those_of_the_whole_map_computed_naively() {
        let (b, h, t) = (2, 3, 7);
        for mask in [Mask::Causal, Mask::Full] {
            let pattern = pattern(b, h, t, mask, DType::F64);
            for (head, statistics) in head_statistics(&pattern, mask).unwrap().iter().enumerate() {
                let maps: Vec<Vec<Vec<f64>>> =
                    pattern.narrow(1, head, 1).unwrap().squeeze(1).unwrap().to_vec3().unwrap();
                let rows: Vec<(usize, &Vec<f64>)> =
                    maps.iter().flat_map(|map| map.iter().enumerate()).collect();
                let mean = |from: usize, f: &dyn Fn(usize, &[f64]) -> f64| {
                    let values: Vec<f64> =
                        rows.iter().filter(|(i, _)| *i >= from).map(|(i, p)| f(*i, p)).collect();
                    values.iter().sum::<f64>() / values.len() as f64
                };
                let seen = |i: usize| if mask == Mask::Causal { i + 1 } else { t } as f64;
                let entropy =
                    |p: &[f64]| p.iter().map(|p| if *p > 0.0 { -p * p.ln() } else { 0.0 }).sum::<f64>();
                let second = if mask == Mask::Causal { 1 } else { 0 };
                let needed = |p: &[f64], share: f64| {
                    let mut p = p.to_vec();
                    p.sort_by(f64::total_cmp);
                    p.reverse();
                    let held = |n: usize| p[..n].iter().sum::<f64>();
                    (1..=t).find(|&n| held(n) > share - 1e-6).unwrap() as f64
                };
                let small = |p: &[f64], seen: f64| {
                    let top = p.iter().cloned().fold(0.0, f64::max);
                    p[..seen as usize].iter().filter(|p| **p < 0.01 * top).count() as f64
                };
                let expected = [
                    ("row_mass", 1.0),
                    ("entropy", mean(0, &|_, p| entropy(p))),
                    ("normalised_entropy", mean(second, &|i, p| entropy(p) / seen(i).ln())),
                    ("effective_support", mean(0, &|_, p| entropy(p).exp())),
                    ("top1_mass", mean(0, &|_, p| p.iter().cloned().fold(0.0, f64::max))),
                    ("first_token", mean(0, &|_, p| p[0])),
                    ("previous_token", mean(1, &|i, p| p[i - 1])),
                    ("current_token", mean(0, &|i, p| p[i])),
                    ("mean_distance", mean(0, &|i, p| (0..t).map(|j| p[j] * i.abs_diff(j) as f64).sum())),
                    ("participation", mean(0, &|_, p| 1.0 / p.iter().map(|p| p * p).sum::<f64>())),
                    ("n_90", mean(0, &|_, p| needed(p, 0.9))),
                    ("n_95", mean(0, &|_, p| needed(p, 0.95))),
                    ("n_99", mean(0, &|_, p| needed(p, 0.99))),
                    ("n_90_share", mean(0, &|i, p| needed(p, 0.9) / seen(i))),
                    ("n_95_share", mean(0, &|i, p| needed(p, 0.95) / seen(i))),
                    ("n_99_share", mean(0, &|i, p| needed(p, 0.99) / seen(i))),
                    ("sparsity", mean(0, &|i, p| small(p, seen(i)) / seen(i))),
                    ("sink", mean(1, &|_, p| p[0])),
                    ("first_k_mass", mean(0, &|_, p| p[..4].iter().sum())),
                    ("locality", 1.0),
                    ("previous_token_mul", mean(0, &|i, p| if i > 0 { p[i - 1] } else { 0.0 })),
                    ("previous_token_abs", mean(0, &|i, p| if i > 0 { 2.0 * p[i - 1] - 1.0 } else { 0.0 })),
                ];
                for (name, value) in expected {
                    close(statistics.get(name), value, name);
                }
                // The rest is about tokens, scores, values or a null option, of which a map says nothing.
                let defined = statistics.values.values().filter(|value| value.is_some()).count();
                assert_eq!(expected.len(), defined, "a metric without a naive counterpart");
                assert_eq!((statistics.rows, statistics.empty_rows), (b * t, 0));
            }
        }
    }

    #[test]
    fn uniform_causal_attention_has_its_closed_forms() {
        for t in [1, 2, 9, 64] {
            let uniform = uniform_statistics(t, Mask::Causal);
            let mean = |f: &dyn Fn(f64) -> f64| (1..=t).map(|i| f(i as f64)).sum::<f64>() / t as f64;
            close(uniform.get("entropy"), mean(&f64::ln), "mean ln i");
            close(uniform.get("first_token"), mean(&|i| 1.0 / i), "H_T / T");
            close(uniform.get("current_token"), mean(&|i| 1.0 / i), "H_T / T");
            close(uniform.get("top1_mass"), mean(&|i| 1.0 / i), "H_T / T");
            close(uniform.get("effective_support"), (t as f64 + 1.0) / 2.0, "mean i");
            close(uniform.get("mean_distance"), (t as f64 - 1.0) / 4.0, "mean (i − 1)/2");
            if t == 1 {
                assert_eq!((uniform.get("previous_token"), uniform.get("normalised_entropy")), (None, None));
            } else {
                let without_first = (2..=t).map(|i| 1.0 / i as f64).sum::<f64>() / (t as f64 - 1.0);
                close(uniform.get("previous_token"), without_first, "(H_T − 1)/(T − 1)");
                close(uniform.get("normalised_entropy"), 1.0, "one");
            }
        }
    }

    #[test]
    fn uniform_attention_without_a_mask_has_its_closed_forms() {
        let (t, n) = (9, 9.0);
        let uniform = uniform_statistics(t, Mask::Full);
        close(uniform.get("entropy"), f64::ln(n), "ln T");
        for name in ["first_token", "previous_token", "current_token", "top1_mass"] {
            close(uniform.get(name), 1.0 / n, name);
        }
        close(uniform.get("mean_distance"), (n * n - 1.0) / (3.0 * n), "(T² − 1)/3T");
    }

    #[test]
    fn the_baseline_is_what_a_uniform_map_scores() {
        for mask in [Mask::Causal, Mask::Full] {
            let t = 6;
            let values: Vec<f64> = (0..t * t)
                .map(|flat| {
                    if flat % t < mask.visible(flat / t, t) {
                        1.0 / mask.visible(flat / t, t) as f64
                    } else {
                        0.0
                    }
                })
                .collect();
            let map = Tensor::from_vec(values, (1, 1, t, t), &Device::Cpu).unwrap();
            assert_eq!(head_statistics(&map, mask).unwrap(), [uniform_statistics(t, mask)]);
        }
    }

    #[test]
    fn rows_without_mass_are_counted_and_left_out() {
        let map = Tensor::new(&[[[[1f32, 0.], [0., 0.]]]], &Device::Cpu).unwrap();
        let head = &head_statistics(&map, Mask::Causal).unwrap()[0];
        assert_eq!((head.rows, head.empty_rows), (2, 1));
        assert_eq!(head.get("first_token"), Some(1.0));
        assert_eq!(head.get("previous_token"), None);
        let nothing = head_statistics(&map.zeros_like().unwrap(), Mask::Causal).unwrap();
        assert!(nothing[0].values.values().all(Option::is_none));
        assert_eq!(nothing[0].empty_rows, 2);
    }

    #[test]
    fn shares_are_of_the_mass_a_row_gives() {
        let map = Tensor::new(&[[[[0.5f64, 0.], [0.1, 0.3]]]], &Device::Cpu).unwrap();
        let head = &head_statistics(&map, Mask::Causal).unwrap()[0];
        close(head.get("row_mass"), 0.45, "mass");
        close(head.get("first_token"), (1.0 + 0.25) / 2.0, "share");
    }

    #[test]
    fn parts_add_up_to_the_whole() {
        let whole = pattern(2, 2, 6, Mask::Causal, DType::F32);
        let expected = head_statistics(&whole, Mask::Causal).unwrap();
        let mut tally = Tally::new(Mask::Causal);
        for batch in [0, 1] {
            let one = whole.narrow(0, batch, 1).unwrap();
            tally.add(&one.narrow(2, 0, 4).unwrap(), &[0, 1, 2, 3]).unwrap();
            tally.add(&one.narrow(2, 4, 2).unwrap(), &[4, 5]).unwrap();
        }
        for (found, expected) in tally.statistics().iter().zip(&expected) {
            assert_eq!(found.rows, expected.rows);
            for (name, value) in &expected.values {
                match value {
                    Some(value) => close(found.get(name), *value, name),
                    None => assert_eq!(found.get(name), None, "{name}"),
                }
            }
        }
    }

    #[test]
    fn what_is_no_attention_map_is_refused_and_adds_nothing() {
        let causal = pattern(1, 1, 3, Mask::Causal, DType::F32);
        let full = pattern(1, 1, 3, Mask::Full, DType::F32);
        let mut tally = Tally::new(Mask::Causal);
        tally.add(&causal, &[0, 1, 2]).unwrap();
        let error = tally.add(&full, &[0, 1, 2]).unwrap_err().to_string();
        assert!(error.contains("pattern[0, 0, 0, 1]") && error.contains("Mask::Full"), "{error}");
        let scores = causal.log().unwrap();
        assert!(tally.add(&scores, &[0, 1, 2]).unwrap_err().to_string().contains("is this the scores?"));
        assert!(matches!(tally.add(&causal, &[0, 1]), Err(HeadsError::Shape { .. })));
        assert!(matches!(tally.add(&causal, &[0, 1, 3]), Err(HeadsError::NoSuchRow { row: 3, keys: 3 })));
        let two = pattern(1, 2, 3, Mask::Causal, DType::F32);
        assert!(matches!(tally.add(&two, &[0, 1, 2]), Err(HeadsError::Heads { found: 2, expected: 1 })));
        assert_eq!(tally.statistics()[0].rows, 3);
        let flat = causal.squeeze(0).unwrap();
        assert!(head_statistics(&flat, Mask::Causal).is_err());
        assert!(head_statistics(&causal.narrow(2, 0, 2).unwrap(), Mask::Causal).is_err());
    }
}
