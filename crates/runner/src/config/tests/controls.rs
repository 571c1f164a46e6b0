use attnlab_report::record::ControlKind;

use super::*;

const GRID: &str =
    "seeds = [3, 4]\ntask = [\"majority\", { kind = \"aa_star\" }]\nposition = [\"none\", \"rope\"]";
const CONTROLS: &str = "shuffled_labels = true\nfrozen = true\npositive = { position = { kind = \"learned\" }, \"model.n_layers\" = 3 }";

/// The example with a grid and controls.
fn with_controls(grid: &str, controls: &str) -> String {
    format!("{EXAMPLE}\n[controls]\n{controls}\n[grid]\n{grid}")
}

/// Every control as `kind task position seed`.
fn controls_of(experiment: &Experiment) -> Vec<String> {
    let controls = experiment.grid.runs.iter().filter_map(|run| Some((run.control?, run)));
    controls.map(|(kind, run)| format!("{kind:?} {} {} s{}", run.task, run.position, run.seed)).collect()
}

#[test]
fn every_task_of_the_grid_has_one_set_of_controls_after_the_grid() {
    let plain = load(&with_grid(GRID), &[]).unwrap();
    let experiment = load(&with_controls(GRID, CONTROLS), &[]).unwrap();
    assert_eq!(experiment.grid.runs[..8], plain.grid.runs, "the grid itself is as it was");
    assert_eq!(experiment.runs[..8], plain.runs);
    assert_eq!(
        controls_of(&experiment),
        [
            "ShuffledLabels majority (ones uniform) none s3",
            "Frozen majority (ones uniform) none s3",
            "Positive majority (ones uniform) learned s3",
            "ShuffledLabels (aa)* none s3",
            "Frozen (aa)* none s3",
            "Positive (aa)* learned s3",
        ]
    );
    for (run, planned) in experiment.runs.iter().zip(&experiment.grid.runs) {
        assert_eq!((run.id(), run.control), (planned.id.clone(), planned.control));
    }
}

#[test]
fn a_control_is_its_sibling_but_for_what_it_says() {
    let experiment = load(&with_controls(GRID, CONTROLS), &[]).unwrap();
    let sibling = &experiment.runs[0];
    let [shuffled, frozen, positive] = &experiment.runs[8..11] else { panic!() };
    assert_eq!(*shuffled, RunConfig { control: Some(ControlKind::ShuffledLabels), ..sibling.clone() });
    assert_eq!(*frozen, RunConfig { control: Some(ControlKind::Frozen), ..sibling.clone() });
    let changed = RunConfig {
        control: Some(ControlKind::Positive),
        position: positive.position.clone(),
        model: attnlab_model::Architecture { n_layers: 3, ..sibling.model.clone() },
        ..sibling.clone()
    };
    assert_eq!(*positive, changed);
    assert_eq!(experiment.grid.runs[10].settings["position"], "learned", "not the sibling's");
}

#[test]
fn a_frozen_run_has_a_head_of_its_own() {
    let text =
        with_controls(GRID, "frozen = true").replace("n_heads = 2", "n_heads = 2\ntie_embeddings = true");
    let experiment = load(&text, &[]).unwrap();
    assert!(experiment.runs[0].model.tie_embeddings && !experiment.runs[8].model.tie_embeddings);
    let written =
        experiment.runs[8].to_toml().unwrap().replace("tie_embeddings = false", "tie_embeddings = true");
    let error = RunConfig::from_toml(&written).unwrap_err().to_string();
    assert!(error.contains("`model.tie_embeddings` is true, but in a frozen run the head alone"), "{error}");
}

#[test]
fn a_resolved_control_says_so_and_reads_back_as_itself() {
    for run in &load(&with_controls(GRID, CONTROLS), &[]).unwrap().runs[8..] {
        let text = run.to_toml().unwrap();
        let name = super::super::controls::name_of(run.control.unwrap());
        assert!(text.contains(&format!("\ncontrol = \"{name}\"\n")), "{text}");
        assert_eq!(RunConfig::from_toml(&text).unwrap(), *run);
        assert!(run.id().contains(&format!(".{name}.s3-")), "{}", run.id());
    }
    let plain = load(EXAMPLE, &[]).unwrap().runs.remove(0);
    assert!(!plain.to_toml().unwrap().contains("control"), "or every run would get a new id");
}

#[test]
fn seeds_and_the_encoding_of_untaught_controls_are_given() {
    let controls = format!("{CONTROLS}\nseeds = 2\nposition = \"alibi\"");
    let experiment = load(&with_controls("position = [\"none\", \"rope\"]", &controls), &[]).unwrap();
    assert_eq!(
        controls_of(&experiment),
        [
            "ShuffledLabels (aa)* alibi s0",
            "ShuffledLabels (aa)* alibi s1",
            "Frozen (aa)* alibi s0",
            "Frozen (aa)* alibi s1",
            "Positive (aa)* learned s0",
            "Positive (aa)* learned s1",
        ]
    );
}

