use super::*;

/// A file to learn, and the example asked about it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(text);
        folder
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("t.txt")
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text.repeat(1000)).unwrap();
    }

    fn example(&self) -> String {
        let task = format!("kind = \"text\"\npath = '{}'", self.path().display());
        example("kind = \"aa_star\"\nprotocol = \"prefix\"\nperiod = 2", &task)
    }

    fn run(&self) -> RunConfig {
        load(&self.example(), &[]).unwrap().runs.remove(0)
    }
}

const CHANGED: &str = "the text has changed since this configuration was resolved";

#[test]
fn the_same_path_with_other_contents_is_another_run() {
    let folder = Folder::new("one ");
    let first = folder.run();
    assert_eq!(folder.run(), first);
    assert!(first.to_toml().unwrap().contains("digest = \""));
    folder.write("two ");
    let second = folder.run();
    assert_ne!(first.id(), second.id());
    assert_ne!(first.hash(), second.hash());
    assert_eq!(RunConfig { task: first.task.clone(), ..second }, first, "nothing else differs");
    folder.write("one ");
    assert_eq!(folder.run().id(), first.id());
}

#[test]
fn a_run_is_not_resumed_on_a_text_that_was_overwritten() {
    let folder = Folder::new("one ");
    let run = folder.run();
    let written = run.to_toml().unwrap();
    assert_eq!(RunConfig::from_toml(&written).unwrap(), run);
    run.validate().unwrap();
    folder.write("two ");
    // Read again from its folder, checked in memory, and started.
    let read = RunConfig::from_toml(&written).unwrap_err().to_string();
    assert!(read.contains(CHANGED) && read.contains("t.txt"), "{read}");
    let line = written.lines().position(|line| line.starts_with("digest")).unwrap() + 1;
    assert!(read.starts_with(&format!("config.toml:{line}:10: ")), "{read}");
    assert!(run.validate().unwrap_err().to_string().contains(CHANGED));
    let built = run.task.build().err().unwrap().to_string();
    assert!(built.contains(CHANGED) && built.contains("remove `digest`"), "{built}");
    folder.write("one ");
    assert_eq!(RunConfig::from_toml(&written).unwrap(), run);
}

#[test]
fn a_text_that_is_not_there_is_one_mistake_at_its_path() {
    let folder = Folder::new("one ");
    let text = folder.example();
    std::fs::remove_file(folder.path()).unwrap();
    let found = message(&text, &[]);
    assert!(found.starts_with("configs/x.toml:6:8: task.text: cannot read"), "{found}");
    assert!(!found.contains("\n\n"), "{found}");
}

#[test]
fn two_texts_of_one_name_are_told_apart_by_their_paths() {
    let folders = [Folder::new("one "), Folder::new("two ")];
    let paths = folders.each_ref().map(|folder| format!("'{}'", folder.path().display()));
    let grid = format!("{}\n[grid]\n\"task.path\" = [{}]", folders[0].example(), paths.join(", "));
    let tasks: Vec<String> = load(&grid, &[]).unwrap().grid.runs.into_iter().map(|run| run.task).collect();
    assert_ne!(tasks[0], tasks[1]);
    assert!(tasks.iter().all(|task| task.contains("path=") && !task.contains("digest")), "{tasks:?}");
}
