//! Readers that go away, and places where nothing can be written.

use std::process::{Command, Stdio};

use crate::lab::{Lab, PROGRAM, TINY};

/// A pipe that nobody reads.
fn unread() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_reader_of_the_results_that_goes_away_is_no_failure() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let verbs: [&[&str]; 5] = [
        &["list", "tasks"],
        &["list", "tasks", "--json"],
        &["compare", "runs/tiny"],
        &["run", "exp.toml"],
        &["run", "exp.toml", "--dry-run"],
    ];
    for arguments in verbs {
        let mut command = Command::new(PROGRAM);
        let output = command.args(arguments).current_dir(lab.path("")).stdout(unread()).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !stderr.contains("panicked"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_progress() {
    let lab = Lab::new(TINY);
    let mut command = Command::new(PROGRAM);
    let output =
        command.args(["run", "exp.toml"]).current_dir(lab.path("")).stderr(unread()).output().unwrap();
    assert!(output.status.success(), "{:?}", output.status);
    assert!(lab.runs()[0].join("DONE").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn results_that_cannot_be_written_are_a_failure() {
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = Command::new(PROGRAM).args(["list", "tasks"]).stdout(full()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stdout"), "{stderr}");
}
