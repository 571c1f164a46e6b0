//! What single rows of every head say, for verdicts about rows: a second pass, which knows the sinks of the first.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use attnlab_hooks::{Observer, Point, Scope, Site, Want};
use attnlab_model::Transformer;
use attnlab_ops::{self as ops, WatchRows, WatchedRow};
use candle_core::{D, DType, Device, Tensor};

use super::Result;
use super::case::Head;
use crate::analysis::Input;

/// Rows with less mass on keys than this have no distribution.
const EMPTY: f64 = 1e-6;

/// One row of one head.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Row {
    /// Σ_j A_ij.
    pub(super) mass: f64,
    /// Σ_{j∈K} A_ij over the head's sinks.
    pub(super) on_sinks: f64,
    /// n_eff/n_i = e^H/n_i, of p = A/ΣA.
    pub(super) support: f64,
    /// max_j p_ij.
    pub(super) top: f64,
    /// Σ_j A_ij ‖v_j‖.
    pub(super) carried: f64,
    /// ‖z_i‖ / Σ_j A_ij ‖v_j‖: 1 where all values point one way, near 0 where they cancel.
    pub(super) cancellation: f64,
    /// ‖W_O z_i‖.
    pub(super) written: f64,
}

/// Rows of one head, and what they have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// The mean cosine of two rows' outputs z.
    pub(super) blur: Option<f64>,
    /// a(δ): the mean of A_i,i−δ over the rows i ≥ δ. Sinks are left out.
    pub(super) profile: Vec<f64>,
}

/// The rows of every head in a text.
pub(super) fn rows(
    model: &Transformer,
    text: &Input,
    sinks: &BTreeMap<Head, Vec<usize>>,
) -> Result<BTreeMap<Head, Rows>> {
    let a = &model.config().architecture;
    let all = (0..a.n_layers).flat_map(|layer| (0..a.n_heads).map(move |head| (layer, head)));
    let empty = || Mutex::new(Rows { rows: vec![Row::default(); text.len()], ..Rows::default() });
    let mut reader = Reader {
        model,
        sinks,
        whole: Scope::default(),
        lengths: BTreeMap::new(),
        found: all.map(|head| (head, empty())).collect(),
    };
    let loaded = text.load(model)?;
    ops::without_gradients(|| model.run(loaded.pass(), &mut reader))?;
    let finish = |(head, rows): (Head, Mutex<Rows>)| {
        let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
        let count = text.len();
        rows.profile.iter_mut().enumerate().for_each(|(at, sum)| *sum /= (count - at).max(1) as f64);
        (head, rows)
    };
    Ok(reader.found.into_iter().map(finish).collect())
}

struct Reader<'a> {
    model: &'a Transformer,
    sinks: &'a BTreeMap<Head, Vec<usize>>,
    whole: Scope,
    /// ‖v_j‖ of the values of a layer's query heads.
    lengths: BTreeMap<Head, Vec<f32>>,
    found: BTreeMap<Head, Mutex<Rows>>,
}

impl Observer for Reader<'_> {
    fn wants(&self, point: Point) -> Want<'_> {
        if matches!(point.site, Site::V | Site::Z) { Want::Look(&self.whole) } else { Want::Nothing }
    }

    fn see(&mut self, point: Point, value: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        let Some(layer) = point.layer else { return Ok(None) };
        let a = &self.model.config().architecture;
        let group = a.n_heads / a.kv_heads();
        let value = value.to_device(&Device::Cpu)?;
        let norms = value.get(0)?.to_dtype(DType::F32)?.sqr()?.sum(D::Minus1)?.sqrt()?; // (T, G) or (T, H)
        if point.site == Site::V {
            for head in 0..a.n_heads {
                let of = norms.narrow(1, head / group, 1)?.squeeze(1)?.to_vec1::<f32>()?;
                self.lengths.insert((layer, head), of);
            }
            return Ok(None);
        }
        for head in 0..a.n_heads {
            let Some(found) = self.found.get_mut(&(layer, head)) else { continue };
            let found = found.get_mut().unwrap_or_else(PoisonError::into_inner);
            let z = value.get(0)?.narrow(1, head, 1)?.squeeze(1)?.to_dtype(DType::F64)?; // (T, K)
            let lengths = z.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1::<f64>()?;
            let written = written(self.model, layer, head, &z)?;
            let mut together = vec![0.0; z.dim(1)?];
            let mut count = 0.0;
            for (z, length) in z.to_vec2::<f64>()?.iter().zip(&lengths).filter(|(_, length)| **length > 0.0) {
                count += 1.0;
                together.iter_mut().zip(z).for_each(|(sum, z)| *sum += z / length);
            }
            let square: f64 = together.iter().map(|sum| sum * sum).sum();
            found.blur = (count > 1.0).then(|| (square - count) / (count * (count - 1.0)));
            for (row, (length, written)) in found.rows.iter_mut().zip(lengths.iter().zip(written)) {
                row.cancellation = if row.carried > 0.0 { length / row.carried } else { 1.0 };
                row.written = written;
            }
        }
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        Some(Box::new(Watch { reader: self, layer }))
    }
}

