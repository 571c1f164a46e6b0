//! Pairs of a query and a key: their distances, and what is looked up for each.

use attnlab_ops::DistanceBias;
use candle_core::{D, Device, Tensor};

use crate::error::Result;
use crate::places::Places;
use crate::position::Bias;

/// The distances i − j of all pairs, (rows, Tq, Tk).
pub(crate) struct Pairs {
    pub(crate) rows: usize,
    pub(crate) queries: usize,
    pub(crate) keys: usize,
    /// Row after row, query after query.
    pub(crate) distances: Vec<i64>,
}

impl Pairs {
    pub(crate) fn new(queries: &Places, keys: &Places) -> Result<Self> {
        let rows = Places::common_rows(queries, keys)?;
        let mut distances = Vec::with_capacity(rows * queries.len() * keys.len());
        for row in 0..rows {
            for i in queries.row(row) {
                distances.extend(keys.row(row).iter().map(|j| i64::from(*i) - i64::from(*j)));
            }
        }
        Ok(Self { rows, queries: queries.len(), keys: keys.len(), distances })
    }

    /// The row of a table for each pair, (rows, 1, Tq, Tk).
    pub(crate) fn index(&self, row_of: impl Fn(i64) -> u32, device: &Device) -> Result<Tensor> {
        let index = self.distances.iter().map(|distance| row_of(*distance)).collect();
        Ok(Tensor::from_vec::<_, u32>(index, (self.rows, 1, self.queries, self.keys), device)?)
    }

    /// The distinct values of `kind` of a distance, ascending, and for each pair the place of its own among them,
    /// (rows, 1, Tq, Tk).
    pub(crate) fn distinct(&self, kind: impl Fn(i64) -> i64, device: &Device) -> Result<(Vec<i64>, Tensor)> {
        let mut distinct: Vec<i64> = self.distances.iter().map(|distance| kind(*distance)).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let place = |distance| distinct.partition_point(|other| *other < kind(distance)) as u32;
        let index = self.index(place, device)?;
        Ok((distinct, index))
    }
}

/// The bias that depends on the distance only. `values` gives it for n distances, (H, n): for each distance there is
/// where distances follow from indices alone, which the fused kernel takes, else for each pair.
pub(crate) fn by_distance(
    queries: &Places,
    keys: &Places,
    causal: bool,
    values: impl Fn(&[i64]) -> Result<Tensor>,
) -> Result<Bias> {
    if let Some(first) = Places::first_distance(queries, keys, causal) {
        let distances: Vec<i64> = (first..keys.len() as i64).collect();
        return Ok(Bias::Distance(DistanceBias { values: values(&distances)?, first }));
    }
    let pairs = Pairs::new(queries, keys)?;
    let values = values(&pairs.distances)?; // (H, rows·Tq·Tk)
    let values = values.reshape((values.dim(0)?, pairs.rows, pairs.queries, pairs.keys))?;
    Ok(Bias::Full(values.transpose(0, 1)?.contiguous()?)) // (rows, H, Tq, Tk)
}

/// x (B, T, G, K) as each query head sees it, (B, H, T, K).
pub(crate) fn by_head(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (b, t, g, k) = x.dims4()?;
    let x = x.transpose(1, 2)?; // (B, G, T, K)
    if g == heads {
        return Ok(x.contiguous()?);
    }
    let x = x.unsqueeze(2)?.broadcast_as((b, g, heads / g.max(1), t, k))?;
    Ok(x.contiguous()?.reshape((b, heads, t, k))?)
}

/// Of `all` (B, H, Tq, N) the entry that `index` (1 or B, 1 or H, Tq, Tk) names, (B, H, Tq, Tk).
pub(crate) fn pick(all: &Tensor, index: &Tensor) -> Result<Tensor> {
    let (b, h, queries, _) = all.dims4()?;
    let index = index.broadcast_as((b, h, queries, index.dim(D::Minus1)?))?.contiguous()?;
    Ok(all.contiguous()?.gather(&index, D::Minus1)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_pair_finds_its_distance_among_the_distinct_ones() {
        let places = Places::rows(vec![vec![0, 4, 5], vec![7, 8, 20]]).unwrap();
        let pairs = Pairs::new(&places, &places).unwrap();
        let (distinct, index) = pairs.distinct(|distance| distance.max(0), &Device::Cpu).unwrap();
        assert_eq!(distinct, [0, 1, 4, 5, 12, 13]);
        let index: Vec<u32> = index.flatten_all().unwrap().to_vec1().unwrap();
        let found: Vec<i64> = index.iter().map(|at| distinct[*at as usize]).collect();
        assert_eq!(found, [0, 0, 0, 4, 0, 0, 5, 1, 0, 0, 0, 0, 1, 0, 0, 13, 12, 0]);
    }

    #[test]
    fn query_heads_share_keys_in_groups() {
        let x = Tensor::arange(0f64, 12., &Device::Cpu).unwrap().reshape((1, 3, 2, 2)).unwrap();
        let y = by_head(&x, 4).unwrap();
        let row =
            |h: usize, t: usize| y.get(0).unwrap().get(h).unwrap().get(t).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!((row(0, 1), row(1, 1)), (vec![4., 5.], vec![4., 5.]));
        assert_eq!((row(2, 2), row(3, 2)), (vec![10., 11.], vec![10., 11.]));
    }
}
