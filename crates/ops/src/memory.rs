//! Memory of training steps, used again.
//!
//! A step allocates the same sizes over and over. An allocator gives the memory back to the system and zeroes it anew,
//! or spreads it over more pages than are needed; here a tape keeps what it has and
//! lends it to the thread that runs it. Outside of that,
//! memory comes zeroed from the allocator and goes back to it.

use crate::real::Real;
use candle_core::CpuStorage;
use std::cell::RefCell;

/// Passes after which a piece that nobody took is given up.
const IDLE: u8 = 16;

thread_local! {
    static SPARE: RefCell<Option<Spare>> = const { RefCell::new(None) };
}

/// Pieces of any content.
#[derive(Default)]
pub(crate) struct Spare(Vec<Piece>);

struct Piece {
    storage: CpuStorage,
    idle: u8,
}

impl Spare {
    /// Lends the pieces to this thread while `f` runs.
    pub(crate) fn lend<R>(&mut self, f: impl FnOnce() -> R) -> R {
        /// Takes them back however `f` ends.
        struct Return<'a>(&'a mut Spare);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                *self.0 = SPARE.take().unwrap_or_default();
            }
        }
        SPARE.set(Some(std::mem::take(self)));
        let lent = Return(self);
        let result = f();
        drop(lent);
        for piece in &mut self.0 {
            piece.idle += 1;
        }
        self.0.retain(|piece| piece.idle < IDLE);
        result
    }

    fn take<T: Real>(&mut self, len: usize) -> Option<Vec<T>> {
        // A piece more than twice as large would be missed elsewhere.
        let fits = |piece: &Piece| T::capacity(&piece.storage).filter(|room| (len..=2 * len).contains(room));
        let pieces = self.0.iter().enumerate();
        let (_, best) = pieces.filter_map(|(at, piece)| Some((fits(piece)?, at))).min()?;
        T::vector(self.0.swap_remove(best).storage).ok()
    }
}

/// `len` elements of any content.
pub(crate) fn take<T: Real>(len: usize) -> Vec<T> {
    let spare = SPARE.with_borrow_mut(|spare| spare.as_mut().and_then(|spare| spare.take::<T>(len)));
    match spare {
        Some(mut values) => {
            values.resize(len, T::ZERO);
            values
        }
        // Zeroed by the allocator, who knows which pages are zeros already.
        None => vec![T::ZERO; len],
    }
}

/// A copy of some elements.
pub(crate) fn copy_of<T: Real>(values: &[T]) -> Vec<T> {
    let mut copy = take(values.len());
    copy.copy_from_slice(values);
    copy
}

/// Gives elements up.
pub(crate) fn give<T: Real>(values: Vec<T>) {
    give_storage(T::to_cpu_storage_owned(values));
}

/// Gives the elements of a storage up.
pub(crate) fn give_storage(storage: CpuStorage) {
    SPARE.with_borrow_mut(|spare| {
        if let Some(Spare(pieces)) = spare {
            pieces.push(Piece { storage, idle: 0 });
        }
    });
}
