//! The program's allocator, which can count.
//!
//! Counting is off but for the calls that `attnlab cost` looks at; then an allocation costs one relaxed load more.

#![expect(unsafe_code, reason = "an allocator is an unsafe trait; every call is passed on as it came")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use attnlab_runner::cost::Allocations;
use mimalloc::MiMalloc;

/// mimalloc, counted: glibc gives large buffers back to the system at every free, and training allocates them thousands
/// of times a second.
pub(crate) struct Counted;

static COUNTS: AtomicBool = AtomicBool::new(false);
/// Bytes held since counting began; what was there before may be freed.
static HELD: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);
static COUNTING: Mutex<()> = Mutex::new(());

#[inline]
fn change(bytes: i64) {
    if COUNTS.load(Relaxed) {
        let held = HELD.fetch_add(bytes, Relaxed) + bytes;
        PEAK.fetch_max(held, Relaxed);
    }
}

// SAFETY: every method passes its arguments on to mimalloc, which keeps the trait's contract; counting touches no memory
// but three atomics.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        change(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        change(layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        change(-(layout.size() as i64));
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.dealloc(place, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        change(size as i64 - layout.size() as i64);
        // SAFETY: the caller's promises are passed on.
        unsafe { MiMalloc.realloc(place, layout, size) }
    }
}

/// Counts what the whole program allocates while something runs.
pub(crate) struct Counter;

impl Allocations for Counter {
    fn peak(&self, work: &mut dyn FnMut()) -> u64 {
        /// Counts no further, however the work ends.
        struct Stop;
        impl Drop for Stop {
            fn drop(&mut self) {
                COUNTS.store(false, Relaxed);
            }
        }
        let _one = COUNTING.lock().unwrap_or_else(PoisonError::into_inner);
        HELD.store(0, Relaxed);
        PEAK.store(0, Relaxed);
        COUNTS.store(true, Relaxed);
        let counting = Stop;
        work();
        drop(counting);
        PEAK.load(Relaxed).max(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_peak_is_what_was_held_at_a_time_and_not_in_all() {
        const SIZE: usize = 64 << 20;
        let peak = Counter.peak(&mut || {
            for _ in 0..3 {
                black_box(vec![1u8; SIZE]);
            }
        });
        // Other tests allocate meanwhile, but not tens of megabytes.
        let mib = peak as f64 / 1048576.0;
        assert!((48.0..112.0).contains(&mib), "{mib} MiB");
        let two = Counter.peak(&mut || {
            let first = vec![1u8; SIZE];
            black_box((first, vec![1u8; SIZE]));
        });
        assert!((two as f64 / 1048576.0) > 112.0, "{two}");
    }
}
