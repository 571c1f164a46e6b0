//! Targets files: what they may say, and how they fit the grid that names them.

use std::fs;
use std::path::Path;

use attnlab_report::record::Population;

use super::*;
use crate::config::targets::parse_targets;

const NUMBER: &str = "\
[[target]]
task = \"(aa)*\"
position = \"none\"
metric = \"exact\"
of = \"fitting\"
percent = [100, 0.5, 0]
tolerance = [1, 2, 5.5]
source = \"A. Paper (arXiv 2410.02140), table 1\"
";

const FINDING: &str = "\
[[finding]]
says = \"with rope (aa)* is memorised and lost\"
task = \"(aa)*\"
position = \"rope\"
drop = 20.0
bin = 3
";

/// The example with a grid of two encodings that names a targets file of this text.
fn beside(targets: &str, sets: &[&str]) -> Result<Experiment, String> {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("x.toml");
    let text = format!("targets = \"t.toml\"\n{}", with_grid("position = [\"none\", \"rope\"]"));
    fs::write(&config, text).unwrap();
    fs::write(folder.path().join("t.toml"), targets).unwrap();
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let place = format!("{}/", folder.path().display());
    Experiment::load(&config, &sets).map_err(|error| error.to_string().replace(&place, ""))
}

fn refused(targets: &str) -> String {
    beside(targets, &[]).expect_err("no error")
}

#[test]
fn a_file_beside_the_experiment_is_read_and_kept_in_the_grid() {
    let targets = beside(&format!("{NUMBER}{FINDING}"), &[]).unwrap().grid.targets;
    let [target] = targets.target.as_slice() else { panic!("{targets:?}") };
    assert_eq!((target.of, target.percent.as_slice()), (Population::Fitting, &[100.0, 0.5, 0.0][..]));
    assert_eq!([0, 1, 2].map(|bin| target.tolerance.at(bin)), [1.0, 2.0, 5.5]);
    let [finding] = targets.finding.as_slice() else { panic!("{targets:?}") };
    assert_eq!((finding.drop, finding.bin, finding.of), (Some(20.0), Some(3), Population::All));
    let grid = serde_json::to_string(&targets).unwrap();
    assert_eq!(serde_json::from_str::<attnlab_report::record::Targets>(&grid).unwrap(), targets);
}

#[test]
fn a_mistake_is_shown_in_the_targets_file() {
    assert_eq!(
        refused(&NUMBER.replace("position =", "positon =")),
        "\
t.toml:3:1: unknown key `target.0.positon`; did you mean `position`?
  3 | positon = \"none\"
    | ^^^^^^^
  allowed keys: task, position, metric, of, percent, tolerance, bins, source, protocol, note"
    );
    for (from, to, expected) in [
        ("[1, 2, 5.5]", "[1, 2]", "t.toml:7:13: `tolerance` has 2 numbers for the 3 of `percent`"),
        ("[1, 2, 5.5]", "\"2\"", "t.toml:7:13: `target.0.tolerance` should be a number of points, or a list"),
        ("[1, 2, 5.5]", "-1", "t.toml:7:13: `tolerance` holds -1,"),
        ("0.5, 0]", "0.5, 101]", "t.toml:6:11: `percent` holds 101,"),
        ("[100, 0.5, 0]", "[]", "t.toml:6:11: `percent` is empty"),
        ("of = \"fitting\"\n", "", "t.toml:1:1: `target.0.of` is missing"),
        ("\"fitting\"", "\"most\"", "t.toml:5:6: `target.0.of` cannot be \"most\""),
        ("A. Paper (arXiv 2410.02140), table 1", " ", "t.toml:8:10: `source` is empty"),
        ("source", "bins = [[1, 32]]\nsource", "t.toml:8:8: `bins` has 1 bins for the 3 numbers"),
        ("[[target]]", "[[targets]]", "t.toml:1:3: unknown key `targets`; did you mean `target`?"),
        ("[[target]]", "[target]", "t.toml:1:1: `target` should be a list of tables, one [[target]] each"),
        ("metric = \"exact\"", "metric =", "t.toml:4:9: "),
    ] {
        assert!(NUMBER.contains(from));
        let found = refused(&NUMBER.replacen(from, to, 1));
        assert!(found.starts_with(expected), "expected {expected}, found {found}");
    }
}

