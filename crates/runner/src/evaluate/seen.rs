//! Which of the scored sequences were trained on.
//!
//! Training sequences are a function of the step's number, so they are drawn again, without the model, and looked up
//! among the scored ones; nothing is kept of them. A score on sequences that were trained on may be recall.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use attnlab_tasks::Tally;

use crate::draw::Draw;
use crate::error::Result;

/// Steps that a thread takes at a time.
const STEPS_AT_ONCE: u64 = 16;

/// A scored sequence, by its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked {
    /// Problem length.
    pub(crate) length: usize,
    /// Of its tokens.
    pub(crate) hash: u64,
    /// What was right of it.
    pub(crate) tally: Tally,
}

/// A 64-bit hash of tokens: multiply and rotate, then MurmurHash3's finalizer. That two of a million scored and a
/// billion trained sequences have one hash and are not the same happens once in 10⁴ runs.
#[derive(Clone, Copy, Default)]
pub(super) struct Hash(u64);

impl Hash {
    pub(super) fn add(&mut self, token: u32) {
        // Of a token more than its number, so that token 0 counts.
        self.0 = (self.0.rotate_left(5) ^ (u64::from(token) + 1)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    pub(super) fn finish(self) -> u64 {
        let hash = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53_u64]
            .iter()
            .fold(self.0, |hash, multiplier| (hash ^ (hash >> 33)).wrapping_mul(*multiplier));
        hash ^ (hash >> 33)
    }
}

/// The hash of a sequence's tokens.
pub(super) fn hash(tokens: &[u32]) -> u64 {
    let mut hash = Hash::default();
    tokens.iter().for_each(|&token| hash.add(token));
    hash.finish()
}

/// What is still looked for: hashes that no step has shown, and how many are left of each length.
struct Sought {
    /// Hash → its length, and whether it has been met: 0 or 1.
    hashes: HashMap<u64, (usize, AtomicUsize)>,
    /// Length → hashes not yet met.
    left: HashMap<usize, AtomicUsize>,
    total: AtomicUsize,
}

impl Sought {
    fn new(strings: &[Marked]) -> Self {
        let hashes: HashMap<u64, _> =
            strings.iter().map(|s| (s.hash, (s.length, AtomicUsize::new(0)))).collect();
        let mut left: HashMap<usize, AtomicUsize> = HashMap::new();
        for (length, _) in hashes.values() {
            *left.entry(*length).or_default().get_mut() += 1;
        }
        let total = AtomicUsize::new(hashes.len());
        Self { hashes, left, total }
    }

    fn is_left(&self, length: usize) -> bool {
        self.left.get(&length).is_some_and(|left| left.load(Ordering::Relaxed) > 0)
    }

    fn meet(&self, hash: u64) {
        if let Some((length, met)) = self.hashes.get(&hash)
            && met.swap(1, Ordering::Relaxed) == 0
        {
            self.total.fetch_sub(1, Ordering::Relaxed);
            if let Some(left) = self.left.get(length) {
                left.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn has_met(&self, hash: u64) -> bool {
        self.hashes.get(&hash).is_some_and(|(_, met)| met.load(Ordering::Relaxed) > 0)
    }
}

/// Which of `strings` are among the sequences of the first `steps` steps. The answer does not depend on the threads:
/// they only divide the steps.
pub(crate) fn trained_on(draw: &Draw<'_>, steps: u64, strings: &[Marked], threads: usize) -> Result<Vec<bool>> {
    let sought = Sought::new(strings);
    let next = AtomicU64::new(0);
    let failed = Mutex::new(None);
    let work = || {
        while sought.total.load(Ordering::Relaxed) > 0 {
            let first = next.fetch_add(STEPS_AT_ONCE, Ordering::Relaxed);
            if first >= steps {
                break;
            }
            for step in first..(first + STEPS_AT_ONCE).min(steps) {
                let is_wanted = |length| sought.is_left(length);
                let look = |batch: attnlab_tasks::Batch| {
                    batch.tokens.chunks(batch.len.max(1)).for_each(|tokens| sought.meet(hash(tokens)));
                };
                if let Err(error) = draw.each(step, is_wanted, look) {
                    *failed.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(error);
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        Some(error) => Err(error),
        None => Ok(strings.iter().map(|string| sought.has_met(string.hash)).collect()),
    }
}
