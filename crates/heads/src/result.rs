//! What a survey found, for tables and files.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bins::distance_bins;
use crate::digest::{Constants, SHARES};
use crate::estimate::{Estimate, Running};
use crate::gather::Gathered;
use crate::metric::registry;
use crate::survey::SurveyOptions;

/// The statistics of all heads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SurveyResult {
    /// Texts looked at.
    pub texts: usize,
    /// Their tokens.
    pub tokens: usize,
    /// Constants of the definitions.
    pub constants: Constants,
    /// Each layer that showed its rows.
    pub layers: Vec<LayerSummary>,
}

impl SurveyResult {
    /// One head's statistics.
    pub fn head(&self, layer: usize, head: usize) -> Option<&HeadResult> {
        let layer = self.layers.iter().find(|found| found.layer == layer)?;
        layer.heads.iter().find(|found| found.head == Some(head))
    }
}

/// The heads of a layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerSummary {
    /// The block.
    pub layer: usize,
    /// Its query heads.
    pub heads: Vec<HeadResult>,
    /// What uniform attention scores in the same rows: the baseline.
    pub uniform: HeadResult,
}

/// One head.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadResult {
    /// The query head; none for the baseline.
    pub head: Option<usize>,
    /// Query rows looked at.
    pub rows: usize,
    /// Those among them without any mass on a key, which no metric counts.
    pub empty_rows: usize,
    /// Those among them with weights that are not finite, which no metric counts.
    pub broken_rows: usize,
    /// Every metric of the registry.
    pub values: BTreeMap<&'static str, Estimate>,
    /// The keys with the largest sink rates, the largest first.
    pub sinks: Vec<Sink>,
    /// α_k, the mean weight of key k in the rows that see it (Gu et al. 2024, arXiv 2410.10781), over the texts that
    /// reach it.
    pub sink_profile: Vec<f32>,
    /// The mean weight of a pair by the distance of the key behind the query.
    pub distance_profile: Vec<DistanceBin>,
    /// The same for keys ahead of the query; empty under a causal mask.
    pub ahead_profile: Vec<DistanceBin>,
    /// How many keys hold a share of a row.
    pub mass_curve: Vec<CurvePoint>,
}

impl HeadResult {
    /// The mean of a metric over texts; none if it is unknown or not defined in any.
    pub fn mean(&self, metric: &str) -> Option<f64> {
        self.values.get(metric)?.mean
    }
}

/// A key that many queries look at.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sink {
    /// The position.
    pub key: usize,
    /// α_k.
    pub rate: f32,
}

/// Distances `begin..end`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DistanceBin {
    /// The smallest distance.
    pub begin: usize,
    /// The largest, plus one.
    pub end: usize,
    /// The mean weight of such a pair.
    pub weight: f32,
}

/// A point of the curve of mass against keys.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// The share of a row's mass.
    pub share: f64,
    /// The mean number of keys that hold it.
    pub keys: f64,
    /// The mean of that number over the number of visible keys.
    pub of_visible: f64,
}

/// A head over texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeadSummary {
    rows: usize,
    empty: usize,
    broken: usize,
    values: Vec<Running>,
    curve: Vec<[Running; 2]>,
    /// Mean α_k, and the texts that reach the key; whether it may be named.
    rates: Vec<(f32, u32)>,
    often: Vec<bool>,
    behind: Vec<(f32, u32)>,
    ahead: Vec<(f32, u32)>,
}

impl HeadSummary {
    pub(crate) fn add(&mut self, text: &Gathered) {
        self.rows += text.rows;
        self.empty += text.empty;
        self.broken += text.broken;
        self.values.resize(registry().len(), Running::default());
        for (running, value) in self.values.iter_mut().zip(&text.values) {
            if let Some(value) = value {
                running.add(*value);
            }
        }
        if let Some(curve) = &text.curve {
            self.curve.resize(SHARES.len(), Default::default());
            for (running, point) in self.curve.iter_mut().zip(curve) {
                running[0].add(point[0]);
                running[1].add(point[1]);
            }
        }
        add_means(&mut self.rates, text.rates.iter().copied().map(Some));
        self.often.resize(self.rates.len(), false);
        for (often, &found) in self.often.iter_mut().zip(&text.often) {
            *often |= found;
        }
        add_means(&mut self.behind, text.behind.iter().copied());
        add_means(&mut self.ahead, text.ahead.iter().copied());
    }

    pub(crate) fn result(self, head: Option<usize>, options: &SurveyOptions) -> HeadResult {
        let named = self.rates.iter().zip(&self.often).enumerate().filter(|(_, (_, often))| **often);
        let mut order: Vec<Sink> = named.map(|(key, (&(rate, _), _))| Sink { key, rate }).collect();
        order.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        order.truncate(options.sinks);
        let point = |(&share, [keys, part]): (&f64, &[Running; 2])| {
            let mean = |running: &Running| running.estimate().mean.unwrap_or(0.0);
            CurvePoint { share, keys: mean(keys), of_visible: mean(part) }
        };
        HeadResult {
            head,
            rows: self.rows,
            empty_rows: self.empty,
            broken_rows: self.broken,
            values: registry()
                .iter()
                .zip(&self.values)
                .map(|(metric, value)| (metric.name, value.estimate()))
                .collect(),
            sinks: order,
            sink_profile: self.rates.iter().map(|&(rate, _)| rate).collect(),
            distance_profile: bins(&self.behind),
            ahead_profile: bins(&self.ahead),
            mass_curve: SHARES.iter().zip(&self.curve).map(point).collect(),
        }
    }
}

/// Running means, place by place; texts may be of different length.
fn add_means(to: &mut Vec<(f32, u32)>, means: impl ExactSizeIterator<Item = Option<f32>>) {
    if to.len() < means.len() {
        to.resize(means.len(), Default::default());
    }
    for ((mean, texts), found) in to.iter_mut().zip(means) {
        if let Some(found) = found {
            *texts += 1;
            *mean += (found - *mean) / *texts as f32;
        }
    }
}

fn bins(means: &[(f32, u32)]) -> Vec<DistanceBin> {
    // Bins are the same for every length, but for where the last one ends.
    let bins = distance_bins(usize::MAX >> 16);
    let bin = |(&(weight, texts), &[begin, end]): (&(f32, u32), &[usize; 2])| {
        (texts > 0).then_some(DistanceBin { begin, end, weight })
    };
    means.iter().zip(&bins).filter_map(bin).collect()
}
