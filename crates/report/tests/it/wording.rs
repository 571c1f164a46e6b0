use attnlab_report::{Control, Finding, Results, Summary, Verdict, verdict};

use crate::fixture::{Fate, write, write_run};

fn words(tasks: &[&str], positions: &[&str], fate: impl Fn(&str, &str) -> Fate) -> (String, Verdict) {
    let dir = tempfile::tempdir().unwrap();
    let tasks: Vec<(&str, f64)> = tasks.iter().map(|t| (*t, 0.5)).collect();
    write(dir.path(), &tasks, positions, 3, fate);
    let summary = Summary::new(&Results::read(dir.path()).unwrap(), None);
    (verdict(&summary), Verdict::of(&summary))
}

#[track_caller]
fn says(text: &str, part: &str) {
    assert!(text.contains(part), "`{part}` is not in:\n{text}");
}

#[test]
fn a_task_that_every_encoding_passes_is_said_so() {
    let (text, _) = words(&["sort"], &["none", "rope", "alibi"], |_, _| Fate::Holds);
    says(&text, "All 9 runs have finished.");
    says(&text, "sort: Holds up to length 160 with every encoding.");
}

#[test]
fn failures_to_generalise_name_the_length_and_failures_to_train_are_kept_apart() {
    let (text, _) = words(&["parity"], &["none", "rope", "alibi", "t5"], |_, p| match p {
        "none" => Fate::Untrained,
        "rope" => Fate::Breaks(40.0),
        "alibi" => Fate::Diverges,
        _ => Fate::Holds,
    });
    says(&text, "Holds up to length 160 with t5.");
    says(&text, "Learned on lengths 1–40, but breaks at longer inputs with rope (from 52).");
    says(&text, "Never learned lengths 1–40 with none (0 of 3 seeds): a failure to train");
    says(&text, "Training diverged with alibi.");
}

#[test]
fn seeds_that_disagree_are_counted() {
    let (text, _) = words(&["parity"], &["rope"], |_, _| Fate::Partly(40.0));
    says(&text, "Not every seed learned lengths 1–40 with rope (2 of 3 seeds)");
    let dir = tempfile::tempdir().unwrap();
    let grid = write(dir.path(), &[("parity", 0.5)], &["rope"], 3, |_, _| Fate::Breaks(40.0));
    write_run(dir.path(), &grid.runs[0], Fate::Holds, 0.5);
    let summary = Summary::new(&Results::read(dir.path()).unwrap(), None);
    says(
        &verdict(&summary),
        "Depends on the seed with rope (2 of 3 seeds that learned it break, from about 52).",
    );
}

#[test]
fn runs_that_have_not_ended_are_counted_and_named() {
    let (text, _) = words(&["parity"], &["none", "rope"], |_, p| match p {
        "rope" => Fate::Waits,
        _ => Fate::Holds,
    });
    says(&text, "3 of 6 runs have finished (3 waiting).");
    says(&text, "No finished run yet with rope.");
}

#[test]
fn the_control_passes_fails_waits_or_is_missing() {
    let both = ["none", "rope"];
    let (text, parts) = words(&["majority", "parity"], &both, |t, _| match t {
        "majority" => Fate::Holds,
        _ => Fate::Breaks(9.0),
    });
    assert_eq!(parts.control, Control::Passes);
    says(&text, "The order-free control (majority) passes with every encoding");
    let (text, parts) = words(&["Majority (bits)"], &both, |_, p| match p {
        "rope" => Fate::Untrained,
        _ => Fate::Holds,
    });
    assert_eq!(parts.control, Control::Fails);
    says(&text, "The order-free control fails: Majority (bits) with rope.");
    let (_, parts) = words(&["majority"], &both, |_, p| match p {
        "rope" => Fate::Waits,
        _ => Fate::Holds,
    });
    assert_eq!(parts.control, Control::Unfinished);
    // Order matters in the interleaved task: it is no control.
    let (text, parts) = words(&["interleaved majority"], &both, |_, _| Fate::Holds);
    assert_eq!(parts.control, Control::Absent);
    says(&text, "No order-free control");
}

