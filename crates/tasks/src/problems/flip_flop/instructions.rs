//! The flip-flop of instructions. Example: w 1 i 0 r 1 i 1 r 1 → at each r the 1 that was written.

use rand::RngCore;

use crate::{IGNORE, PrefixLabels, Problem, Rng, Symbol};

const WRITE: Symbol = 0;
const READ: Symbol = 1;
const SKIP: Symbol = 2;
/// The symbol of the bit 0; that of 1 comes next.
const BIT: Symbol = 3;

/// The problem.
pub(super) struct Instructions {
    /// The share of instructions between the first and the last that are `i`.
    pub(super) ignore: f64,
}

impl Problem for Instructions {
    fn label(&self) -> String {
        format!("flip-flop (ignore {})", self.ignore)
    }

    fn alphabet(&self) -> Vec<String> {
        ["w", "r", "i", "0", "1"].map(str::to_owned).into()
    }

    fn answers(&self) -> Vec<String> {
        ["0", "1"].map(str::to_owned).into()
    }

    fn admits(&self, length: usize) -> bool {
        length >= 4 && length.is_multiple_of(2)
    }

    fn lengths(&self) -> String {
        "even and at least 4".to_owned()
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let pairs = length / 2;
        let mut x = Vec::with_capacity(length);
        let mut memory = 0;
        for pair in 0..pairs {
            let word = rng.next_u64();
            let bit = word as Symbol & 1;
            // The upper 53 bits as a number in 0..1.
            let at = (word >> 11) as f64 / (1u64 << 53) as f64;
            let instruction = match pair {
                0 => WRITE,
                _ if pair + 1 == pairs => READ,
                _ if at < self.ignore => SKIP,
                _ if word & 2 == 0 => WRITE,
                _ => READ,
            };
            if instruction == WRITE {
                memory = bit;
            }
            x.extend([instruction, BIT + if instruction == READ { memory } else { bit }]);
        }
        x
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let (mut memory, mut writing) = (0, false);
        let label = |symbol: &Symbol| {
            if writing && *symbol >= BIT {
                memory = symbol - BIT;
            }
            writing = *symbol == WRITE;
            if *symbol == READ { memory } else { IGNORE }
        };
        Some(PrefixLabels::Classes(x.iter().map(label).collect()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// The label of the last symbol by looking back for the last `w`.
    fn slow(x: &[Symbol]) -> Symbol {
        if x.last() != Some(&READ) {
            return IGNORE;
        }
        let written = x.windows(2).rfind(|pair| pair[0] == WRITE).unwrap();
        written[1] - BIT
    }

    #[test]
    fn every_read_of_every_short_program_is_labelled_with_the_last_write() {
        let problem = Instructions { ignore: 0.5 };
        // Each pair is one of six; a program begins with a write.
        for pairs in (0..=4).flat_map(|n| strings(6, n)) {
            let tail = pairs.iter().flat_map(|p| [p % 3, BIT + p / 3]);
            for bit in 0..2 {
                let x: Vec<Symbol> = [WRITE, BIT + bit].into_iter().chain(tail.clone()).collect();
                let expected = (1..=x.len()).map(|end| slow(&x[..end])).collect();
                assert_eq!(problem.prefix_labels(&x), Some(PrefixLabels::Classes(expected)), "{x:?}");
            }
        }
    }

    #[test]
    fn programs_write_first_read_last_and_read_what_was_written() {
        let mut rng = Rng::seed_from_u64(5);
        let mut counts = [0usize; 3];
        for _ in 0..1000 {
            let x = Instructions { ignore: 0.8 }.sample(12, &mut rng);
            assert!(x.len() == 12 && x[0] == WRITE && x[10] == READ);
            for (end, pair) in x.chunks(2).enumerate() {
                assert!(pair[1] >= BIT);
                if pair[0] == READ {
                    assert_eq!(pair[1] - BIT, slow(&x[..=2 * end]));
                }
            }
            x[2..10].chunks(2).for_each(|pair| counts[pair[0] as usize] += 1);
        }
        // 4000 instructions: a tenth writes, a tenth reads, the rest ignores.
        assert!(counts.iter().zip([400, 400, 3200]).all(|(c, e)| c.abs_diff(e) < 90), "{counts:?}");
    }

    #[test]
    fn only_whole_pairs_with_a_write_and_a_read_are_admitted() {
        let problem = Instructions { ignore: 0.8 };
        let admitted: Vec<usize> = (0..9).filter(|n| problem.admits(*n)).collect();
        assert_eq!(admitted, [4, 6, 8]);
    }
}
