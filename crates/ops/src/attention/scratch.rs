//! Working memory of attention.

use super::block::{Block, Square};
use crate::real::Real;
use crate::scratch;

/// Buffers that grow to what is asked for and are never cleared: who takes one writes before reading.
#[derive(Default)]
pub(super) struct Scratch<T> {
    pub(super) squares: [Buffer<Square<T>>; 5],
    pub(super) blocks: [Buffer<Block<T>>; 5],
    pub(super) tables: [Buffer<T>; 2],
    /// One row of the pattern, for those who watch it.
    pub(super) row: Buffer<f32>,
}

pub(super) struct Buffer<E>(Vec<E>);

impl<E> Default for Buffer<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E: Copy> Buffer<E> {
    /// `len` elements of any content, `blank` where there were none.
    #[inline(always)]
    pub(super) fn take(&mut self, len: usize, blank: E) -> &mut [E] {
        if self.0.len() < len {
            self.0.resize(len, blank);
        }
        &mut self.0[..len]
    }
}

thread_local! {
    static SCRATCH: scratch::Slot = const { scratch::Slot::new(None) };
}

/// Runs `f` with this thread's scratch.
pub(super) fn with_scratch<T: Real, R>(f: impl FnOnce(&mut Scratch<T>) -> R) -> R {
    scratch::lend(&SCRATCH, f)
}
