//! Working memory of a kernel, kept by the thread from call to call.

use std::any::Any;
use std::cell::Cell;
use std::thread::LocalKey;

/// What a thread keeps for one kernel: the memory of the element type used last. A program uses one, tests use two.
pub(crate) type Slot = Cell<Option<Box<dyn Any>>>;

/// Lends `f` what the last call on this thread left in `slot`, so that a warm call allocates nothing.
pub(crate) fn lend<S: Default + 'static, R>(slot: &'static LocalKey<Slot>, f: impl FnOnce(&mut S) -> R) -> R {
    let kept = slot.take().and_then(|kept| kept.downcast::<S>().ok());
    let mut scratch = kept.unwrap_or_default();
    let result = f(&mut scratch);
    slot.set(Some(scratch));
    result
}