#[test]
fn a_task_tested_on_the_training_lengths_alone_is_learned_but_does_not_hold() {
    let (text, _) = words(&["sort"], &["none", "rope", "alibi"], |_, _| Fate::Fits);
    says(&text, "sort: Learned on lengths 1–40 with every encoding, but not tested beyond");
    assert!(!text.contains("Holds") && !text.contains("breaks"), "{text}");
}

#[test]
fn a_task_that_a_constant_passes_shows_nothing_and_nobody_passes_or_fails_it() {
    let (text, _) = words(&["sort"], &["none", "rope"], |_, p| match p {
        "rope" => Fate::Trivial,
        _ => Fate::Breaks(40.0),
    });
    says(
        &text,
        "With rope, a constant answer passes the bar on lengths 1–40: the task as set shows nothing; raise \
         `eval.solved` or change the task.",
    );
    says(&text, "breaks at longer inputs with none (from 52).");
    assert!(!text.contains("Holds") && !text.contains("rope (0 of"), "{text}");
}

#[test]
fn runs_of_a_cell_that_show_nothing_or_were_not_tested_beyond_are_counted_beside_the_verdict() {
    let told = |odd: Fate, others: Fate| {
        let dir = tempfile::tempdir().unwrap();
        let grid = write(dir.path(), &[("parity", 0.5)], &["rope"], 3, |_, _| others);
        write_run(dir.path(), &grid.runs[0], odd, 0.5);
        let summary = Summary::new(&Results::read(dir.path()).unwrap(), None);
        (verdict(&summary), summary.cells[0].finding)
    };
    let (text, finding) = told(Fate::Fits, Fate::Holds);
    assert_eq!(finding, Finding::Generalises);
    says(&text, "Not all that learned lengths 1–40 were tested beyond with rope (2 of 3 seeds)");
    let (text, finding) = told(Fate::Trivial, Fate::Holds);
    assert_eq!(finding, Finding::Generalises);
    says(&text, "In part, a constant answer passes the bar on lengths 1–40 with rope (1 of 3 seeds)");
    let (text, finding) = told(Fate::Diverges, Fate::Trivial);
    assert_eq!(finding, Finding::Trivial);
    says(&text, "With rope (1 of 3 seeds diverged), a constant answer passes the bar");
    let (text, finding) = told(Fate::Untrained, Fate::Fits);
    assert_eq!(finding, Finding::Fits);
    says(&text, "Not every seed learned lengths 1–40 with rope (2 of 3 seeds)");
}

#[test]
fn a_control_passes_only_when_it_was_tested_beyond_and_no_constant_passes_it() {
    let control = |odd: Fate| {
        words(&["majority"], &["none", "rope"], move |_, p| match p {
            "rope" => odd,
            _ => Fate::Holds,
        })
    };
    let (text, parts) = control(Fate::Fits);
    assert_eq!(parts.control, Control::Untested);
    says(&text, "is untested beyond them: majority with rope.");
    let (text, parts) = control(Fate::Trivial);
    assert_eq!(parts.control, Control::Trivial);
    says(&text, "because a constant answer passes its bar: majority with rope.");
    for (odd, others, expected) in [
        (Fate::Fits, Fate::Untrained, Control::Fails),
        (Fate::Trivial, Fate::Untrained, Control::Fails),
        (Fate::Fits, Fate::Waits, Control::Unfinished),
    ] {
        let (_, parts) =
            words(&["majority"], &["none", "rope"], |_, p| if p == "rope" { odd } else { others });
        assert_eq!(parts.control, expected);
    }
    // One run of a cell is enough to spoil the pass.
    for (odd, expected) in [(Fate::Fits, Control::Untested), (Fate::Trivial, Control::Trivial)] {
        let dir = tempfile::tempdir().unwrap();
        let grid = write(dir.path(), &[("majority", 0.5)], &["rope"], 3, |_, _| Fate::Holds);
        write_run(dir.path(), &grid.runs[0], odd, 0.5);
        let summary = Summary::new(&Results::read(dir.path()).unwrap(), None);
        assert_eq!(Verdict::of(&summary).control, expected);
    }
}
