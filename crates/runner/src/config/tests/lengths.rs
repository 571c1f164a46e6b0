use super::*;

fn train(lines: &str) -> String {
    example("steps = 500", &format!("steps = 500\n{lines}"))
}

#[test]
fn how_lengths_are_drawn_is_read_and_written() {
    let lines = "lengths_per_batch = 4\nmixture = [{ lengths = [1, 10], weight = 3 }, { lengths = [5, 32], weight = 1.0 }]\ncurriculum = { from = 8, steps = 100 }";
    let run = load(&train(lines), &[]).unwrap().runs.remove(0);
    let t = &run.train;
    assert_eq!((t.lengths_per_batch, t.mixture.len(), t.mixture[0].weight), (4, 2, 3.0));
    assert_eq!(t.curriculum, Some(Curriculum { from: 8, steps: 100 }));
    assert_eq!(RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
}

#[test]
fn what_is_left_at_its_default_is_not_written_so_that_ids_stay() {
    let text = load(EXAMPLE, &[]).unwrap().runs[0].to_toml().unwrap();
    for key in ["lengths_per_batch", "mixture", "curriculum"] {
        assert!(!text.contains(key), "{text}");
    }
}

#[test]
fn the_longest_length_grows_evenly_and_stays() {
    let curriculum = Curriculum { from: 8, steps: 100 };
    let at = [0, 1, 4, 50, 99, 100, u64::MAX].map(|step| curriculum.longest(step, 32));
    assert_eq!(at, [8, 8, 8, 20, 31, 32, 32]);
}

#[test]
fn mistakes_in_how_lengths_are_drawn_are_marked() {
    for (lines, expected) in [
        (
            "lengths_per_batch = 0",
            "21:21: `train.lengths_per_batch` is 0, but should be 1 to the 64 sequences",
        ),
        (
            "lengths_per_batch = 65",
            "21:21: `train.lengths_per_batch` is 65, but should be 1 to the 64 sequences",
        ),
        (
            "mixture = [{ lengths = [1, 10], weight = 0 }, { lengths = [5, 32], weight = 1 }]",
            "21:42: `train.mixture`: a weight is 0, but should be a positive number",
        ),
        (
            "mixture = [{ lengths = [1, 40], weight = 1 }]",
            "21:24: `train.mixture`: 1–40 is not within the training lengths 1–32",
        ),
        (
            "mixture = [{ lengths = [1, 10], weight = 1 }, { lengths = [3, 31], weight = 1 }]",
            "21:11: `train.mixture` spans 1–31, but `train.lengths` are 1–32",
        ),
        (
            "mixture = [{ lengths = [3, 1], weight = 1 }]",
            "21:24: `train.mixture.0.lengths`: [3, 1] is descending",
        ),
        ("mixture = [{ lengths = [1, 32] }]", "21:12: `train.mixture.0.weight` is missing"),
        ("mixture = [{ lengths = [1, 32], wieght = 1 }]", "21:33: unknown key `train.mixture.0.wieght`"),
        (
            "curriculum = { from = 33, steps = 9 }",
            "21:23: `train.curriculum.from` is 33, but should be 1 to 32",
        ),
        (
            "curriculum = { from = 8, steps = 501 }",
            "21:34: `train.curriculum.steps` is 501, but should be 1 to 500",
        ),
        ("curriculum = { from = 8 }", "21:14: `train.curriculum.steps` is missing"),
    ] {
        let found = message(&train(lines), &[]);
        assert!(found.starts_with(&format!("configs/x.toml:{expected}")), "{lines}: {found}");
    }
}

#[test]
fn a_range_without_strings_is_refused() {
    // Balanced brackets have even lengths.
    let dyck = |lines: &str| message(&train(lines), &["task={kind='dyck'}"]);
    let found = dyck("mixture = [{ lengths = [1, 1], weight = 1 }, { lengths = [2, 32], weight = 1 }]");
    assert!(found.contains("`train.mixture`: the task"), "{found}");
    let found = dyck("curriculum = { from = 1, steps = 9 }");
    assert!(
        found.contains("21:23: `train.curriculum.from` is 1, up to which there is nothing to train on"),
        "{found}"
    );
    assert_eq!(dyck("curriculum = { from = 2, steps = 9 }"), "no error");
}
