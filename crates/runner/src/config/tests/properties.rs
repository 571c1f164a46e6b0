use proptest::prelude::*;

use super::*;

const GRID: &str = "seeds = [0, 1]\nposition = [\"none\", { kind = \"rope\", base = 5 }]\n[[grid.cases]]\n\"model.d_model\" = 64\n";
const TARGETS: &str = "[[target]]\nsource = \"p\"\nmetric = \"exact\"\nof = \"all\"\npercent = [1, 2, 3]\ntolerance = 1.5\n[[finding]]\nsays = \"s\"\nposition = \"*\"\nbelow = 90\nbin = 2\n";

/// Pieces that mean something to the parser or to the loader.
const PIECES: &[&str] = &[
    "",
    "\"",
    "'",
    "[",
    "]",
    "[[",
    "]]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    "#",
    "-1",
    "0",
    "1e999",
    "nan",
    "inf",
    "é",
    "\u{0}",
    "\t",
    "\r",
    "99999999999999999999",
    "0x7fffffffffffffff",
    "true",
    "kind",
    "grid",
    "seeds",
    "train.",
    "position",
    "2020-01-01",
    "\"\"\"",
    "= [[1, 1]]",
    "= {}",
    "18446744073709551615",
];

fn mangled(text: &str, edits: Vec<(prop::sample::Index, usize, &'static str)>) -> Vec<char> {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, piece) in edits {
        let start = at.index(text.len() + 1);
        let end = (start + length).min(text.len());
        text.splice(start..end, piece.chars());
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutation_or_truncation_of_a_file_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(PIECES)), 1..5),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut text = mangled(&with_grid(GRID), edits);
        if let Some(cut) = cut {
            text.truncate(cut.index(text.len() + 1));
        }
        let text: String = text.into_iter().collect();
        match load(&text, &[]) {
            Ok(experiment) => {
                for run in &experiment.runs {
                    prop_assert_eq!(&RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
                }
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn no_mutation_of_a_targets_file_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, prop::sample::select(PIECES)), 1..5),
    ) {
        let text: String = mangled(TARGETS, edits).into_iter().collect();
        if let Err(error) = crate::config::targets::parse_targets("t.toml", &text) {
            prop_assert!(error.to_string().starts_with("t.toml:"), "{}", error);
        }
    }

    #[test]
    fn no_set_argument_panics(
        key in prop::sample::select(&["train.steps", "position", "task", "grid", "grid.seeds", "seed", "name", "eval.bins", "model.x.y", "targets", ".", ""][..]),
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..5),
    ) {
        let argument = format!("{key}={}", pieces.concat());
        if let Err(error) = load(&with_grid(GRID), &[&argument]) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_value_of_another_type_or_size_is_read_or_refused(
        line in any::<prop::sample::Index>(),
        value in prop::sample::select(VALUES),
    ) {
        let mut text = with_grid(GRID);
        let starts: Vec<usize> = text.match_indices(" = ").map(|(at, _)| at + 3).collect();
        let start = starts[line.index(starts.len())];
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        text.replace_range(start..end, value);
        match load(&text, &[]) {
            Ok(experiment) => {
                for run in &experiment.runs {
                    prop_assert_eq!(&RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
                }
            }
            Err(error) => prop_assert!(error.to_string().starts_with("configs/x.toml:"), "{}", error),
        }
    }
}

/// Values that some key takes and others do not.
const VALUES: &[&str] = &[
    "0",
    "1",
    "-1",
    "3",
    "4611686018427387904",
    "9223372036854775807",
    "18446744073709551615",
    "1e-300",
    "1e300",
    "inf",
    "-inf",
    "nan",
    "0.5",
    "true",
    "\"\"",
    "\"end\"",
    "\"none\"",
    "\"rope\"",
    "[]",
    "[1]",
    "[1, 2]",
    "[[1, 2]]",
    "[[1, 32], [33, 1048576]]",
    "{}",
    "{ kind = \"alibi\" }",
    "1979-05-27",
    "[1.5, \"x\"]",
    "[{}]",
    "[4611686018427387904, 9223372036854775807]",
];
