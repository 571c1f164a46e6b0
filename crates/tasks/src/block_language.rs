//! The languages of k blocks of one length: aⁿbⁿ, aⁿbⁿcⁿ. Example with k = 2: a a b b, where after a the legal set is
//! a and b, after the first b it is b, and after the last b it is the end.

use crate::{PrefixLabels, Problem, Rng, Symbol};

/// What the languages share: n of the first letter, then n of the second, and so on.
pub(crate) struct Blocks {
    /// Number of letters k, at least 2.
    pub(crate) letters: u32,
}

impl Blocks {
    fn width(&self) -> usize {
        self.letters as usize
    }
}

impl Problem for Blocks {
    fn label(&self) -> String {
        self.alphabet().iter().map(|letter| format!("{letter}^n")).collect::<Vec<_>>().join(" ")
    }

    fn alphabet(&self) -> Vec<String> {
        ('a'..='z').take(self.width()).map(String::from).collect()
    }

    fn answers(&self) -> Vec<String> {
        let mut answers = self.alphabet();
        answers.push("<end>".to_owned());
        answers
    }

    fn admits(&self, length: usize) -> bool {
        length >= 1 && length.is_multiple_of(self.width())
    }

    fn lengths(&self) -> String {
        format!("multiples of {}", self.letters)
    }

    fn sample(&self, length: usize, _rng: &mut Rng) -> Vec<Symbol> {
        let n = length / self.width();
        (0..self.letters).flat_map(|letter| std::iter::repeat_n(letter, n)).collect()
    }

    fn labels_are_sets(&self) -> bool {
        true
    }

    fn prefix_labels(&self, x: &[Symbol]) -> Option<PrefixLabels> {
        let outputs = self.width() + 1;
        let mut sets = vec![false; x.len() * outputs];
        let (mut n, mut letter, mut run) = (0, 0, 0);
        for (symbol, set) in x.iter().zip(sets.chunks_mut(outputs)) {
            run = if *symbol == letter { run + 1 } else { 1 };
            letter = *symbol;
            let here = letter as usize;
            if here == 0 {
                // While the first block lasts, its length is open.
                n = run;
                set[..2].fill(true);
            } else {
                // The answer after the letters is the end.
                let next = if run < n { here } else { here + 1 };
                *set.get_mut(next)? = true;
            }
        }
        Some(PrefixLabels::Sets(sets))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;
    use crate::problems::exhaustive::strings;

    /// Equal counts of all letters, and none after a greater one.
    fn is_word(x: &[Symbol], letters: u32) -> bool {
        let count = |letter: Symbol| x.iter().filter(|symbol| **symbol == letter).count();
        !x.is_empty() && (1..letters).all(|letter| count(letter) == count(0)) && x.is_sorted()
    }

    fn words(letters: u32, longest: usize) -> Vec<Vec<Symbol>> {
        let all = (1..=longest).flat_map(|length| strings(letters, length));
        all.filter(|x| is_word(x, letters)).collect()
    }

    #[test]
    fn a_symbol_is_legal_if_some_word_goes_on_with_it_and_the_end_after_a_word() {
        for (letters, asked, longest) in [(2, 8, 12), (3, 6, 9)] {
            let problem = Blocks { letters };
            let outputs = letters as usize + 1;
            let longer = words(letters, longest);
            for x in words(letters, asked) {
                let Some(PrefixLabels::Sets(sets)) = problem.prefix_labels(&x) else { panic!("no sets") };
                assert_eq!(sets.len(), x.len() * outputs);
                for (end, set) in (1..=x.len()).zip(sets.chunks(outputs)) {
                    for letter in 0..letters {
                        let prefix = [&x[..end], &[letter]].concat();
                        let exists = longer.iter().any(|w| w.starts_with(&prefix));
                        assert_eq!(set[letter as usize], exists, "{prefix:?}");
                    }
                    assert_eq!(set[outputs - 1], is_word(&x[..end], letters), "{:?}", &x[..end]);
                }
            }
        }
    }

    #[test]
    fn the_one_string_of_an_admitted_length_is_the_word() {
        for letters in [2, 3] {
            let problem = Blocks { letters };
            for length in 1..=12 {
                let there: Vec<_> =
                    words(letters, length).into_iter().filter(|w| w.len() == length).collect();
                assert_eq!(problem.admits(length), !there.is_empty(), "{length}");
                for word in there {
                    assert_eq!(problem.sample(length, &mut Rng::seed_from_u64(0)), word);
                }
            }
        }
        assert_eq!(Blocks { letters: 3 }.label(), "a^n b^n c^n");
    }
}
