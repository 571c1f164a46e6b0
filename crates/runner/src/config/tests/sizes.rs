use super::*;

/// The message for the example with pieces of it replaced.
fn after(changes: &[(&str, &str)]) -> String {
    let changed = changes.iter().fold(EXAMPLE.to_string(), |text, (from, to)| {
        assert!(text.contains(from), "the example has no {from:?}");
        text.replacen(from, to, 1)
    });
    message(&changed, &[])
}

#[test]
fn a_model_of_too_many_parameters_is_refused_where_it_grows() {
    assert_eq!(
        after(&[("d_model = 32", "d_model = 65536")]),
        "\
configs/x.toml:10:11: `model.d_model`: about 1.0e11 parameters, but at most 2.1e9 are tried; most of it for the MLPs of the blocks: lower `model.d_model` or `model.n_layers`
  10 | d_model = 65536
     |           ^^^^^"
    );
    for (from, to, place, most) in [
        ("n_layers = 2", "n_layers = 1000000", "10:11: `model.d_model`", "the MLPs of the blocks"),
        ("n_layers = 2", "n_layers = 20\nhead_dim = 1000000", "12:12: `model.head_dim`", "the attention"),
        ("n_layers = 2", "n_layers = 100\nd_mlp = 1000000", "12:9: `model.d_mlp`", "the MLPs"),
        (
            "kind = \"rope\"\nbase = 10000",
            "kind = \"learned\"\nmax_len = 4000000000",
            "16:11: `position.max_len`",
            "the positional encoding",
        ),
    ] {
        let found = after(&[(from, to)]);
        assert!(found.starts_with(&format!("configs/x.toml:{place}: about ")), "{to}: {found}");
        assert!(found.contains("parameters, but at most 2.1e9 are tried") && found.contains(most), "{found}");
    }
}

#[test]
fn a_batch_of_too_many_bytes_is_refused_where_it_grows() {
    let long = ("lengths = [1, 32]", "lengths = [1, 1000000]");
    let bins = ("[[1, 32], [33, 64], [65, 128]]", "[[1, 32]]");
    let rows = ("batch_size = 64", "batch_size = 1000000");
    assert_eq!(
        after(&[long, bins, rows]),
        "\
configs/x.toml:21:14: `train.batch_size`: a batch of about 7455 GiB, but at most 64 are tried; most of it for tokens and labels: lower `train.batch_size` or `train.lengths`
  21 | batch_size = 1000000
     |              ^^^^^^^"
    );
    assert_eq!(after(&[rows]), "no error", "a million short sequences fit");
    assert_eq!(after(&[long, bins]), "no error", "64 long sequences of a small model fit");

    let wide = ("d_model = 32", "d_model = 2048");
    let found = after(&[long, bins, wide]);
    assert!(found.starts_with("configs/x.toml:19:11: `train.lengths`: a batch of about "), "{found}");
    assert!(found.contains("the activations of one sequence"), "{found}");

    let samples = ("samples = 512", "samples = 10000000");
    let far = ("[65, 128]", "[65, 128], [100000, 100000]");
    let found = after(&[samples, far]);
    assert!(found.starts_with("configs/x.toml:32:11: `eval.samples`: a batch of about "), "{found}");
    assert_eq!(after(&[samples]), "no error");
}

#[test]
fn attention_holds_no_pattern_of_long_sequences() {
    let long = ("lengths = [1, 32]", "lengths = [1, 100000]");
    let bins = ("[[1, 32], [33, 64], [65, 128]]", "[[1, 32]]");
    let dropout = ("n_heads = 2", "n_heads = 2\nattention_dropout = 0.1");
    assert_eq!(after(&[long, bins, dropout]), "no error");
}

#[test]
fn the_largest_numbers_there_are_do_not_overflow_the_estimate() {
    let most =
        "d_model = 1048576\nn_heads = 1048576\nhead_dim = 1048576\nn_layers = 1048576\nd_mlp = 1048576";
    let most = ("d_model = 32\nn_layers = 2\nn_heads = 2", most);
    let found = after(&[most, ("batch_size = 64", "batch_size = 1000000")]);
    assert!(found.contains("about 4.8e24 parameters"), "{found}");
    // Without an MLP and with one head the parameters may pass; whatever is found, it is found without a panic.
    for layers in ["n_layers = 1048576", "n_layers = 1"] {
        let thin = format!("d_model = 2\nn_heads = 1\nd_mlp = 1048576\nmlp = \"none\"\n{layers}");
        let thin = ("d_model = 32\nn_layers = 2\nn_heads = 2", thin.as_str());
        let longest = ("lengths = [1, 32]", "lengths = [1, 1048576]");
        let bins = ("[[1, 32], [33, 64], [65, 128]]", "[[1, 1048576]]");
        let found = after(&[thin, longest, bins]);
        assert_eq!(found == "no error", layers.ends_with("= 1"), "{found}");
    }
}

#[test]
fn an_oversized_run_of_a_grid_is_named() {
    let found = message(&with_grid("model.d_model = [32, 65536]"), &[]);
    assert!(found.contains("about 1.0e11 parameters"), "{found}");
    assert!(found.contains("first in the run with model.d_model = 65536"), "{found}");
}

#[test]
fn constants_of_the_optimiser_must_be_ones_that_f32_can_tell() {
    let optimiser = |line: &str| after(&[("warmup = 50", line)]);
    assert_eq!(
        optimiser("eps = 1e-40"),
        "\
configs/x.toml:23:7: `train.eps` is 1e-40, but should be a number of at least 1.1754944e-38, the smallest normal one in f32
  23 | eps = 1e-40
     |       ^^^^^"
    );
    assert!(optimiser("eps = 0.0").contains("`train.eps` is 0e0, but should be"));
    assert!(optimiser("eps = -1e-8").contains("`train.eps` is -1e-8, but should be"));
    assert_eq!(optimiser("eps = 1.2e-38"), "no error");
    for (key, value) in [("beta1", "0.99999999"), ("beta2", "0.9999999999")] {
        let found = optimiser(&format!("{key} = {value}"));
        let expected = format!("configs/x.toml:23:9: `train.{key}` is {value}, which rounds to 1 in f32");
        assert!(found.starts_with(&expected), "{found}");
        assert_eq!(optimiser(&format!("{key} = 0.9999999")), "no error");
    }
    assert!(optimiser("beta1 = 1.0").contains("is 1, but should be at least 0 and below 1"));
}

#[test]
fn the_loss_of_sets_is_a_choice_that_is_written_out() {
    let run = |set: &[&str]| load(EXAMPLE, set).unwrap().runs.remove(0);
    let (entropy, squared) = (run(&[]), run(&["train.set_loss=squared_error"]));
    assert_eq!(entropy.train.set_loss, SetLoss::CrossEntropy);
    assert_eq!(squared.train.set_loss, SetLoss::SquaredError);
    assert_ne!(entropy.id(), squared.id());
    assert!(squared.to_toml().unwrap().contains("set_loss = \"squared_error\""));
    let found = message(EXAMPLE, &["train.set_loss=squared"]);
    assert!(found.contains("`train.set_loss` cannot be \"squared\""), "{found}");
    assert!(found.contains("cross_entropy, squared_error"), "{found}");
}
