//! What is kept of a head while the rows of a text come.

use attnlab_ops::WatchedRow;

use crate::bins::ByDistance;
use crate::digest::{Constants, Place, RowDigest, SHARES, Sums};
use crate::lanes::add_to;
use crate::metric::registry;
use crate::survey::SurveyOptions;
use crate::text::Text;

/// Rows whose weights are summed per key in f32.
const ROWS: usize = 64;

/// Sums over the rows of one head and one text.
#[derive(Debug)]
pub(crate) struct OfText {
    /// First key and number of keys of each row, which is all there is to know of the mask.
    pub(crate) rows: Vec<[u32; 2]>,
    empty: usize,
    /// Rows whose weights are not finite.
    broken: usize,
    /// Numerator and denominator of each metric.
    sums: Vec<[f64; 2]>,
    /// Rows of a distribution, and for each of [`SHARES`] the keys needed and their share of the visible ones.
    curve: (f64, [[f64; 2]; SHARES.len()]),
    /// Mass of each key; that of the last few rows.
    keys: Vec<f64>,
    recent: Vec<f32>,
    behind: ByDistance,
    ahead: ByDistance,
    /// ‖v_j W_O‖.
    norms: Option<Vec<f32>>,
}

/// The statistics of one head and one text.
#[derive(Clone, Debug)]
pub(crate) struct Gathered {
    pub(crate) rows: usize,
    pub(crate) empty: usize,
    pub(crate) broken: usize,
    pub(crate) values: Vec<Option<f64>>,
    pub(crate) curve: Option<[[f64; 2]; SHARES.len()]>,
    /// α_k.
    pub(crate) rates: Vec<f32>,
    /// Whether enough queries see key k for it to be named.
    pub(crate) often: Vec<bool>,
    pub(crate) behind: Vec<Option<f32>>,
    pub(crate) ahead: Vec<Option<f32>>,
}

impl OfText {
    pub(crate) fn new(keys: usize, norms: Option<Vec<f32>>) -> Self {
        Self {
            rows: Vec::with_capacity(keys),
            empty: 0,
            broken: 0,
            sums: vec![[0.0; 2]; registry().len()],
            curve: Default::default(),
            keys: vec![0.0; keys],
            recent: vec![0.0; keys],
            behind: ByDistance::new(keys),
            ahead: ByDistance::new(keys),
            norms,
        }
    }

    /// The sums of uniform attention in some rows.
    pub(crate) fn uniform(rows: &[[u32; 2]], text: Option<&Text>, constants: &Constants) -> Self {
        let keys = rows.iter().map(|[first, visible]| (first + visible) as usize).max().unwrap_or(0);
        let mut sums = Self::new(keys.max(rows.len()), None);
        let mut weights = Vec::new();
        for (query, &[first, visible]) in rows.iter().enumerate() {
            weights.clear();
            weights.resize(visible as usize, 1.0 / visible as f32);
            let first = first as usize;
            let row = WatchedRow {
                batch: 0,
                head: 0,
                row: query,
                query: query as i64,
                first,
                weights: &weights,
                max: f32::NAN,
                min: f32::NAN,
                log_sum: f32::NAN,
                null: None,
            };
            sums.add_row(&row, query, text, constants);
        }
        sums
    }

    /// Adds a row of a text, whose keys end with the text.
    pub(crate) fn add(&mut self, row: &WatchedRow<'_>, query: usize, text: &Text, constants: &Constants) {
        let seen = text.len().saturating_sub(row.first).min(row.weights.len());
        let row = WatchedRow { weights: &row.weights[..seen], ..*row };
        self.add_row(&row, query, Some(text), constants);
    }

