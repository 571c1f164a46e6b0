//! Maps on their way into a page, packed row by row while the kernel has them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use attnlab_hooks::{Observer, Point, Want};
use attnlab_model::Mask;
use attnlab_ops::{WatchRows, WatchedRow};
use attnlab_report::inspect::{InspectError, Map, MapPacker, Quantity};
use candle_core::Tensor;

use crate::model::Model;
use crate::texts::Text;

/// A packer for each head whose map is wanted.
pub(super) struct Packers(BTreeMap<(usize, usize), Mutex<Packing>>);

/// A map on its way, and the first thing that went wrong.
type Packing = (MapPacker, Option<InspectError>);

impl Packers {
    /// For the maps of these heads of a text.
    pub(super) fn new(heads: &[(usize, usize)], model: &Model, text: &Text) -> Result<Self> {
        let (tokens, causal) = (text.ids.len(), model.transformer.config().mask == Mask::Causal);
        let packer = |&at: &(usize, usize)| -> Result<_> {
            Ok((at, Mutex::new((MapPacker::new(tokens, causal, Quantity::Weight)?, None))))
        };
        Ok(Self(heads.iter().map(packer).collect::<Result<_>>()?))
    }

    /// The maps, once the text has been read.
    pub(super) fn finish(self) -> Result<Vec<Map>> {
        let map = |((layer, head), packer): (_, Mutex<Packing>)| -> Result<Map> {
            match packer.into_inner().unwrap_or_else(PoisonError::into_inner) {
                (_, Some(error)) => Err(error.into()),
                (packer, None) => Ok(Map { layer, head, map: packer.finish()? }),
            }
        };
        self.0.into_iter().map(map).collect()
    }
}

impl Observer for Packers {
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    fn see(&mut self, _: Point, _: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        Ok(None)
    }

    fn watches(&self, layer: usize) -> Option<Box<dyn WatchRows + '_>> {
        let wanted = self.0.range((layer, 0)..(layer + 1, 0)).next().is_some();
        wanted.then(|| Box::new(LayerRows { packers: self, layer }) as Box<dyn WatchRows>)
    }
}

/// The rows of one layer, on their way to the packers.
struct LayerRows<'a> {
    packers: &'a Packers,
    layer: usize,
}

impl WatchRows for LayerRows<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        let Some(packer) = self.packers.0.get(&(self.layer, row.head)) else { return };
        let mut packer = packer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = packer.0.row(row.row, row.first, row.weights) {
            packer.1.get_or_insert(error);
        }
    }
}
