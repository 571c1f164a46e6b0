//! What `doctor` says of the model that is built in and of runs, what it writes, and how it ends.

use std::fs;

use serde_json::Value;

use crate::lab::{Lab, TINY, json};

/// Few and short texts: the demo answers in seconds in a build without optimisation.
const QUICK: [&str; 6] = ["--texts", "6", "--length", "64", "--single-heads", "1"];

fn doctor(lab: &Lab, arguments: &[&str]) -> Value {
    json(&lab.succeeds(&[&["doctor", "demo", "--json"][..], arguments].concat()).stdout)
}

fn finding<'a>(found: &'a Value, name: &str) -> &'a Value {
    found["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == name).unwrap()
}

#[test]
fn the_demos_sink_is_found_and_what_it_does_is_said() {
    let lab = Lab::new(TINY);
    let all = doctor(&lab, &QUICK);
    assert_eq!(all["findings"].as_array().unwrap().len(), 10);
    let sink = finding(&all, "sink");
    assert_eq!(sink["verdict"]["kind"], "present", "{sink}");
    let heads = sink["heads"].as_array().unwrap();
    // The head that copies rests on <bos>: assets/demo/README.md.
    assert!(heads.iter().any(|head| head["layer"] == 2 && head["head"] == 4), "{sink}");
    let causal = &sink["causal"][0];
    assert_eq!(causal["unit"], "loss");
    assert!(causal["effect"]["low"].as_f64() <= causal["effect"]["mean"].as_f64());
    assert_eq!(finding(&all, "order")["verdict"]["kind"], "absent");
    assert_eq!(all["pictures"]["sinks"].as_array().unwrap().len(), 3);
}

#[test]
fn the_table_has_a_line_a_failure_and_the_page_stands_alone() {
    let lab = Lab::new(TINY);
    let said = lab.succeeds(&[&["doctor", "demo", "--html", "d.html"][..], &QUICK].concat()).stdout;
    for name in ["sink", "dormant", "overload", "rank_collapse", "entropy_collapse", "redundancy", "massive"]
    {
        assert!(said.lines().any(|line| line.trim_start().starts_with(name)), "{name}: {said}");
    }
    let page = lab.read("d.html");
    assert!(page.contains("attention sink") && page.contains("<svg") && !page.contains("<script"));
    assert!(!page.contains("http://") && !page.contains("https://"));
}

#[test]
fn chosen_modes_and_heads_alone_are_examined_and_strict_decides_how_it_ends() {
    let lab = Lab::new(TINY);
    let one = doctor(&lab, &[&QUICK[..], &["--only", "sink", "--layers", "0"]].concat());
    assert_eq!(one["findings"].as_array().unwrap().len(), 1);
    let heads = one["findings"][0]["heads"].as_array().unwrap();
    assert!(heads.iter().all(|head| head["layer"] == 0), "{one}");
    // One text gives no interval, so that nothing is present.
    let few = lab.attnlab(&[
        "doctor",
        "demo",
        "--strict",
        "--only",
        "sink",
        "--prompt",
        "One morning a cat found a fish.",
    ]);
    assert_eq!(few.code, Some(0), "{}", few.stderr);
    assert!(few.stdout.contains("cannot tell"), "{}", few.stdout);
    for wrong in
        [&["--only", "cold"][..], &["--layers", "9"], &["--texts", "0"], &["--treat"], &["--seeds", "3"]]
    {
        let ended = lab.attnlab(&[&["doctor", "demo"][..], wrong].concat());
        assert_eq!(ended.code, Some(2), "{wrong:?}: {}", ended.stderr);
    }
}

#[test]
fn a_remedy_is_trained_beside_the_untreated_run_and_resumed() {
    let lab = Lab::new(TINY);
    let arguments = [
        "doctor",
        "exp.toml",
        "--treat",
        "--remedies",
        "softmax1,qk_norm",
        "--seeds",
        "2",
        "--texts",
        "6",
        "--set",
        "train.lengths=[1, 10]",
        "--json",
        "--html",
        "t.html",
    ];
    let found = json(&lab.succeeds(&arguments).stdout);
    let outcomes = found["treatment"].as_array().unwrap();
    for outcome in outcomes {
        assert_eq!(outcome["seeds"], 2);
        assert!(outcome["loss_change"].as_array().unwrap().len() == 3, "{outcome}");
    }
    assert!(outcomes.iter().any(|outcome| outcome["remedy"] == "softmax1"), "{found}");
    let folder = lab.path("runs/tiny-treated");
    let runs = fs::read_dir(&folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(runs, 6, "three arms of two seeds");
    assert!(lab.read("t.html").contains("Treatment"));
    let again = lab.succeeds(&arguments);
    assert_eq!(json(&again.stdout), found);
    assert!(again.stderr.contains("done before"), "{}", again.stderr);
    // A run's folder is treated like its configuration.
    let run =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.is_dir()).unwrap();
    let run = run.to_str().unwrap();
    lab.succeeds(&["doctor", run, "--texts", "6"]);
    let unknown = lab.attnlab(&["doctor", run, "--treat", "--remedies", "prayer"]);
    assert_eq!(unknown.code, Some(2));
    assert!(
        unknown.stderr.contains("no such remedy") && unknown.stderr.contains("softmax1"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn every_remedy_is_a_change_that_a_configuration_takes() {
    let lab = Lab::new(TINY);
    for remedy in attnlab_heads::doctor::remedies() {
        let mut arguments = vec!["run", "exp.toml", "--dry-run"];
        remedy.overrides.iter().for_each(|change| arguments.extend(["--set", change]));
        lab.succeeds(&arguments);
    }
}

#[test]
fn no_word_of_a_users_becomes_markup() {
    let lab = Lab::new(TINY);
    let lines: Vec<String> =
        (0..6).map(|at| format!("<script>alert({at})</script> & so on and on and on")).collect();
    lab.write("evil.txt", lines.join("\n"));
    lab.succeeds(&["doctor", "demo", "--lines", "evil.txt", "--html", "e.html"]);
    let page = lab.read("e.html");
    assert!(!page.contains("<script") && page.contains("given texts"));
}
