//! Whole maps, for those who ask to see them: written row by row while the kernel has them.

use std::sync::{Mutex, PoisonError};

use attnlab_hooks::{Observer, Point, Select, Want};
use attnlab_ops::{WatchRows, WatchedRow};
use candle_core::Tensor;

/// Which maps are kept.
#[derive(Clone, Debug, Default)]
pub struct MapScope {
    /// Of these blocks.
    pub layers: Select,
    /// Of these query heads of each.
    pub heads: Select,
    /// These query rows.
    pub rows: Select,
}

/// An observer that keeps the patterns of chosen layers, heads and query rows.
pub struct MapRecorder {
    layers: Vec<usize>,
    heads: Vec<usize>,
    rows: Vec<usize>,
    batch: usize,
    keys: usize,
    /// (R, Tk) of each layer, sequence and head, in this order.
    maps: Vec<Mutex<Vec<f32>>>,
}

impl MapRecorder {
    /// For a pass over (B, T) tokens of a model of so many layers and heads.
    pub fn new(
        scope: &MapScope,
        (n_layers, n_heads): (usize, usize),
        (batch, tokens): (usize, usize),
    ) -> Self {
        let layers = scope.layers.indices(n_layers);
        let heads = scope.heads.indices(n_heads);
        let rows = scope.rows.indices(tokens);
        let size = rows.len() * tokens;
        let maps = (0..layers.len() * batch * heads.len()).map(|_| Mutex::new(vec![0.0; size])).collect();
        Self { layers, heads, rows, batch, keys: tokens, maps }
    }

    /// The blocks whose maps are kept.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The query heads whose maps are kept.
    pub fn heads(&self) -> &[usize] {
        &self.heads
    }

    /// The query rows that are kept.
    pub fn rows(&self) -> &[usize] {
        &self.rows
    }

    /// (L, B, H, R, Tk).
    pub fn shape(&self) -> [usize; 5] {
        [self.layers.len(), self.batch, self.heads.len(), self.rows.len(), self.keys]
    }

    /// The maps, (R, Tk) each, in the order of [`Self::shape`]'s first three axes.
    pub fn into_maps(self) -> Vec<Vec<f32>> {
        self.maps.into_iter().map(|map| map.into_inner().unwrap_or_else(PoisonError::into_inner)).collect()
    }
}

impl Observer for MapRecorder {
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    fn see(&mut self, _: Point, _: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        let at = self.layers.binary_search(&layer).ok()?;
        Some(Box::new(LayerRecorder { recorder: self, at }))
    }
}

/// The part of a recorder that one block's rows go to.
struct LayerRecorder<'a> {
    recorder: &'a MapRecorder,
    at: usize,
}

impl WatchRows for LayerRecorder<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let MapRecorder { heads, rows, batch, keys, maps, .. } = self.recorder;
        let (Ok(head), Ok(at)) = (heads.binary_search(&row.head), rows.binary_search(&row.row)) else {
            return;
        };
        let Some(map) = maps.get((self.at * batch + row.batch) * heads.len() + head) else { return };
        let begin = at * keys + row.first;
        let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = map.get_mut(begin..begin + row.weights.len()) {
            to.copy_from_slice(row.weights);
        }
    }
}