    fn add_row(&mut self, row: &WatchedRow<'_>, query: usize, text: Option<&Text>, constants: &Constants) {
        let &WatchedRow { weights, first, .. } = row;
        self.rows.push([first as u32, weights.len() as u32]);
        let before = query as i64 - first as i64;
        let sums = Sums::of(weights, before as f32);
        if !sums.mass.is_finite() {
            self.broken += 1;
            return;
        }
        if sums.mass == 0.0 {
            self.empty += 1;
            return;
        }
        let place = Place { query, first, visible: weights.len() };
        let at = |key: usize| weights.get(key).copied().map_or(0.0, f64::from);
        let null = row.null.map(f64::from);
        let mut digest = RowDigest::new(place, &sums, null, at, text, constants);
        let range = f64::from(row.max) - f64::from(row.min);
        digest.score_range = range.is_finite().then_some(range);
        digest.value_share = self.norms.as_ref().and_then(|norms| value_share(weights, first, norms));
        for (metric, [above, below]) in registry().iter().zip(&mut self.sums) {
            if let Some([a, b]) = metric.measure.of(&digest) {
                *above += a;
                *below += b;
            }
        }
        self.curve.0 += 1.0;
        for ([keys, share], needed) in self.curve.1.iter_mut().zip(digest.needed) {
            *keys += needed;
            *share += needed / weights.len() as f64;
        }
        if let Some(recent) = self.recent.get_mut(first..first + weights.len()) {
            add_to(recent, weights);
        }
        if self.rows.len().is_multiple_of(ROWS) {
            self.settle();
        }
        if let Ok(before) = usize::try_from(before) {
            self.behind.add_behind(weights, before);
            self.ahead.add_ahead(weights, before);
        }
    }

    fn settle(&mut self) {
        for (key, recent) in self.keys.iter_mut().zip(&mut self.recent) {
            *key += f64::from(*recent);
            *recent = 0.0;
        }
    }

    pub(crate) fn gather(mut self, options: &SurveyOptions) -> Gathered {
        self.settle();
        // How many queries see each key: where rows begin and end, summed up.
        let mut queries = vec![0i64; self.keys.len() + 1];
        for &[first, visible] in &self.rows {
            let (begin, end) = (first as usize, (first + visible) as usize);
            if let Some(count) = queries.get_mut(begin) {
                *count += 1;
            }
            if let Some(count) = queries.get_mut(end) {
                *count -= 1;
            }
        }
        let mut seen = 0;
        for count in &mut queries {
            seen += *count;
            *count = seen;
        }
        let rate = |(mass, &seen): (&f64, &i64)| if seen > 0 { (mass / seen as f64) as f32 } else { 0.0 };
        let kept = self.keys.len().min(options.profile);
        let (keys, queries) = (&self.keys[..kept], &queries[..kept]);
        let (rows, curve) = self.curve;
        Gathered {
            rows: self.rows.len(),
            empty: self.empty,
            broken: self.broken,
            values: self.sums.iter().map(|&[above, below]| (below > 0.0).then(|| above / below)).collect(),
            curve: (rows > 0.0).then(|| curve.map(|point| point.map(|sum| sum / rows))),
            rates: keys.iter().zip(queries).map(rate).collect(),
            often: queries.iter().map(|&seen| seen >= options.sink_queries as i64).collect(),
            behind: self.behind.means(),
            ahead: self.ahead.means(),
        }
    }
}

/// p_0 ‖v_0‖ / Σ p_j ‖v_j‖; none where no value has a size, or a norm is missing.
fn value_share(weights: &[f32], first: usize, norms: &[f32]) -> Option<f64> {
    let norms = norms.get(first..first + weights.len())?;
    let (chunks, rest) = weights.as_chunks::<8>();
    let (norm_chunks, norm_rest) = norms.as_chunks::<8>();
    let mut lanes = [0f64; 8];
    for (weights, norms) in chunks.iter().zip(norm_chunks) {
        for (lane, (a, norm)) in lanes.iter_mut().zip(weights.iter().zip(norms)) {
            *lane += f64::from(a * norm);
        }
    }
    let rest = rest.iter().zip(norm_rest).map(|(a, norm)| f64::from(a * norm)).sum::<f64>();
    let total = lanes.iter().sum::<f64>() + rest;
    let of_first = if first == 0 { f64::from(*weights.first()? * *norms.first()?) } else { 0.0 };
    (total > 0.0 && total.is_finite()).then(|| of_first / total)
}
