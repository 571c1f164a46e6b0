//! Every statistic from whole maps, plainly, in f64: nothing here is shared with the crate.

use std::collections::BTreeMap;

/// One text: its tokens, and for each head the full rows of weights (zero where hidden), with where each row begins.
pub(crate) struct Whole {
    pub(crate) tokens: Vec<u32>,
    pub(crate) period: usize,
    pub(crate) rows: Vec<Vec<f64>>,
    pub(crate) visible: Vec<(usize, usize)>,
    pub(crate) null: Option<Vec<f64>>,
    pub(crate) scores: Vec<Vec<f64>>,
    pub(crate) norms: Vec<f64>,
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl Whole {
    fn needed(&self, i: usize, share: f64) -> f64 {
        let mut sorted = self.rows[i].clone();
        sorted.sort_by(|a, b| b.partial_cmp(a).unwrap());
        let total: f64 = sorted.iter().sum();
        let (mut held, mut n) = (0.0, 0.0);
        for p in sorted {
            if held >= (share - 1e-6) * total {
                break;
            }
            held += p;
            n += 1.0;
        }
        n
    }

    /// Means over rows, of rows that see a key.
    pub(crate) fn values(&self) -> BTreeMap<&'static str, Option<f64>> {
        let t = self.rows.len();
        let all = || (0..t).filter(|&i| self.visible[i].0 < self.visible[i].1);
        let p = |i: usize, j: usize| self.rows[i][j];
        let null = |i: usize| self.null.as_ref().map_or(0.0, |null| null[i]);
        let count = |i: usize| (self.visible[i].1 - self.visible[i].0) as f64;
        let choices = |i: usize| count(i) + f64::from(u8::from(self.null.is_some()));
        let sees = |i: usize, j: usize| (self.visible[i].0..self.visible[i].1).contains(&j);
        let over = |i: usize, f: &dyn Fn(usize, f64) -> f64| (0..t).map(|j| f(j, p(i, j))).sum::<f64>();
        let log = |x: f64| if x > 0.0 { x * x.ln() } else { 0.0 };
        let entropy = |i: usize| {
            // As in the definition: that of being null or not, and that of what is not null.
            let s = null(i);
            let mass: f64 = over(i, &|_, p| p);
            let real = -over(i, &|_, p| log(p / mass));
            -log(s) - log(1.0 - s) + (1.0 - s) * real
        };
        let top = |i: usize| self.rows[i].iter().copied().fold(0.0, f64::max);
        let same = |i: usize, j: usize| j < i && self.tokens[i] == self.tokens[j];
        let duplicate = |i: usize, j: usize| same(i, j) && sees(i, j);
        let after = |i: usize, j: usize| j > 0 && j <= i && same(i, j - 1) && sees(i, j);
        let detector = |name: &'static str, d: &dyn Fn(usize, usize) -> bool| {
            let hit = |i: usize| over(i, &|j, p| if d(i, j) { p } else { 0.0 });
            let mul = all().map(hit).sum::<f64>() / all().map(|i| over(i, &|_, p| p)).sum::<f64>();
            let abs = mean(all().map(|i| 1.0 - over(i, &|j, p| (p - f64::from(u8::from(d(i, j)))).abs())));
            let plain = mean(all().filter(|&i| (0..t).any(|j| d(i, j))).map(hit));
            [(name, Some(mul)), (name, abs), (name, plain)]
        };
        let [dup_mul, dup_abs, dup] = detector("duplicate", &duplicate);
        let [ind_mul, ind_abs, ind] = detector("induction", &after);
        let [prev_mul, prev_abs, prev] = detector("previous", &|i, j| j + 1 == i && sees(i, j));
        let n = self.period;
        let copies = || all().filter(move |&i| i >= n && i < 2 * n && sees(i, i - n) && sees(i, i - n + 1));
        let range = |i: usize| {
            let seen = &self.scores[i][self.visible[i].0..self.visible[i].1];
            seen.iter().copied().fold(f64::MIN, f64::max) - seen.iter().copied().fold(f64::MAX, f64::min)
        };
        let values = [
            ("row_mass", mean(all().map(|i| over(i, &|_, p| p)))),
            ("null_mass", self.null.as_ref().and_then(|_| mean(all().map(null)))),
            ("entropy", mean(all().map(entropy))),
            (
                "normalised_entropy",
                mean(all().filter(|&i| choices(i) > 1.0).map(|i| entropy(i) / choices(i).ln())),
            ),
            ("effective_support", mean(all().map(|i| entropy(i).exp()))),
            ("participation", mean(all().map(|i| 1.0 / (over(i, &|_, p| p * p) + null(i).powi(2))))),
            ("top1_mass", mean(all().map(top))),
            ("n_90", mean(all().map(|i| self.needed(i, 0.9)))),
            ("n_95", mean(all().map(|i| self.needed(i, 0.95)))),
            ("n_99", mean(all().map(|i| self.needed(i, 0.99)))),
            ("n_90_share", mean(all().map(|i| self.needed(i, 0.9) / count(i)))),
            ("n_95_share", mean(all().map(|i| self.needed(i, 0.95) / count(i)))),
            ("n_99_share", mean(all().map(|i| self.needed(i, 0.99) / count(i)))),
            (
                "sparsity",
                mean(all().map(|i| {
                    over(i, &|j, p| f64::from(u8::from(sees(i, j) && p < 0.01 * top(i)))) / count(i)
                })),
            ),
            ("first_token", mean(all().map(|i| p(i, 0)))),
            ("sink", mean(all().filter(|&i| i > 0).map(|i| p(i, 0)))),
            ("first_k_mass", mean(all().map(|i| over(i, &|j, p| if j < 4 { p } else { 0.0 })))),
            (
                "value_weighted_first_token",
                mean(all().map(|i| p(i, 0) * self.norms[0] / over(i, &|j, p| p * self.norms[j]))),
            ),
            ("previous_token", prev.1),
            ("current_token", mean(all().map(|i| p(i, i)))),
            ("duplicate_token", dup.1),
            ("induction", ind.1),
            ("duplicate_copy", mean(copies().map(|i| p(i, i - n)))),
            ("induction_copy", mean(copies().map(|i| p(i, i - n + 1)))),
            ("previous_token_mul", prev_mul.1),
            ("previous_token_abs", prev_abs.1),
            ("duplicate_token_mul", dup_mul.1),
            ("duplicate_token_abs", dup_abs.1),
            ("induction_mul", ind_mul.1),
            ("induction_abs", ind_abs.1),
            (
                "mean_distance",
                mean(all().map(|i| over(i, &|j, p| p * i.abs_diff(j) as f64) / over(i, &|_, p| p))),
            ),
            ("locality", mean(all().map(|i| over(i, &|j, p| if i.abs_diff(j) < 16 { p } else { 0.0 })))),
            ("score_range", mean(all().map(range))),
        ];
        values.into_iter().collect()
    }

    /// α_k, and the mean weight of a pair `begin..end` apart.
    pub(crate) fn sinks(&self) -> Vec<f64> {
        let t = self.rows.len();
        let rate = |k: usize| {
            let sees = |i: &usize| (self.visible[*i].0..self.visible[*i].1).contains(&k);
            mean((0..t).filter(sees).map(|i| self.rows[i][k])).unwrap_or(0.0)
        };
        (0..t).map(rate).collect()
    }

    pub(crate) fn at_distance(&self, begin: usize, end: usize, ahead: bool) -> Option<f64> {
        let t = self.rows.len();
        let pairs = (0..t).flat_map(|i| (self.visible[i].0..self.visible[i].1).map(move |j| (i, j)));
        let apart = |&(i, j): &(usize, usize)| {
            (if ahead { j > i } else { j <= i }) && (begin..end).contains(&i.abs_diff(j))
        };
        mean(pairs.filter(apart).map(|(i, j)| self.rows[i][j]))
    }

    pub(crate) fn curve(&self, share: f64) -> f64 {
        mean((0..self.rows.len()).map(|i| self.needed(i, share))).unwrap()
    }
}
