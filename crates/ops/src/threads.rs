//! Threads inside the forward pass of one sequence.
//!
//! Training is parallel over micro-batches, and its operations are sequential. A single sequence without gradients has
//! no micro-batches: here an operation's work is cut into pieces that write to places of their own, rows of an output
//! or heads, and whoever is free takes the next. What a piece computes does not depend on who computes it, so no bit
//! depends on the number of threads.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::{OpsError, Result};

/// The most threads: a mistyped number must not exhaust the machine.
const MOST: usize = 1024;

/// Threads that stay, the one that calls among them. Clones are the same threads.
#[derive(Clone)]
pub struct Threads {
    /// All but the calling one; none if that is the only one.
    others: Option<Arc<ThreadPool>>,
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("count", &self.count()).finish()
    }
}

impl Threads {
    /// So many threads, at least 1.
    pub fn new(count: usize) -> Result<Self> {
        if !(1..=MOST).contains(&count) {
            return Err(OpsError::Value {
                op: "threads",
                argument: "count",
                found: count.to_string(),
                expected: format!("1 to {MOST}"),
            }
            .into());
        }
        if count == 1 {
            return Ok(Self { others: None });
        }
        let name = |at| format!("attnlab-ops-{}", at + 1);
        let pool = ThreadPoolBuilder::new().num_threads(count - 1).thread_name(name).build();
        let pool = pool.map_err(|error| {
            candle_core::Error::msg(format!("cannot start {count} threads: {error}; ask for fewer"))
        })?;
        Ok(Self { others: Some(Arc::new(pool)) })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.others.as_ref().map_or(0, |others| others.current_num_threads())
    }
}

thread_local! {
    static TEAM: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// Runs `f`, on this thread, with operations that share their work among `threads`: linear maps, attention, norms,
/// activations, rotations and sums, wherever no gradient is recorded. The bits are those of one thread.
pub fn on_threads<R>(threads: &Threads, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Arc<ThreadPool>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            TEAM.set(self.0.take());
        }
    }
    let _restore = Restore(TEAM.replace(threads.others.clone()));
    f()
}

/// Who shares the work of one operation.
pub(crate) struct Team(Option<Arc<ThreadPool>>);

/// Multiply-adds, or as much other work, below which waking a thread costs more than it brings.
const LITTLE: usize = 1 << 17;

impl Team {
    /// Only this thread.
    pub(crate) const ONE: Self = Self(None);

    /// For a forward pass of so much work, with a backward pass to follow or not.
    pub(crate) fn of_forward(keep: bool, work: usize) -> Self {
        if keep || work < LITTLE { Self::ONE } else { Self(TEAM.with_borrow(Clone::clone)) }
    }

    /// How many threads.
    pub(crate) fn size(&self) -> usize {
        1 + self.0.as_ref().map_or(0, |others| others.current_num_threads())
    }

    /// Has every thread run `work`, which takes items until there are none.
    pub(crate) fn share<I>(&self, items: I, work: impl Fn(&mut dyn FnMut() -> Option<I::Item>) + Sync)
    where
        I: Iterator + Send,
    {
        let Some(others) = &self.0 else {
            let mut items = items;
            return work(&mut || items.next());
        };
        let items = Mutex::new(items);
        let take = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let (take, work) = (&take, &work);
        others.in_place_scope(|scope| {
            for _ in 0..others.current_num_threads() {
                scope.spawn(|_| work(&mut || take()));
            }
            work(&mut || take());
        });
    }

    /// Calls `f` with every item.
    pub(crate) fn each<I>(&self, items: I, f: impl Fn(I::Item) + Sync)
    where
        I: Iterator + Send,
    {
        self.share(items, |next| {
            while let Some(item) = next() {
                f(item);
            }
        });
    }

    /// Rows of a piece, of so many in all: a few pieces a thread, or `whole` if there is only one.
    pub(crate) fn rows_at_once(&self, rows: usize, whole: usize) -> usize {
        match self.size() {
            1 => whole.max(1),
            threads => rows.div_ceil(8 * threads).next_multiple_of(8).clamp(8, 96),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_item_is_taken_once_by_any_number_of_threads() {
        for count in [1, 2, 5] {
            on_threads(&Threads::new(count).unwrap(), || {
                let team = Team::of_forward(false, usize::MAX);
                assert_eq!(team.size(), count);
                let mut taken = vec![0u8; 1000];
                team.each(taken.chunks_mut(7).enumerate(), |(at, taken)| {
                    taken.iter_mut().for_each(|x| *x += 1 + (at % 3) as u8);
                });
                let expected: Vec<u8> = (0..1000).map(|i| 1 + (i / 7 % 3) as u8).collect();
                assert_eq!(taken, expected);
            });
            assert_eq!(Team::of_forward(false, usize::MAX).size(), 1, "outside there is one thread");
        }
    }

    #[test]
    fn a_forward_pass_with_gradients_or_little_work_stays_on_its_thread() {
        on_threads(&Threads::new(2).unwrap(), || {
            assert_eq!(Team::of_forward(true, usize::MAX).size(), 1);
            assert_eq!(Team::of_forward(false, 10).size(), 1);
        });
    }

    #[test]
    fn no_threads_and_too_many_are_refused() {
        for count in [0, MOST + 1] {
            assert!(Threads::new(count).unwrap_err().to_string().contains("threads: `count`"));
        }
    }
}