#[test]
fn a_finding_claims_one_thing() {
    for (from, to, expected) in [
        ("drop = 20.0\n", "", "t.toml:2:8: the finding claims nothing; give `better` and `worse`"),
        ("bin = 3", "below = 5", "t.toml:2:8: the finding claims several things"),
        ("drop = 20.0", "better = \"rope\"", "t.toml:5:10: `better` is given without `worse`"),
        ("drop = 20.0", "harder = \"(aa)*\"", "t.toml:5:10: `harder` is given without `easier`"),
        (
            "drop = 20.0",
            "better = \"rope\"\nworse = \"rope\"",
            "t.toml:5:10: `better` and `worse` are the same",
        ),
        ("drop = 20.0", "better = \"none\"\nworse = \"rope\"", "t.toml:4:12: `position` says nothing"),
        ("drop = 20.0", "below = 5\nabove = 10", "t.toml:5:9: nothing is at most 5 and at least 10"),
        ("drop = 20.0", "drop = 120", "t.toml:5:8: `drop` is 120,"),
        ("drop = 20.0", "below = 90\nby = 3", "t.toml:6:6: `by` needs two things to compare"),
        ("bin = 3", "bin = 0", "t.toml:6:7: `bin` counts from 1"),
        ("bin = 3", "bin = 1", "t.toml:6:7: `drop` is measured from bin 1"),
    ] {
        assert!(FINDING.contains(from));
        let found = refused(&FINDING.replacen(from, to, 1));
        assert!(found.starts_with(expected), "expected {expected}, found {found}");
    }
}

#[test]
fn numbers_for_another_count_of_bins_are_refused_unless_they_say_which_bins() {
    let two = NUMBER.replace("[100, 0.5, 0]", "[100, 0]").replace("[1, 2, 5.5]", "2");
    assert!(refused(&two).starts_with("t.toml:6:11: `percent` has 2 numbers for the 3 bins of the runs"));
    let said = two.replace("source", "bins = [[1, 50], [51, 100]]\nsource");
    assert!(beside(&said, &[]).is_ok());
    // About another encoding, it is about no run whose bins could differ.
    assert!(beside(&format!("{NUMBER}{}", two.replace("none", "alibi")), &[]).is_ok());
}

#[test]
fn entries_about_other_grids_are_no_mistake_but_slips_of_spelling_and_a_file_of_strangers_are() {
    let other = NUMBER.replace("(aa)*", "tomita 3");
    assert!(beside(&format!("{NUMBER}{other}"), &[]).is_ok());
    let slip = NUMBER.replace("(aa)*", "( AA )*");
    assert!(
        refused(&slip).starts_with("t.toml:2:8: no run's task is called \"( AA )*\"; did you mean `(aa)*`?")
    );
    let found = refused(&other);
    assert!(found.contains("nothing in this file is about a run of the grid"), "{found}");
    assert!(found.contains("tasks: (aa)*") && found.contains("encodings: none, rope"), "{found}");
    // A grid that --set has cut down need not hold what the numbers are about.
    assert!(beside(NUMBER, &["position=rope"]).is_ok());
    assert!(beside("", &[]).is_ok());
}

#[test]
fn a_targets_file_that_cannot_be_read_is_an_error_where_it_is_named() {
    let text = format!("targets = \"nowhere.toml\"\n{EXAMPLE}");
    let found = message(&text, &[]);
    assert!(
        found.starts_with("configs/x.toml:1:11: cannot read the targets configs/nowhere.toml: "),
        "{found}"
    );
    let found = message(&format!("targets = 3\n{EXAMPLE}"), &[]);
    assert!(found.starts_with("configs/x.toml:1:11: `targets` should be the path of a file"), "{found}");
    assert!(load_targets(Path::new("nowhere.toml")).unwrap_err().to_string().contains("nowhere.toml"));
}

#[test]
fn a_targets_file_can_be_read_by_itself() {
    let targets = parse_targets("t.toml", &format!("{NUMBER}{FINDING}")).unwrap();
    assert_eq!((targets.target.len(), targets.finding.len()), (1, 1));
}
