//! Interleaved majority: the commoner bit of each of several streams in turn. Example with three: 1 0 0 1 1 0 0 1 0 →
//! 1 1 0.

use serde::{Deserialize, Serialize};

use super::in_range;
use crate::registry::{Class, Info, Kind, Setting};
use crate::sampling::{Ones, binary};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `interleaved_majority`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of streams, 2 to 100 (default 3).
    pub streams: u32,
}

impl Default for Config {
    fn default() -> Self {
        Config { streams: 3 }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "interleaved_majority",
        title: "Interleaved majority",
        class: Class::Periodic,
        protocols: &[Protocol::Language, Protocol::Encoder],
        definition: "x ∈ {0,1}ⁿ, n a multiple of `streams` k; the i-th stream is xᵢ xᵢ₊ₖ xᵢ₊₂ₖ … → the commoner bit of \
                     each of the k streams. In every stream the number of ones is uniform on 0..=n/k, their places \
                     too; a stream with a tie is drawn again. (The source draws a length and takes the nearest \
                     multiple of 3, so that all multiples but the first and the last of a range are drawn alike.)",
        expected: "Fails without an encoding, which cannot tell the streams apart beyond the training lengths: \
                   published 96.2/68.8/39.5 % (to 50, 100, 150), learned with random offsets 100/96.8/84.7.",
        source: "Huang et al. 2024 (arXiv 2410.02140), `bin_majority_interleave`",
        example: "kind = \"interleaved_majority\"\nprotocol = \"language\"\nstreams = 2\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        in_range("interleaved_majority", "streams", self.streams, 2..=100)?;
        Ok(setting.pose(InterleavedMajority { streams: self.streams as usize }))
    }
}

/// The problem.
struct InterleavedMajority {
    streams: usize,
}

impl Problem for InterleavedMajority {
    fn label(&self) -> String {
        match self.streams {
            3 => "interleaved majority".into(),
            k => format!("interleaved majority ({k} streams)"),
        }
    }

    fn alphabet(&self) -> Vec<String> {
        binary()
    }

    fn answers(&self) -> Vec<String> {
        binary()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 1 && length.is_multiple_of(self.streams)
    }

    fn lengths(&self) -> String {
        format!("multiples of {}, the number of streams (`task.interleaved_majority.streams`)", self.streams)
    }

    fn answer_len(&self, _length: usize) -> usize {
        self.streams
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let mut x = vec![0; length];
        let each = length / self.streams;
        for stream in 0..self.streams {
            // A tie has probability 1/3 at most (two bits), so this ends soon.
            let bits = loop {
                let bits = Ones::Uniform.sample(each, rng);
                if 2 * bits.iter().sum::<Symbol>() as usize != each {
                    break bits;
                }
            };
            x.iter_mut().skip(stream).step_by(self.streams).zip(bits).for_each(|(place, bit)| *place = bit);
        }
        x
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        let mut balance = vec![0i64; self.streams];
        for row in x.chunks(self.streams) {
            row.iter().zip(&mut balance).for_each(|(bit, balance)| *balance += 2 * i64::from(*bit) - 1);
        }
        Some(balance.into_iter().map(|balance| Symbol::from(balance > 0)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    fn stream(x: &[Symbol], streams: usize, i: usize) -> Vec<Symbol> {
        (0..x.len()).filter(|place| place % streams == i).map(|place| x[place]).collect()
    }

    #[test]
    fn every_short_string_has_the_middle_of_each_sorted_stream() {
        // Of an odd number of sorted bits the middle one is the commoner; of an even number a tie counts as 0.
        for (streams, rows) in [(3, 3), (2, 5), (2, 4)] {
            let problem = InterleavedMajority { streams };
            for x in strings(2, streams * rows) {
                let middle = |i| {
                    let mut bits = stream(&x, streams, i);
                    bits.sort_unstable();
                    bits[(rows - 1) / 2]
                };
                let expected: Vec<Symbol> = (0..streams).map(middle).collect();
                assert_eq!(problem.answer(&x).unwrap(), expected, "{x:?}");
                assert_eq!(problem.answer_len(x.len()), streams);
            }
        }
    }

    #[test]
    fn no_stream_is_a_tie_and_the_other_counts_are_even_in_each() {
        let problem = InterleavedMajority { streams: 3 };
        let mut rng = Rng::seed_from_u64(7);
        let mut counts = [[0usize; 5]; 3];
        for _ in 0..4000 {
            let x = problem.sample(12, &mut rng);
            for (i, counts) in counts.iter_mut().enumerate() {
                counts[stream(&x, 3, i).iter().sum::<Symbol>() as usize] += 1;
            }
        }
        for counts in counts {
            assert_eq!(counts[2], 0);
            assert!([0, 1, 3, 4].iter().all(|ones| counts[*ones].abs_diff(1000) < 130), "{counts:?}");
        }
        assert!(problem.admits(3) && !problem.admits(4) && !problem.admits(0));
    }
}
