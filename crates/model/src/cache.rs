//! Keys and values of the tokens so far, so that one more token costs one token.

use candle_core::Tensor;

use crate::error::Result;

/// The cache of one batch of sequences.
#[derive(Default)]
pub struct Cache {
    layers: Vec<LayerCache>,
    len: usize,
}

/// Keys and values (B, T, G, K) of one block.
#[derive(Default)]
pub(crate) struct LayerCache(Option<(Tensor, Tensor)>);

impl Cache {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of tokens in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// That of block `layer`.
    pub(crate) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, LayerCache::default);
        }
        &mut self.layers[layer]
    }

    /// Counts `tokens` more, once every block has them.
    pub(crate) fn advance(&mut self, tokens: usize) {
        self.len += tokens;
    }
}

impl LayerCache {
    /// Adds keys and values of new tokens and gives all, old and new.
    pub(crate) fn extend(&mut self, k: &Tensor, v: &Tensor) -> Result<(Tensor, Tensor)> {
        let all = match &self.0 {
            None => (k.contiguous()?, v.contiguous()?),
            Some((old_k, old_v)) => (Tensor::cat(&[old_k, k], 1)?, Tensor::cat(&[old_v, v], 1)?),
        };
        self.0 = Some(all.clone());
        Ok(all)
    }
}
