//! Dropout of the pattern, addressed by place so that the backward pass meets the same mask without keeping it.
//!
//! ```text
//! p̃_ij = m_ij p_ij / (1 − p)        m_ij = [hash(seed, b, h, i, j) ≥ 2³² p]
//! ```
//! A row's address becomes two 32-bit keys by 64-bit mixing; along the row a 32-bit mixer, all of whose steps are
//! vector instructions, takes the column's number and both keys.

use super::block::{Block, LANES, Lanes, ROWS};
use crate::Result;
use crate::real::Real;
use candle_core::{DType, Device, Tensor};

/// Dropout of the pattern: probability and seed of the mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionDropout {
    /// The probability of a zero, 0 ≤ p < 1.
    pub p: f64,
    /// The mask is a function of the seed and the place.
    pub seed: u64,
}

/// One 64-bit word from another, every bit of it depending on every bit (the finaliser of SplitMix64: Steele et al.,
/// 2014).
#[inline(always)]
fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The keys of the rows of a head.
#[derive(Clone, Copy)]
pub(super) struct HeadMask {
    key: u64,
    threshold: u32,
}

/// The keys of eight rows.
#[derive(Clone, Copy)]
pub(super) struct RowMasks {
    keys: [(u32, u32); ROWS],
    threshold: u32,
}

impl AttentionDropout {
    /// The mask of head `head` of example `example`.
    #[inline(always)]
    pub(super) fn head(&self, example: usize, head: usize) -> HeadMask {
        // Each step adds an odd constant, so that zeros do not stay zeros.
        let step = |key: u64, word: u64| mix((key ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15));
        let key = step(step(step(0, self.seed), example as u64), head as u64);
        HeadMask { key, threshold: (self.p * 4_294_967_296.0) as u32 }
    }

    /// What the pattern of every place is multiplied by, `(B, H, Tq, Tk)`: 0 or 1/(1 − p).
    pub fn factors(
        &self,
        (b, h, tq, tk): (usize, usize, usize, usize),
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let mut factors = Vec::with_capacity(b * h * tq * tk);
        for example in 0..b {
            for head in 0..h {
                let mask = self.head(example, head);
                for row in 0..tq {
                    let rows = mask.rows(row);
                    factors.extend((0..tk).map(|j| if rows.keeps(0, j) { self.factor() } else { 0.0 }));
                }
            }
        }
        Tensor::from_vec(factors, (b, h, tq, tk), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
    }

    /// What a kept element is multiplied by.
    pub(super) fn factor(&self) -> f64 {
        1.0 / (1.0 - self.p)
    }
}

impl HeadMask {
    /// The keys of eight rows from `first` on.
    #[inline(always)]
    pub(super) fn rows(&self, first: usize) -> RowMasks {
        let mut keys = [(0, 0); ROWS];
        for (r, keys) in keys.iter_mut().enumerate() {
            let key = mix(self.key.wrapping_add((first + r) as u64 ^ 0xd1b5_4a32_d192_ed03));
            *keys = (key as u32, (key >> 32) as u32);
        }
        RowMasks { keys, threshold: self.threshold }
    }
}

impl RowMasks {
    /// Whether row r keeps column j.
    #[inline(always)]
    pub(super) fn keeps(&self, r: usize, j: usize) -> bool {
        let (first, second) = self.keys[r];
        // Two rounds of multiply and fold; the high bits, which decide, depend on every bit before.
        let x = (j as u32).wrapping_mul(0x9e37_79b1) ^ first;
        let x = (x ^ (x >> 16)).wrapping_mul(0x21f0_aaad).wrapping_add(second);
        let x = (x ^ (x >> 15)).wrapping_mul(0x735a_2d97);
        (x ^ (x >> 15)) >= self.threshold
    }

    /// Zeroes what a row of a block of keys does not keep.
    #[inline(always)]
    pub(super) fn apply<T: Real>(&self, r: usize, block: usize, values: &mut Lanes<T>) {
        for l in 0..LANES {
            values.0[l] = if self.keeps(r, block * LANES + l) { values.0[l] } else { T::ZERO };
        }
    }

    /// [`Self::apply`] for every row.
    #[inline(always)]
    pub(super) fn apply_all<T: Real>(&self, block: usize, values: &mut Block<T>) {
        for (r, row) in values.iter_mut().enumerate() {
            self.apply(r, block, row);
        }
    }
}
