use super::*;

/// The message for the example with one piece of it replaced.
fn after(from: &str, to: &str) -> String {
    message(&example(from, to), &[])
}

#[test]
fn the_example_is_fine() {
    assert_eq!(message(EXAMPLE, &[]), "no error");
}

#[test]
fn a_syntax_error_shows_its_line() {
    assert_eq!(
        after("[train]", "[train"),
        "\
configs/x.toml:18:7: unclosed table, expected `]`
  18 | [train
     |       ^"
    );
    assert_eq!(
        after("steps = 500", "steps = "),
        "\
configs/x.toml:20:9: a value is missing after `=`
  20 | steps = \n     |         ^"
    );
    assert_eq!(
        after("steps = 500", "steps = 500\nsteps = 600"),
        "\
configs/x.toml:21:1: `steps` is given twice
  21 | steps = 600
     | ^^^^^"
    );
}

#[test]
fn an_unknown_key_is_marked_at_every_level() {
    assert_eq!(
        after("[train]", "[trian]"),
        "\
configs/x.toml:18:2: unknown key `trian`; did you mean `train`?
  18 | [trian]
     |  ^^^^^
  allowed keys: name, description, seed, task, model, position, train, eval, plants, controls, grid, targets"
    );
    assert_eq!(
        after("base = 10000", "bse = 10000"),
        "\
configs/x.toml:16:1: unknown key `position.bse`; did you mean `base`?
  16 | bse = 10000
     | ^^^
  allowed keys: base, fraction, keep, layout, scaling"
    );
    assert_eq!(
        after("period = 2", "perid = 2"),
        "\
configs/x.toml:7:1: unknown key `task.perid`; did you mean `period`?
  7 | perid = 2
    | ^^^^^
  allowed keys: protocol, bos, period"
    );
    let unknown = after("[eval]", "[eval]\nbatch = 3");
    assert!(unknown.starts_with("configs/x.toml:31:1: unknown key `eval.batch`"), "{unknown}");
}

#[test]
fn a_kind_without_options_has_no_other_keys() {
    assert_eq!(
        after("kind = \"rope\"\nbase = 10000", "kind = \"none\"\nbase = 10000"),
        "\
configs/x.toml:16:1: unknown key `position.base`
  16 | base = 10000
     | ^^^^
  no keys are allowed here"
    );
}

/// Every encoding's kind, as a message lists them.
fn encodings() -> String {
    let kinds: Vec<&str> = attnlab_positions::registry().iter().map(|info| info.kind).collect();
    assert!(kinds.starts_with(&["none", "learned", "sinusoidal"]), "{kinds:?}");
    kinds.join(", ")
}

#[test]
fn an_unknown_kind_gets_the_nearest_by_letters_or_by_title() {
    let expected = |typed: &str| {
        format!(
            "\
configs/x.toml:15:8: `position.kind` cannot be \"{typed}\"; did you mean `rope`?
  15 | kind = \"{typed}\"
     |        {}
  allowed values: {}",
            "^".repeat(typed.len() + 2),
            encodings()
        )
    };
    assert_eq!(after("kind = \"rope\"", "kind = \"rpoe\""), expected("rpoe"));
    assert_eq!(after("kind = \"rope\"", "kind = \"rotary\""), expected("rotary"));
    let stranger = after("kind = \"rope\"", "kind = \"elephant\"");
    assert!(
        stranger.starts_with("configs/x.toml:15:8: `position.kind` cannot be \"elephant\"\n"),
        "{stranger}"
    );
}

#[test]
fn a_missing_kind_or_table_names_the_choices() {
    let missing = after("kind = \"aa_star\"\n", "");
    assert!(missing.starts_with("configs/x.toml:4:1: `task.kind` is missing\n  4 | [task]\n    | ^^^^^^\n  allowed values: reverse, copy"), "{missing}");
    assert_eq!(
        after("[position]\nkind = \"rope\"\nbase = 10000", ""),
        format!(
            "\
configs/x.toml: the table `[position]` is missing
  add it with a `kind`: {}",
            encodings()
        )
    );
}

#[test]
fn a_wrong_type_says_what_belongs_there() {
    assert_eq!(
        after("steps = 500", "steps = \"many\""),
        "\
configs/x.toml:20:9: `train.steps` should be a whole number, 0 or more, not \"many\"
  20 | steps = \"many\"
     |         ^^^^^^"
    );
    assert_eq!(
        after("base = 10000", "base = true"),
        "\
configs/x.toml:16:8: `position.base` should be a number, not true
  16 | base = true
     |        ^^^^"
    );
    assert_eq!(
        after("metric = \"exact\"", "metric = 3"),
        "\
configs/x.toml:33:10: `eval.metric` should be a name in quotes
  33 | metric = 3
     |          ^"
    );
    assert_eq!(
        after("schedule = \"linear\"", "schedule = \"linaer\""),
        "\
configs/x.toml:24:12: `train.schedule` cannot be \"linaer\"; did you mean `linear`?
  24 | schedule = \"linaer\"
     |            ^^^^^^^^
  allowed values: constant, linear, cosine"
    );
    assert_eq!(after("[0, 100]", "[0, \"end\"]"), "\
configs/x.toml:28:17: `train.map_steps.1` should be a step number, 0 or more (the last step's maps are `map_at_end = true`), not \"end\"
  28 | map_steps = [0, \"end\"]
     |                 ^^^^^");
}

#[test]
fn a_number_out_of_range_is_refused() {
    for (from, to, expected) in [
        (
            "steps = 500",
            "steps = 1000000001",
            "20:9: `train.steps` is 1000000001, but should be 0 to 1000000000",
        ),
        ("batch_size = 64", "batch_size = 0", "21:14: `train.batch_size` is 0, but should be 1 to 1000000"),
        (
            "learning_rate = 3e-3",
            "learning_rate = nan",
            "22:17: `train.learning_rate` is nan, which is not a number",
        ),
        (
            "learning_rate = 3e-3",
            "learning_rate = -0.1",
            "22:17: `train.learning_rate` is -0.1, but should be a positive number",
        ),
        (
            "learning_rate = 3e-3",
            "learning_rate = inf",
            "22:17: `train.learning_rate` is inf, but should be a positive number",
        ),
        (
            "warmup = 50",
            "warmup = 501",
            "23:10: `train.warmup` is 501, longer than the whole run of 500 steps",
        ),
        (
            "clip_norm = 1.0",
            "clip_norm = 0",
            "26:13: `train.clip_norm` is 0, but should be a positive number; `inf` never clips",
        ),
        (
            "stop_at = 1.0",
            "stop_at = 100",
            "27:11: `train.stop_at` is 100, but should be an accuracy above 0 and at most 1; leave it out to train to the end",
        ),
        ("[0, 100]", "[0, 501]", "28:17: `train.map_steps` asks for step 501, but the run has 500 steps"),
        ("samples = 512", "samples = 0", "32:11: `eval.samples` is 0, but should be 1 to 10000000"),
        (
            "solved = 0.99",
            "solved = 99",
            "34:10: `eval.solved` is 99, but should be an accuracy above 0 and at most 1",
        ),
        (
            "steps = 500",
            "steps = 99999999999999999999",
            "20:9: `train.steps` is 99999999999999999999, beyond the largest integer, 9223372036854775807",
        ),
        ("period = 2", "period = 0", "7:10: `task.period` is 0, expected"),
        ("d_model = 32", "d_model = 0", "10:11: `model.d_model`: 0 is not between 1 and 1048576"),
    ] {
        let found = after(from, to);
        assert!(found.starts_with(&format!("configs/x.toml:{expected}")), "{to}: {found}");
        assert!(!found.contains("\n\n"), "one mistake, one message: {found}");
    }
}

#[test]
fn lengths_and_bins_must_be_ascending_ranges_beyond_training() {
    for (from, to, expected) in [
        (
            "lengths = [1, 32]",
            "lengths = [0, 32]",
            "19:11: `train.lengths`: [0, 32] begins at length 0; the shortest string has length 1",
        ),
        (
            "lengths = [1, 32]",
            "lengths = [32, 1]",
            "19:11: `train.lengths`: [32, 1] is descending; write [1, 32]",
        ),
        (
            "lengths = [1, 32]",
            "lengths = [1, 32, 64]",
            "19:11: `train.lengths`: a list [shortest, longest] has 2 items, not 3",
        ),
        (
            "lengths = [1, 32]",
            "lengths = 32",
            "19:11: `train.lengths` should be a list [shortest, longest], not 32",
        ),
        (
            "[33, 64]",
            "[0, 64]",
            "31:18: `eval.bins.1`: [0, 64] begins at length 0; the shortest string has length 1",
        ),
        (
            "[33, 64]",
            "[20, 64]",
            "31:18: `eval.bins`: 20–64 overlaps the bin before it, 1–32; bins ascend and share no length",
        ),
        (
            "[33, 64], [65, 128]",
            "[65, 128], [33, 64]",
            "31:29: `eval.bins`: 33–64 lies below the bin before it, 65–128; bins ascend and share no length",
        ),
        (
            "[[1, 32], [33, 64], [65, 128]]",
            "[]",
            "31:8: `eval.bins` is empty; leave it out for the default bins",
        ),
        (
            "[1, 32], [33",
            "[1, 40], [41",
            "31:9: `eval.bins`: the first bin holds training lengths, but 1–40 is not within 1–32",
        ),
        (
            "[1, 32], [33",
            "[1, 16], [17",
            "31:18: `eval.bins`: 17–64 begins within the training lengths 1–32; only the first bin may hold those",
        ),
    ] {
        let found = after(from, to);
        assert!(found.starts_with(&format!("configs/x.toml:{expected}\n")), "{to}: {found}");
    }
}

#[test]
fn heads_must_divide_the_width_and_pair_for_rope() {
    assert_eq!(after("n_heads = 2", "n_heads = 3"), "\
configs/x.toml:12:11: `model.n_heads`: d_model 32 is not divisible by 3 heads; choose a divisor of 32 or set head_dim
  12 | n_heads = 3
     |           ^");
    let default_heads = after("d_model = 32\nn_layers = 2\nn_heads = 2", "d_model = 33");
    assert!(
        default_heads.starts_with("configs/x.toml:10:11: `model.n_heads`: d_model 33 is not"),
        "{default_heads}"
    );
    let odd = after("n_heads = 2", "n_heads = 2\nhead_dim = 3");
    assert!(
        odd.starts_with("configs/x.toml:16:8: `position.fraction`: 1 of a head of 3 dimensions"),
        "{odd}"
    );
}

#[test]
fn a_learned_table_must_hold_the_longest_test_sequence_or_size_itself() {
    let learned = |rest: &str| after("kind = \"rope\"\nbase = 10000", &format!("kind = \"learned\"{rest}"));
    assert_eq!(learned("\nmax_len = 100"), "\
configs/x.toml:16:11: `position.max_len`: a table of 100 positions is too short for sequences of 129 tokens; set it to at least 129 or leave it out
  16 | max_len = 100
     |           ^^^");
    assert_eq!(learned("\nmax_len = 129"), "no error");
    assert_eq!(learned(""), "no error");
}

#[test]
fn a_task_says_which_lengths_and_protocols_it_has() {
    let task = |lines: &str| after("kind = \"aa_star\"\nprotocol = \"prefix\"\nperiod = 2", lines);
    let copy = task("kind = \"copy\"\ndistinct = true\nsymbols = 40");
    assert!(copy.starts_with("configs/x.toml:31:18: `eval.bins`: 33–64 goes beyond the longest string of the task `copy (unique, 40 symbols)`, which has length 40; end at 40"), "{copy}");
    let dyck = message(
        &example("kind = \"aa_star\"\nprotocol = \"prefix\"\nperiod = 2", "kind = \"dyck\"")
            .replace("lengths = [1, 32]", "lengths = [3, 3]")
            .replace("[1, 32], ", "[3, 3], "),
        &[],
    );
    assert!(
        dyck.starts_with("configs/x.toml:17:11: `train.lengths`: the task `dyck")
            && dyck.contains("has no string of length 3\n"),
        "{dyck}"
    );
    let protocol = after("protocol = \"prefix\"", "protocol = \"language\"");
    assert!(
        protocol
            .starts_with("configs/x.toml:6:12: task.protocol is `language`, but `aa_star` offers `prefix`"),
        "{protocol}"
    );
}

#[test]
fn mistakes_in_several_tables_are_reported_at_once() {
    let text = example("period = 2", "perid = 2").replace("batch_size", "batchsize");
    let found = message(&text, &[]);
    assert_eq!(found.matches("unknown key").count(), 2, "{found}");
}

#[test]
fn a_name_must_be_fit_for_a_folder() {
    assert_eq!(
        after("name = \"quickstart\"", "name = \"../x\""),
        "\
configs/x.toml:1:8: `name` is \"../x\", but it names a folder
  1 | name = \"../x\"
    |        ^^^^^^
  use letters, digits, `.`, `_` and `-`, at most 64, a letter or digit first"
    );
    let text = example("name = \"quickstart\"\n", "");
    assert_eq!(load(&text, &[]).unwrap().name, "x", "the file's own name stands in");
}

#[test]
fn a_set_argument_is_shown_with_the_mark_inside_it() {
    assert_eq!(
        message(EXAMPLE, &["train.steps=many"]),
        "\
--set train.steps=many: `train.steps` should be a whole number, 0 or more, not \"many\"
   | train.steps=many
   |             ^^^^"
    );
    assert_eq!(
        message(EXAMPLE, &["position=rop"]),
        format!(
            "\
--set position=rop: `position.kind` cannot be \"rop\"; did you mean `rope`?
   | position=rop
   |          ^^^
  allowed values: {}",
            encodings()
        )
    );
    for (argument, expected) in [
        ("train.steps", "expected KEY=VALUE, such as train.steps=500"),
        ("trian.steps=1", "unknown key `trian.steps`; did you mean `train`?"),
        ("train..steps=1", "`train..steps` is not a dotted key such as `train.steps`"),
        ("train.steps=", "`train.steps` is given no value"),
        ("train.steps=[1", "unclosed array, expected `]`"),
        ("position.base.x=1", "`position.base.x` cannot be set: `position.base` is not a table"),
        ("seed=-1", "`seed` should be a whole number, 0 or more, not -1"),
    ] {
        let found = message(EXAMPLE, &[argument]);
        assert!(found.starts_with(&format!("--set {argument}: {expected}\n")), "{found}");
    }
}
