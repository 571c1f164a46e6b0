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
            let purpose = format!("dropout/{layer}/{place}");
            Ok(ops::dropout(x, p, &mut masks.streams.rng(&purpose, masks.index))?)
        }
        _ => Ok(x.clone()),
    }
}
