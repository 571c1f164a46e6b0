//! Stack manipulation: a stack, what is done to it, and what is left. Example: 0 1 1 0 PUSH1 POP POP → 1 1 0 <end>.

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::registry::{Class, Info, Kind, Setting};
use crate::{Problem, Protocol, Rng, Symbol, Task, TaskError};

/// Options of `stack_manipulation`: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "stack_manipulation",
        title: "Stack manipulation",
        class: Class::Hierarchical,
        protocols: &[Protocol::Encoder, Protocol::Language],
        definition: "A stack of fair bits from bottom to top, whose size is uniform on 1..n−1, then instructions, \
                     each POP, PUSH0 or PUSH1 with equal chance; of length 1, a stack alone. → the stack that is \
                     left, from top to bottom, then <end>; no label after it. POP of an empty stack does nothing.",
        expected: "Near chance beyond the training lengths under absolute and rotary encodings: each bit is found by \
                   counting pushes and pops.",
        source: "Delétang et al. 2022 (arXiv 2207.02098), generator and mask as in their code",
        example: "kind = \"stack_manipulation\"\nprotocol = \"encoder\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(StackManipulation))
    }
}

/// The problem.
struct StackManipulation;

const POP: Symbol = 2;
/// The instruction to push 0; the next symbol pushes 1.
const PUSH: Symbol = 3;
/// The answer symbol after the last of the stack.
const END: Symbol = 2;

impl Problem for StackManipulation {
    fn label(&self) -> String {
        "stack manipulation".into()
    }

    fn alphabet(&self) -> Vec<String> {
        ["0", "1", "POP", "PUSH0", "PUSH1"].map(str::to_owned).to_vec()
    }

    fn answers(&self) -> Vec<String> {
        ["0", "1", "<end>"].map(str::to_owned).to_vec()
    }

    fn answer_len(&self, length: usize) -> usize {
        length.saturating_add(1)
    }

    fn sample(&self, length: usize, rng: &mut Rng) -> Vec<Symbol> {
        let size = if length == 1 { 1 } else { rng.random_range(1..length as u64) as usize };
        let bits = crate::sampling::bits(size, rng);
        let instructions = crate::sampling::symbols(length - size, 3, rng);
        bits.into_iter().chain(instructions.into_iter().map(|which| POP + which)).collect()
    }

    fn answer(&self, x: &[Symbol]) -> Option<Vec<Symbol>> {
        // The end lies below the stack and is never popped.
        let mut stack = Vec::with_capacity(x.len() + 1);
        stack.push(END);
        for symbol in x {
            match *symbol {
                POP if stack.len() > 1 => {
                    stack.pop();
                }
                POP => {}
                bit if bit < POP => stack.push(bit),
                push => stack.push(push - PUSH),
            }
        }
        stack.reverse();
        Some(stack)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// Deletes the first POP with what it pops until none is left; then only what was put there is left.
    fn slow(x: &[Symbol]) -> Vec<Symbol> {
        let mut rest = x.to_vec();
        while let Some(pop) = rest.iter().position(|s| *s == POP) {
            rest.drain(pop.saturating_sub(1)..=pop);
        }
        let bits = rest.iter().rev().map(|s| if *s < 2 { *s } else { *s - 3 });
        bits.chain([2]).collect()
    }

    #[test]
    fn every_short_program_leaves_what_no_pop_takes() {
        assert_eq!(slow(&[0, 1, 1, 0, 4, 2, 2]), [1, 1, 0, 2]);
        assert_eq!(slow(&[1, 1, 0, 2, 2, 2]), [2]);
        for x in (1..=6).flat_map(|length| strings(5, length)) {
            let y = StackManipulation.answer(&x).unwrap();
            assert_eq!(y, slow(&x), "{x:?}");
            assert!(y.len() <= StackManipulation.answer_len(x.len()));
        }
    }

    #[test]
    fn stacks_have_every_size_and_instructions_come_after_them() {
        let mut rng = Rng::seed_from_u64(6);
        let mut seen = BTreeMap::new();
        for _ in 0..12_000 {
            *seen.entry(StackManipulation.sample(3, &mut rng)).or_insert(0u32) += 1;
        }
        // Half are one bit and two instructions, half two bits and one instruction.
        assert_eq!(seen.len(), 2 * 9 + 4 * 3);
        for (x, count) in seen {
            let bits = x.iter().filter(|s| **s < 2).count();
            assert!(x[..bits].iter().all(|s| *s < 2), "{x:?}");
            let mean = if bits == 1 { 6000 / 18 } else { 6000 / 12 };
            assert!(count.abs_diff(mean) < 100, "{x:?}: {count}");
        }
        assert!((0..50).all(|_| StackManipulation.sample(1, &mut rng)[0] < 2));
    }
}
