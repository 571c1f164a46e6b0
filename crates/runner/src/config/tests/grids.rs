use super::*;

fn settings(experiment: &Experiment) -> Vec<String> {
    let line = |run: &attnlab_report::record::PlannedRun| {
        let words: Vec<String> = run.settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
        format!("{} s{}", words.join(" "), run.seed)
    };
    experiment.grid.runs.iter().map(line).collect()
}

fn planned(grid: &str, sets: &[&str]) -> Vec<String> {
    settings(&load(&with_grid(grid), sets).unwrap())
}

#[test]
fn the_first_axis_is_slowest_and_seeds_are_fastest() {
    let grid = "seeds = [0, 7]\nposition = [\"none\", { kind = \"rope\", base = 500 }]\n\"train.learning_rate\" = [3e-3, 1e-3]";
    let expected = [
        "position=none train.learning_rate=3e-3 s0",
        "position=none train.learning_rate=3e-3 s7",
        "position=none train.learning_rate=1e-3 s0",
        "position=none train.learning_rate=1e-3 s7",
        "position=rope base=500 train.learning_rate=3e-3 s0",
        "position=rope base=500 train.learning_rate=3e-3 s7",
        "position=rope base=500 train.learning_rate=1e-3 s0",
        "position=rope base=500 train.learning_rate=1e-3 s7",
    ];
    assert_eq!(planned(grid, &[]), expected);
    let experiment = load(&with_grid(grid), &[]).unwrap();
    assert_eq!(experiment.grid.axes[1].key, "train.learning_rate");
    assert_eq!(experiment.grid.axes[1].values, ["3e-3", "1e-3"]);
    let run = &experiment.runs[7];
    assert_eq!((run.position.kind(), run.train.learning_rate, run.seed), ("rope", 1e-3, 7));
}

#[test]
fn keys_of_an_axis_may_be_quoted_or_nested_and_seeds_counted() {
    let quoted = planned("seeds = 2\n\"train.steps\" = [500, 600]", &[]);
    assert_eq!(quoted, planned("seeds = 2\ntrain.steps = [500, 600]", &[]));
    assert_eq!(
        quoted,
        ["train.steps=500 s0", "train.steps=500 s1", "train.steps=600 s0", "train.steps=600 s1"]
    );
}

#[test]
fn a_case_sets_its_keys_together_and_multiplies_with_the_axes() {
    let grid = "\"train.steps\" = [500, 600]\n[[grid.cases]]\nposition = \"none\"\n\"model.d_model\" = 64\n[[grid.cases]]\nposition = { kind = \"learned\", random_offset = true }\nmodel.d_model = 16\n";
    let experiment = load(&with_grid(grid), &[]).unwrap();
    let sizes: Vec<_> =
        experiment.runs.iter().map(|r| (r.train.steps, r.position.kind(), r.model.d_model)).collect();
    assert_eq!(sizes, [(500, "none", 64), (500, "learned", 16), (600, "none", 64), (600, "learned", 16)]);
    assert_eq!(
        experiment.grid.runs[1].settings["cases"],
        "position=learned random_offset=true, model.d_model=16"
    );
    assert_eq!(experiment.grid.runs[1].position, "learned+offset");
}

#[test]
fn a_table_with_a_kind_replaces_and_one_without_is_merged() {
    let grid = "position = [{ base = 500 }, { kind = \"none\" }]\nmodel = [{ d_model = 64, n_heads = 4 }]";
    let runs = load(&with_grid(grid), &[]).unwrap().runs;
    assert_eq!(runs[0].position.kind(), "rope");
    assert_eq!(runs[1].position.kind(), "none");
    assert_eq!((runs[0].model.d_model, runs[0].model.n_heads, runs[0].model.n_layers), (64, 4, 2));
}

#[test]
fn a_whole_table_and_a_key_inside_it_may_both_vary() {
    let grid = "\"position.base\" = [500, 1000]\nposition = [{ kind = \"rope\", fraction = 0.5 }, \"rope\"]";
    let runs = load(&with_grid(grid), &[]).unwrap().runs;
    assert_eq!(runs.len(), 4);
    assert!(
        runs[0].to_toml().unwrap().contains("base = 500.0\nfraction = 0.5"),
        "{}",
        runs[0].to_toml().unwrap()
    );
}

#[test]
fn tasks_may_vary_with_their_own_lengths() {
    let grid = "[[grid.cases]]\ntask = { kind = \"dyck\" }\ntrain.lengths = [2, 16]\neval.bins = [[2, 16], [17, 32]]\n[[grid.cases]]\ntask = \"majority\"\n";
    let runs = load(&with_grid(grid), &[]).unwrap().runs;
    assert_eq!((runs[0].task.kind(), runs[0].train.lengths, runs[0].eval.bins.len()), ("dyck", [2, 16], 2));
    assert_eq!(
        (runs[1].task.kind(), runs[1].train.lengths, runs[1].eval.bins.len()),
        ("majority", [1, 32], 3)
    );
}

