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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_hooks::{Both, HookSpec, Plan, Site};
    use attnlab_model::{Mask, ModelConfig, Pass};
    use attnlab_ops::{Threads, on_threads, without_gradients};
    use candle_core::{DType, Device};

    use super::*;
    use crate::analysis::testing::{V, build_in, config, small};

    const TIME: usize = 9;
    const SIZES: (usize, usize) = (3, 4);

    /// The recorder after a pass over two sequences, and the patterns that were captured in it, (B, H, T, T) a layer.
    fn recorded(config: &ModelConfig, scope: &MapScope) -> (MapRecorder, Vec<Tensor>) {
        let model = build_in(config, DType::F32);
        let ids: Vec<u32> = (0..2 * TIME as u32).map(|i| (i * i + 3) % V as u32).collect();
        let tokens = Tensor::from_vec(ids, (2, TIME), &Device::Cpu).unwrap();
        let spec = HookSpec::capture("blocks.*.attn.hook_pattern");
        let plan = Plan::resolve(&[spec], &model.anatomy()).unwrap();
        let mut both = Both(plan, MapRecorder::new(scope, SIZES, (2, TIME)));
        without_gradients(|| model.run(Pass::new(&tokens), &mut both)).unwrap();
        let Both(plan, recorder) = both;
        let pattern = |layer| plan.capture().get(Point::block(Site::Pattern, layer)).unwrap().clone();
        (recorder, (0..SIZES.0).map(pattern).collect())
    }

    /// Compares every recorded cell with the captured one of its place.
    fn is_part_of(recorder: MapRecorder, patterns: &[Tensor]) {
        let (layers, heads, rows) =
            (recorder.layers().to_vec(), recorder.heads().to_vec(), recorder.rows().to_vec());
        assert_eq!(recorder.shape(), [layers.len(), 2, heads.len(), rows.len(), TIME]);
        let mut maps = recorder.into_maps().into_iter();
        for &layer in &layers {
            for batch in 0..2 {
                for &head in &heads {
                    let map = maps.next().unwrap();
                    let pattern = patterns[layer].get(batch).unwrap().get(head).unwrap();
                    let pattern = pattern.to_vec2::<f32>().unwrap();
                    assert_eq!(map.len(), rows.len() * TIME);
                    for (found, &row) in map.chunks(TIME).zip(&rows) {
                        for (key, (found, expected)) in found.iter().zip(&pattern[row]).enumerate() {
                            let place =
                                format!("layer {layer}, sequence {batch}, head {head}, {row} on {key}");
                            assert!((found - expected).abs() < 1e-6, "{place}: {found} and {expected}");
                        }
                    }
                }
            }
        }
        assert!(maps.next().is_none());
    }

    #[test]
    fn recorded_maps_are_the_captured_patterns() {
        for (kind, mask) in [
            ("rope", Mask::Causal),
            ("alibi", Mask::Causal),
            ("t5", Mask::Bidirectional),
            // Its scores depend on more than the distance: the pattern is whole before it is shown.
            ("disentangled", Mask::Bidirectional),
        ] {
            let mut config = config(small(), kind);
            config.mask = mask;
            let (recorder, patterns) = recorded(&config, &MapScope::default());
            assert_eq!(recorder.shape(), [3, 2, 4, TIME, TIME]);
            is_part_of(recorder, &patterns);
        }
    }

    #[test]
    fn a_scope_keeps_its_layers_heads_and_rows_in_ascending_order() {
        let scope = MapScope {
            layers: Select::from([2, 0]),
            heads: Select::from([3, 1]),
            rows: Select::from([8, 0, 4]),
        };
        let (recorder, patterns) = recorded(&config(small(), "rope"), &scope);
        assert_eq!((recorder.layers(), recorder.heads()), (&[0, 2][..], &[1, 3][..]));
        assert_eq!(recorder.rows(), [0, 4, 8]);
        is_part_of(recorder, &patterns);
    }

    #[test]
    fn a_layer_out_of_scope_is_not_watched_and_an_empty_scope_keeps_nothing() {
        let scope = MapScope { layers: Select::from([1]), ..MapScope::default() };
        let recorder = MapRecorder::new(&scope, SIZES, (1, TIME));
        let watched: Vec<bool> = (0..3).map(|layer| recorder.watches(layer).is_some()).collect();
        assert_eq!(watched, [false, true, false]);
        let none = MapScope { rows: Select::from([]), ..MapScope::default() };
        let (recorder, _) = recorded(&config(small(), "rope"), &none);
        assert_eq!(recorder.shape(), [3, 2, 4, 0, TIME]);
        assert!(recorder.into_maps().iter().all(Vec::is_empty));
    }

    #[test]
    fn recorded_bits_do_not_depend_on_threads() {
        let maps = || recorded(&config(small(), "rope"), &MapScope::default()).0.into_maps();
        let alone = maps();
        let team = Threads::new(3).unwrap();
        assert!(on_threads(&team, maps) == alone);
    }
}