#[test]
fn a_case_has_controls_of_its_own() {
    let grid = "position = [\"none\", \"rope\"]\n[[grid.cases]]\ntask = \"majority\"\ncontrols = { positive = false }\n[[grid.cases]]\ntask = \"aa_star\"\ncontrols.positive.position = \"alibi\"\n[[grid.cases]]\ntask = \"parity\"";
    let experiment =
        load(&with_controls(grid, "positive = { position = \"learned\", model.n_layers = 1 }"), &[]).unwrap();
    assert_eq!(
        controls_of(&experiment),
        ["Positive (aa)* alibi s0", "Positive parity (ones iid) learned s0"]
    );
    assert_eq!(experiment.runs[6].model.n_layers, 1, "the rest of the file's table stays");
    assert_eq!(experiment.grid.runs[0].settings["cases"], "task=majority", "controls are no setting");
    let without =
        load(&with_controls(grid, "positive = { position = \"learned\" }"), &["task=majority"]).unwrap();
    assert_eq!(controls_of(&without), ["Positive majority (ones uniform) learned s0"]);
}

#[test]
fn an_argument_changes_the_controls_too() {
    let text = with_controls(GRID, CONTROLS);
    let experiment = load(&text, &["controls.frozen=false", "controls.positive=false", "controls.seeds=[9]"]);
    let only = ["ShuffledLabels majority (ones uniform) none s9", "ShuffledLabels (aa)* none s9"];
    assert_eq!(controls_of(&experiment.unwrap()), only);
    let experiment = load(&text, &["controls.positive.train.steps=900"]).unwrap();
    assert_eq!((experiment.runs[0].train.steps, experiment.runs[10].train.steps), (500, 900));
}

#[test]
fn a_variant_that_only_a_control_has_leaves_the_names_of_the_grid_alone() {
    let controls = "positive = { position = { kind = \"learned\", init_std = 0.5 } }\nfrozen = true";
    let experiment = load(&with_controls("position = [\"none\", \"learned\"]", controls), &[]).unwrap();
    let names: Vec<&str> = experiment.grid.runs.iter().map(|run| run.position.as_str()).collect();
    assert_eq!(names, ["none", "learned", "none", "learned [init_std=0.5]"]);
}

#[test]
fn mistakes_in_controls_are_marked() {
    for (controls, expected) in [
        ("frozn = true", "37:1: unknown key `controls.frozn`; did you mean `frozen`?"),
        ("frozen = 1", "37:10: `controls.frozen` should be true or false, not 1"),
        (
            "positive = true",
            "37:12: `controls.positive` should be a table of what makes a run solve the task",
        ),
        ("positive = {}", "37:12: `controls.positive` changes nothing"),
        ("positive = { task = \"parity\" }", "37:14: `controls.positive` cannot change `task`"),
        ("positive = { positoin = \"rope\" }", "37:14: unknown key `positoin`; did you mean `position`?"),
        (
            "positive = { position = \"rop\" }",
            "37:25: `position.kind` cannot be \"rop\"; did you mean `rope`?",
        ),
        ("positive = { train.batch_size = 0 }", "37:33: `train.batch_size` is 0, but should be"),
        ("seeds = []\nfrozen = true", "37:9: `controls.seeds` is empty"),
    ] {
        let found = message(&with_controls(GRID, controls), &[]);
        assert!(found.starts_with(&format!("configs/x.toml:{expected}")), "{controls}: {found}");
    }
    let found = message(&with_controls(GRID, "positive = { \"train.learning_rate\" = -1 }"), &[]);
    assert!(found.contains("in the control `positive` of the task majority"), "{found}");
    let found = message(&with_grid("\"controls.frozen\" = [true, false]"), &[]);
    assert!(found.contains("`controls.frozen` cannot be varied; a case of [[grid.cases]]"), "{found}");
    let found = message(&with_grid("[[grid.cases]]\ncontrols.frozen = true"), &[]);
    assert!(found.contains("this case sets nothing"), "{found}");
    let found = message(&format!("control = \"frozen\"\n{}", with_grid(GRID)), &[]);
    assert!(
        found.contains("`control` marks the configuration of a single run, but there is a `grid`"),
        "{found}"
    );
    let found = message(&format!("control = \"frosen\"\n{EXAMPLE}"), &[]);
    assert!(found.contains("`control` cannot be \"frosen\"; did you mean `frozen`?"), "{found}");
}

#[test]
fn a_text_has_no_labels_to_shuffle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    std::fs::write(&path, "so it goes, and so on. ".repeat(500)).unwrap();
    let text = format!(
        "[task]\nkind = \"text\"\npath = {path:?}\ntokens = \"bytes\"\n[position]\nkind = \"none\"\n[train]\nlengths = [16, 16]\n[eval]\nbins = [[16, 16]]\n[controls]\nshuffled_labels = true"
    );
    let found = message(&text, &[]);
    assert!(found.contains("12:19: `controls.shuffled_labels`: the task `text"), "{found}");
    assert_eq!(message(&text.replace("shuffled_labels", "frozen"), &[]), "no error");
}