#[test]
fn a_set_key_replaces_its_axis() {
    let grid = "seeds = 2\nposition = [\"none\", \"alibi\"]\n\"train.steps\" = [500, 600]";
    assert_eq!(planned(grid, &["train.steps=700"]).len(), 4);
    assert_eq!(planned(grid, &["position=rope", "seed=5"]), ["train.steps=500 s5", "train.steps=600 s5"]);
    assert_eq!(
        planned(grid, &["grid.seeds=[9]", "train={steps=800}"]),
        ["position=none s9", "position=alibi s9"]
    );
    assert_eq!(
        planned(grid, &["grid.position=['rope']", "grid.train.steps=[600]", "seed=1"]),
        ["position=rope train.steps=600 s1"]
    );
    let cases = "[[grid.cases]]\nposition = \"none\"\nmodel.d_model = 64\n[[grid.cases]]\nposition = \"alibi\"\nmodel.d_model = 64";
    assert_eq!(planned(cases, &["position=rope"]), ["cases=model.d_model=64 s0"]);
    assert_eq!(planned(cases, &["position=rope", "model.d_model=32"]), [" s0"]);
}

#[test]
fn a_set_key_that_the_grid_would_undo_is_refused() {
    let found = message(&with_grid("position = [\"none\", \"rope\"]"), &["position.base=4"]);
    assert_eq!(found, "\
--set position.base=4: `position.base` would have no effect: the grid's axis `position` replaces the whole `position`; set that instead
   | position.base=4
   | ^^^^^^^^^^^^^");
}

#[test]
fn a_mistake_in_the_grid_is_marked_in_the_grid() {
    for (grid, expected) in [
        ("position = [\"none\", \"rop\"]", "37:21: `position.kind` cannot be \"rop\"; did you mean `rope`?"),
        (
            "position = [{ kind = \"rope\", bse = 3 }]",
            "37:30: unknown key `position.bse`; did you mean `base`?",
        ),
        (
            "\"train.learnig_rate\" = [1e-3]",
            "37:1: unknown key `train.learnig_rate`; did you mean `learning_rate`?",
        ),
        (
            "train.learning_rate = [1e-3, -1]",
            "37:30: `train.learning_rate` is -1, but should be a positive number",
        ),
        ("positoin = [1]", "37:1: unknown key `positoin`; did you mean `position`?"),
        (
            "position = \"rope\"",
            "37:12: `grid.position` should be a list of values, not rope; a single value belongs outside the grid",
        ),
        ("position = []", "37:1: `grid.position` has no values; remove it or list some"),
        ("position = [\"none\", \"none\"]", "37:21: `grid.position` lists `none` twice"),
        ("seed = [1]", "37:1: write `seeds = [0, 1, 2]` to vary the seed"),
        ("seeds = [0, 1, 0]", "37:16: `grid.seeds` lists seed 0 twice"),
        ("seeds = []", "37:9: `grid.seeds` is empty; list at least one seed"),
        ("seeds = 0", "37:9: `grid.seeds` is 0 seeds, but should be 1 to 10000, or a list"),
        (
            "seeds = 999999999999",
            "37:9: `grid.seeds` is 999999999999 seeds, but should be 1 to 10000, or a list",
        ),
        (
            "seeds = 200\ntrain.steps = [501,502,503,504,505,506,507,508,509,510,511,512,513,514,515,516,517,518,519,520,521,522,523,524,525,526,527,528,529,530,531,532,533,534,535,536,537,538,539,540,541,542,543,544,545,546,547,548,549,550,551]",
            "38:7: the grid has 10200 runs; at most 10000 can be planned at once",
        ),
        (
            "\"model.d_model\" = [32]\n[[grid.cases]]\nmodel.d_model = 64",
            "38:8: `model.d_model` is varied twice, by `model.d_model` and by `cases`",
        ),
        ("cases = 3", "37:9: `grid.cases` should be a list of tables, one [[grid.cases]] each"),
    ] {
        let found = message(&with_grid(grid), &[]);
        assert!(found.starts_with(&format!("configs/x.toml:{expected}\n")), "{grid}: {found}");
    }
}

#[test]
fn a_mistake_of_one_combination_names_it_once() {
    let found =
        message(&with_grid("seeds = 4\n\"model.n_heads\" = [1, 3]\nposition = [\"none\", \"alibi\"]"), &[]);
    assert_eq!(found, "\
configs/x.toml:38:23: `model.n_heads`: d_model 32 is not divisible by 3 heads; choose a divisor of 32 or set head_dim
  38 | \"model.n_heads\" = [1, 3]
     |                       ^
  first in the run with model.n_heads = 3, position = none");
}

#[test]
fn two_entries_that_come_to_one_run_are_refused() {
    let found = message(&with_grid("position = [{ base = 10000.0 }, \"rope\"]"), &[]);
    assert!(
        found.starts_with(
            "configs/x.toml: the grid has the same run twice: {position = base=10000.0} and {position = rope}"
        ),
        "{found}"
    );
}

#[test]
fn variants_with_one_label_are_told_apart() {
    let positions = "position = [{ kind = \"learned\", init_std = 0.1 }, \"learned\", \"none\"]";
    let grid = load(&with_grid(positions), &[]).unwrap().grid;
    let names: Vec<&str> = grid.runs.iter().map(|run| run.position.as_str()).collect();
    assert_eq!(names, ["learned [init_std=0.1]", "learned [init_std=0.02]", "none"]);
}
