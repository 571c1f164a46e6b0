//! Which of the scored sequences were trained on.
//!
//! Training sequences are a function of the step's number, so they are drawn again, without the model, and looked up
//! among the scored ones; nothing is kept of them. A score on sequences that were trained on may be recall. What was not
//! trained on is mostly long, as short lengths have few strings: where a model does worse on long strings of the training
//! lengths, it does worse on unseen ones without having learned any by heart.

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
pub(crate) fn trained_on(
    draw: &Draw<'_>,
    steps: u64,
    strings: &[Marked],
    threads: usize,
) -> Result<Vec<bool>> {
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use attnlab_tasks::{Labelling, Split};

    use super::*;
    use crate::config::RunConfig;

    #[test]
    fn what_was_trained_on_is_found_and_nothing_else_on_any_number_of_threads() {
        for train in ["", "lengths_per_batch = 3\ncurriculum = { from = 6, steps = 20 }"] {
            let text = format!(
                "[task]\nkind = \"parity\"\n[position]\nkind = \"none\"\n[train]\nlengths = [1, 12]\nbatch_size = 16\n{train}"
            );
            let config = RunConfig::from_toml(&text).unwrap();
            let task = config.task.build().unwrap();
            let draw = Draw::new(&config, task.as_ref(), Labelling::True);
            let mut rng = attnlab_ops::Streams::new(5).rng("strings", 0);
            let mut strings = Vec::new();
            let mut rows: Vec<Vec<u32>> = Vec::new();
            for length in 1..=12 {
                let batch = task.batch(Split::Test, 20, length, &mut rng).unwrap();
                for tokens in batch.tokens.chunks(batch.len) {
                    strings.push(Marked { length, hash: hash(tokens), tally: Tally::default() });
                    rows.push(tokens.to_vec());
                }
            }
            const STEPS: u64 = 70;
            let batches = (0..STEPS).flat_map(|step| draw.batches(step).unwrap());
            let trained: HashSet<Vec<u32>> = batches
                .flat_map(|b| b.tokens.chunks(b.len).map(<[u32]>::to_vec).collect::<Vec<_>>())
                .collect();
            let expected: Vec<bool> = rows.iter().map(|row| trained.contains(row)).collect();
            let count = expected.iter().filter(|seen| **seen).count();
            assert!(count > 50 && count < 200, "{count} of 240 tell nothing");
            for threads in [1, 3] {
                assert_eq!(trained_on(&draw, STEPS, &strings, threads).unwrap(), expected);
            }
            assert_eq!(trained_on(&draw, 0, &strings, 2).unwrap(), [false; 240]);
        }
    }

    #[test]
    fn sequences_that_differ_anywhere_have_different_hashes() {
        let mut hashes = HashSet::new();
        for length in 0..=12 {
            for bits in 0..1_u32 << length {
                let tokens: Vec<u32> = (0..length).map(|i| bits >> i & 1).collect();
                assert!(hashes.insert(hash(&tokens)), "{tokens:?}");
            }
        }
    }
}
