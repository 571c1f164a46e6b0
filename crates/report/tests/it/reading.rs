use std::fs;

use attnlab_report::record::Outcome;
use attnlab_report::{MapFile, ReadError, Results, RunState, results_csv};

use crate::fixture::{Fate, planned, write, write_grid, write_maps};

fn small(dir: &std::path::Path) {
    write(dir, &[("reverse", 0.5)], &["none", "rope"], 2, |_, _| Fate::Breaks(30.0));
}

fn state(dir: &std::path::Path, id: &str) -> RunState {
    let results = Results::read(dir).unwrap();
    let run = results.runs.into_iter().find(|r| r.planned.id == id).unwrap();
    run.state
}

#[test]
fn a_finished_grid_reads_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let results = Results::read(dir.path()).unwrap();
    assert_eq!(results.finished().count(), 4);
    let run = &results.runs[0];
    assert_eq!(run.metrics.len(), 120);
    assert_eq!(run.maps.len(), 1);
    assert_eq!(run.maps[0].step, 3_000);
    assert!(run.provenance.is_some() && run.warnings.is_empty());
}

#[test]
fn a_folder_without_grid_json_is_an_error_that_names_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let error = Results::read(dir.path()).unwrap_err();
    assert!(matches!(error, ReadError::NoGrid { .. }));
    let text = error.to_string();
    assert!(text.contains("grid.json") && text.contains("attnlab run"), "{text}");
    fs::write(dir.path().join("grid.json"), "{").unwrap();
    assert!(matches!(Results::read(dir.path()).unwrap_err(), ReadError::Content { .. }));
}

#[test]
fn each_kind_of_damage_stays_with_its_run() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let path = |tail: &str| dir.path().join(tail);
    fs::remove_dir_all(path("reverse-none-s0")).unwrap();
    fs::remove_file(path("reverse-none-s1/DONE")).unwrap();
    fs::write(path("reverse-rope-s0/eval.json"), "{\"id\": \"reverse-ro").unwrap();
    fs::remove_file(path("reverse-rope-s1/eval.json")).unwrap();
    assert_eq!(state(dir.path(), "reverse-none-s0"), RunState::Waiting);
    assert_eq!(state(dir.path(), "reverse-none-s1"), RunState::Running { step: 3_000 });
    for id in ["reverse-rope-s0", "reverse-rope-s1"] {
        let RunState::Unreadable { file, reason } = state(dir.path(), id) else {
            panic!("{id} is readable");
        };
        assert!(file.ends_with("eval.json"), "{file:?}");
        assert!(reason.contains("Remove DONE") || reason.contains("remove DONE"), "{reason}");
    }
    // The table has a row for each all the same.
    let csv = results_csv(&Results::read(dir.path()).unwrap()).unwrap();
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.contains("waiting") && csv.contains("running") && csv.contains("unreadable"));
}

#[test]
fn another_runs_evaluation_is_not_taken_for_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let from = dir.path().join("reverse-none-s0/eval.json");
    fs::copy(from, dir.path().join("reverse-rope-s0/eval.json")).unwrap();
    let RunState::Unreadable { reason, .. } = state(dir.path(), "reverse-rope-s0") else {
        panic!("taken for its own");
    };
    assert!(reason.contains("`reverse-none-s0`"), "{reason}");
}

#[test]
fn a_half_written_last_line_is_no_damage_but_a_broken_one_in_the_middle_is_told() {
    let dir = tempfile::tempdir().unwrap();
    small(dir.path());
    let file = dir.path().join("reverse-none-s0/metrics.jsonl");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{whole}{{\"step\": 30")).unwrap();
    let run = Results::read(dir.path()).unwrap().runs.remove(0);
    assert_eq!((run.metrics.len(), run.warnings.len()), (120, 0));
    let mut lines: Vec<&str> = whole.lines().collect();
    lines[3] = "not json";
    fs::write(&file, lines.join("\n")).unwrap();
    let run = Results::read(dir.path()).unwrap().runs.remove(0);
    assert_eq!(run.metrics.len(), 119);
    assert!(run.warnings[0].contains("line 4"), "{:?}", run.warnings);
}

#[test]
fn a_diverged_run_reads_although_json_has_no_nan() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[("reverse", 0.5)], &["rope"], 1, |_, _| Fate::Diverges);
    let run = Results::read(dir.path()).unwrap().runs.remove(0);
    assert_eq!(run.metrics.len(), 120);
    assert!(run.metrics.last().unwrap().loss.is_nan());
    assert!(matches!(run.state, RunState::Done(e) if matches!(e.outcome, Outcome::Diverged { .. })));
}

#[test]
fn a_run_id_cannot_lead_out_of_the_grids_folder() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("grid");
    let mut grid = write(&inner, &[("reverse", 0.5)], &["none"], 1, |_, _| Fate::Holds);
    for id in ["../outside", "/etc", "", ".", "a/b"] {
        grid.runs[0].id = id.to_owned();
        write_grid(&inner, &grid);
        let run = Results::read(&inner).unwrap().runs.remove(0);
        assert!(matches!(run.state, RunState::Unreadable { .. }), "{id:?} was followed");
    }
}

#[test]
fn maps_give_rows_that_sum_to_one_and_wrong_files_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let run = planned("reverse", "none", 0);
    write_maps(dir.path(), &run, 6, 2, &["<s>"]);
    let file = MapFile::list(&dir.path().join("maps")).remove(0);
    let maps = file.open().unwrap();
    assert_eq!((maps.layers.clone(), maps.examples, maps.heads, maps.length), (vec![0, 1], 2, 4, 6));
    let example = maps.example(1).unwrap();
    assert_eq!(example.tokens[0], "<s>");
    for row in example.patterns.iter().flatten().flat_map(|map| map.chunks(6)) {
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
    }
    assert!(maps.example(2).is_err());
    let bytes = fs::read(&file.path).unwrap();
    fs::write(&file.path, &bytes[..bytes.len() - 9]).unwrap();
    assert!(file.open().unwrap_err().to_string().contains("not a safetensors file"));
    fs::write(&file.path, b"").unwrap();
    assert!(file.open().is_err());
}
