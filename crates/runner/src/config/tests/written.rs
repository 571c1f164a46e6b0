use std::collections::HashSet;

use super::*;

const GRID: &str = "seeds = 3\nposition = [\"none\", \"learned\", { kind = \"learned\", random_offset = true }, \"sinusoidal\", \"rope\", \"alibi\"]\ntask = [{ kind = \"aa_star\", period = 3 }, \"majority\", { kind = \"parity\", protocol = \"language\", ones = \"uniform\" }]\ntrain.clip_norm = [1.0, inf]";

#[test]
fn a_resolved_run_reads_back_as_itself() {
    for run in load(&with_grid(GRID), &[]).unwrap().runs {
        let text = run.to_toml().unwrap();
        let again = RunConfig::from_toml(&text).unwrap();
        assert_eq!(again, run, "{text}");
        assert_eq!(again.to_toml().unwrap(), text);
        assert_eq!((again.id(), again.hash()), (run.id(), run.hash()));
        run.validate().unwrap();
    }
}

#[test]
fn every_registered_kind_can_be_written_and_read() {
    for info in attnlab_positions::registry() {
        let run = load(EXAMPLE, &[&format!("position={}", info.kind)]).unwrap().runs.remove(0);
        assert_eq!(RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
    }
    for form in attnlab_model::registry() {
        let run = load(&example("n_heads = 2\n", &format!("n_heads = 2\n{}", form.example)), &[]);
        let run = run.unwrap_or_else(|e| panic!("{}: {e}", form.name)).runs.remove(0);
        assert_eq!(RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
    }
    // Every task has strings of some of these lengths. A text needs a file.
    let lengths = ["train.lengths=[16,48]", "eval.bins=[[16,48]]"];
    for info in attnlab_tasks::registry().iter().filter(|info| info.kind != "text") {
        for protocol in info.protocols {
            let options = info.example.lines().filter(|line| !line.trim().is_empty());
            let options = options.filter(|line| !line.starts_with("protocol") && !line.starts_with("bos"));
            let options: Vec<&str> = options.collect();
            let task = format!("task={{ {}, protocol = '{protocol}' }}", options.join(", "));
            let run = load(EXAMPLE, &[&[task.as_str()][..], &lengths].concat()).unwrap().runs.remove(0);
            assert_eq!(RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), run);
        }
    }
}

#[test]
fn everything_left_out_is_written_out() {
    let run = load("task.kind = \"even_pairs\"\nposition.kind = \"rope\"", &[]).unwrap().runs.remove(0);
    let text = run.to_toml().unwrap();
    for line in [
        "name = \"x\"",
        "seed = 0",
        "protocol = \"",
        "bos = true",
        "base = 10000.0",
        "lengths = [1, 32]",
        "bins = [[1, 32], [33, 64], [65, 128]]",
        "clip_norm = 1.0",
        "d_model = 64",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
}

#[test]
fn ids_are_unique_and_fit_for_any_file_system() {
    let experiment = load(&with_grid(GRID), &[]).unwrap();
    let ids: HashSet<String> = experiment.runs.iter().map(RunConfig::id).collect();
    assert_eq!(ids.len(), experiment.runs.len());
    for (id, planned) in ids.iter().zip(&experiment.grid.runs) {
        assert!(
            id.len() <= 100
                && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c)),
            "{id}"
        );
        assert!(ids.contains(&planned.id));
    }
}

#[test]
fn a_growing_grid_keeps_the_ids_of_its_runs() {
    let alone = load(EXAMPLE, &[]).unwrap().runs.remove(0);
    let grown = load(
        &with_grid(
            "seeds = 2\ntrain.steps = [400, 500]\nposition = [\"none\", { kind = \"rope\", base = 1e4 }]",
        ),
        &["name=other"],
    )
    .unwrap();
    assert!(grown.runs.iter().any(|run| run.id() == alone.id()), "{}", alone.id());
    assert!(alone.id().starts_with("aa_star-prefix.rope.l2-d32-h2.lr0.003.s0-"), "{}", alone.id());
}

#[test]
fn anything_that_results_depend_on_changes_the_hash() {
    let hash = |set: &str| load(EXAMPLE, &[set]).unwrap().runs[0].hash();
    let sets = [
        "name=a",
        "seed=1",
        "task.period=3",
        "task.bos=false",
        "model.dropout=0.1",
        "position.base=9",
        "train.steps=501",
        "eval.samples=511",
    ];
    let hashes: HashSet<String> = sets.iter().map(|set| hash(set)).collect();
    assert_eq!(hashes.len(), sets.len());
    assert_eq!(hash("name=a"), hash("name=b"), "the experiment's name changes no result");
}

#[test]
fn what_is_planted_is_written_into_the_run_and_nothing_where_nothing_is() {
    let plain = load(EXAMPLE, &[]).unwrap().runs.remove(0);
    assert!(plain.plants.is_empty() && !plain.to_toml().unwrap().contains("plants"));
    let grid = "seeds = 2\n[[grid.cases]]\nplants = { present = [\"sink\"] }\n[[grid.cases]]\ntrain.steps = 90\nplants.absent = [\"sink\", \"overload\"]";
    let text = with_grid(grid).replace("map_steps = [0, 100]", "");
    let runs = load(&text, &[]).unwrap().runs;
    let lists = |run: &RunConfig| (run.plants.present.clone(), run.plants.absent.clone());
    assert_eq!(lists(&runs[0]), (vec!["sink".to_owned()], vec![]));
    assert_eq!(lists(&runs[3]), (vec![], vec!["sink".to_owned(), "overload".to_owned()]));
    for run in &runs {
        assert_eq!(RunConfig::from_toml(&run.to_toml().unwrap()).unwrap(), *run);
        assert_ne!(run.hash(), plain.hash());
    }
    let found = message(&example("[eval]", "[plants]\nabsnt = []\n[eval]"), &[]);
    assert!(found.contains("`plants.absnt`") && found.contains("`absent`"), "{found}");
}

#[test]
fn a_grid_is_no_single_run() {
    let error = RunConfig::from_toml(&with_grid("seeds = 2")).unwrap_err().to_string();
    assert!(error.starts_with("config.toml: this configuration stands for 2 runs"), "{error}");
}

#[test]
fn a_run_made_in_code_is_checked_too() {
    let mut run = load(EXAMPLE, &[]).unwrap().runs.remove(0);
    run.train.lengths = [5, 2];
    run.eval.bins.clear();
    let error = run.validate().unwrap_err().to_string();
    assert!(
        error.contains("`train.lengths` is no range") && error.contains("`eval.bins` is empty"),
        "{error}"
    );
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("absent.toml");
    let error = Experiment::load(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("absent.toml: cannot read the configuration"), "{error}");
    std::fs::write(&path, b"name = 1\n\xff").unwrap();
    let error = Experiment::load(&path, &[]).unwrap_err().to_string();
    assert!(error.contains("line 2 is not UTF-8 text"), "{error}");
    std::fs::write(&path, EXAMPLE).unwrap();
    assert_eq!(Experiment::load(&path, &[]).unwrap().runs.len(), 1);
}