/// ‖W_O z_i‖ of each row.
fn written(model: &Transformer, layer: usize, head: usize, z: &Tensor) -> candle_core::Result<Vec<f64>> {
    let o = model.head_output_weight(layer, head).map_err(candle_core::Error::wrap)?;
    let o = o.to_device(&Device::Cpu)?.to_dtype(DType::F64)?; // (D, K)
    let gram = o.t()?.contiguous()?.matmul(&o)?;
    (z.contiguous()?.matmul(&gram)? * z)?.sum(D::Minus1)?.relu()?.sqrt()?.to_vec1::<f64>()
}

struct Watch<'a> {
    reader: &'a Reader<'a>,
    layer: usize,
}

impl WatchRows for Watch<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let at = (self.layer, row.head);
        let (Some(found), Some(lengths), Ok(query)) =
            (self.reader.found.get(&at), self.reader.lengths.get(&at), usize::try_from(row.query))
        else {
            return;
        };
        let sinks = self.reader.sinks.get(&at).map_or(&[][..], Vec::as_slice);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let Rows { rows, profile, .. } = &mut *found;
        let (mut new, mut logs) = (Row::default(), 0.0);
        profile.resize(rows.len(), 0.0);
        for (key, &weight) in (row.first..).zip(row.weights) {
            let weight = f64::from(weight.abs());
            new.mass += weight;
            if weight > 0.0 {
                logs += weight * weight.ln();
            }
            new.top = new.top.max(weight);
            new.carried += weight * lengths.get(key).copied().map_or(0.0, f64::from);
            if sinks.contains(&key) {
                new.on_sinks += weight;
            } else if let Some(sum) = query.checked_sub(key).and_then(|distance| profile.get_mut(distance)) {
                *sum += weight;
            }
        }
        let visible = row.weights.len();
        if new.mass > EMPTY {
            // H of p = A/M is ln M − Σ A ln A / M.
            new.support = (new.mass.ln() - logs / new.mass).exp() / visible.max(1) as f64;
            new.top /= new.mass;
        }
        if let Some(row) = rows.get_mut(query) {
            *row = new;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::analysis::testing::{activation, build, config, input, small};
    use crate::analysis::value_norms;

    #[test]
    fn rows_are_those_of_whole_maps_and_outputs() {
        let model = build(&config(small(), "rope"));
        let text = input(3, 9);
        let sinks = BTreeMap::from([((1, 2), vec![0, 3])]);
        let found = rows(&model, &text, &sinks).unwrap();
        let map = activation(&model, &text, Point::block(Site::Pattern, 1)).get(2).unwrap();
        let map = map.to_vec2::<f64>().unwrap();
        let v = activation(&model, &text, Point::block(Site::V, 1));
        let v = v.narrow(1, 1, 1).unwrap().squeeze(1).unwrap().to_vec2::<f64>().unwrap();
        let z = activation(&model, &text, Point::block(Site::Z, 1));
        let written = value_norms(&model, 1, &expanded(&z)).unwrap();
        let written = written.get(0).unwrap().get(2).unwrap().to_vec1::<f64>().unwrap();
        let of = &found[&(1, 2)];
        let length = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        for i in 0..9 {
            let entropy: f64 = map[i].iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
            let carried: f64 = (0..9).map(|j| map[i][j] * length(&v[j])).sum();
            let sum: Vec<f64> = (0..2).map(|c| (0..9).map(|j| map[i][j] * v[j][c]).sum()).collect();
            let near =
                |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            near(of.rows[i].mass, 1.0);
            near(of.rows[i].support, entropy.exp() / (i + 1) as f64);
            near(of.rows[i].on_sinks, map[i][0] + map[i][3]);
            near(of.rows[i].carried, carried);
            near(of.rows[i].cancellation, length(&sum) / carried);
            near(of.rows[i].written, written[i]);
        }
        let distance = |d: usize| {
            (d..9).filter(|i| ![0, 3].contains(&(i - d))).map(|i| map[i][i - d]).sum::<f64>() / (9 - d) as f64
        };
        (0..9).for_each(|d| assert!((of.profile[d] - distance(d)).abs() < 1e-5));
    }

    /// z (T, H, K) as values (1, T, G, K) of which head 2 reads the group of head 2.
    fn expanded(z: &Tensor) -> Tensor {
        let two = z.narrow(1, 2, 1).unwrap();
        Tensor::cat(&[&two, &two], 1).unwrap().unsqueeze(0).unwrap()
    }
}
