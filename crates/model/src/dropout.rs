//! Dropout whose masks are addressed, not drawn from a running generator.

use attnlab_ops::{self as ops, Streams};
use candle_core::Tensor;

use crate::error::Result;

/// Where the masks of one forward pass come from. `index` is different for every pass of a training run
/// (the step and the micro-batch), so a resumed run needs no saved generator.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    streams: Streams,
    index: u64,
}

impl Dropout {
    /// The masks of forward pass `index`.
    pub fn new(streams: Streams, index: u64) -> Self {
        Self { streams, index }
    }

    /// The seed of a mask that is computed where it is used.
    pub(crate) fn seed(&self, place: &str, layer: usize) -> u64 {
        self.streams.seed(&purpose(place, layer), self.index)
    }
}

fn purpose(place: &str, layer: usize) -> String {
    format!("dropout/{layer}/{place}")
}

/// Zeroes a share `p` of `x` and scales the rest by 1/(1−p); nothing without a source of masks.
pub(crate) fn apply(
    x: &Tensor,
    p: f64,
    masks: Option<&Dropout>,
    place: &str,
    layer: usize,
) -> Result<Tensor> {
    match masks {
        Some(masks) if p > 0.0 => {
            Ok(ops::dropout(x, p, &mut masks.streams.rng(&purpose(place, layer), masks.index))?)
        }
        _ => Ok(x.clone()),
    }
}
