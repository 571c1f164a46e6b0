//! Counter-addressed randomness: every use has its own stream, named by purpose and index.
//!
//! `key = [seed | fnv1a64(purpose) | index | 0]`, four little-endian words, is the key of a
//! ChaCha generator with 8 rounds. A stream is a pure function of its address, so resuming a run
//! needs no saved generator state, and a new purpose disturbs no other.

use rand::{RngCore, SeedableRng};

/// The generator behind every stream.
pub type Rng = rand_chacha::ChaCha8Rng;

/// All random streams of one seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    seed: u64,
}

impl Streams {
    /// The streams of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The stream for `purpose` at `index`, for example `("dropout/blocks.0", step)`.
    pub fn rng(&self, purpose: &str, index: u64) -> Rng {
        let mut key = [0u8; 32];
        let words = [self.seed, fnv1a64(purpose.as_bytes()), index];
        for (slot, word) in key.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_le_bytes());
        }
        Rng::from_seed(key)
    }

    /// The first number of that stream: the seed of what is hashed and not drawn.
    pub fn seed(&self, purpose: &str, index: u64) -> u64 {
        self.rng(purpose, index).next_u64()
    }
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo): stable across platforms and compiler versions,
/// unlike the hasher of the standard library.
fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_gives_the_published_vectors() {
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_stream_is_a_function_of_its_address_and_of_nothing_else() {
        let draw = |seed, purpose, index| Streams::new(seed).rng(purpose, index).next_u64();
        assert_eq!(draw(1, "batch", 7), draw(1, "batch", 7));
        let addresses = [
            draw(1, "batch", 7),
            draw(2, "batch", 7),
            draw(1, "dropout", 7),
            draw(1, "batch", 8),
            draw(7, "batch", 1),
        ];
        for (i, a) in addresses.iter().enumerate() {
            for b in &addresses[..i] {
                assert_ne!(a, b);
            }
        }
    }

    #[test]
    fn bits_of_two_neighbouring_streams_are_independent() {
        let mut a = Streams::new(3).rng("x", 0);
        let mut b = Streams::new(3).rng("x", 1);
        let differing: u32 = (0..1000).map(|_| (a.next_u64() ^ b.next_u64()).count_ones()).sum();
        // 64000 fair coins: five standard deviations are 632.
        assert!((31_368..=32_632).contains(&differing), "{differing}");
    }
}
