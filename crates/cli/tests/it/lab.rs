//! A temporary folder with a configuration in it, and the program run there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_attnlab");

/// One run of a twelfth of a second: a causal order-sensitive task, a checkpoint every fourth step.
pub(crate) const TINY: &str = r#"
name = "tiny"
[task]
kind = "reverse"
protocol = "language"
[model]
d_model = 8
n_layers = 1
n_heads = 2
[position]
kind = "none"
[train]
lengths = [1, 4]
steps = 12
batch_size = 16
learning_rate = 1e-2
log_every = 1
eval_every = 4
checkpoint_every = 4
map_steps = [0, 3]
[eval]
samples = 32
"#;

/// A folder of its own, removed at the end of the test.
pub(crate) struct Lab(TempDir);

/// How the program ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    /// A folder that holds `exp.toml`.
    pub(crate) fn new(config: &str) -> Self {
        let lab = Self(TempDir::new().unwrap());
        lab.write("exp.toml", config);
        lab
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.0.path().join(below)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, below: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// Runs the program here. Whatever it is given, it must end soon and must not panic.
    pub(crate) fn attnlab(&self, arguments: &[&str]) -> Ended {
        let mut command = assert_cmd::Command::new(PROGRAM);
        command.current_dir(self.0.path()).timeout(Duration::from_secs(120));
        let output = command.args(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let ended =
            Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// Runs the program here; it must succeed.
    pub(crate) fn succeeds(&self, arguments: &[&str]) -> Ended {
        let ended = self.attnlab(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended
    }

    /// Runs the program here; it must refuse with `code`, say each of `words`, and leave every file as it was.
    pub(crate) fn refuses(&self, arguments: &[&str], code: i32, words: &[&str]) {
        let before = files(self.0.path());
        let ended = self.attnlab(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        for word in words {
            assert!(ended.stderr.contains(word), "{arguments:?} does not say `{word}`: {}", ended.stderr);
        }
        assert_eq!(ended.stdout, "", "{arguments:?} has a result");
        assert_eq!(differing(&before, &files(self.0.path())), [""; 0], "{arguments:?} changed files");
    }

    /// The folders of the runs of experiment `tiny`, by name.
    pub(crate) fn runs(&self) -> Vec<PathBuf> {
        run_folders(&self.path("runs/tiny"))
    }
}

/// The run folders in the folder of an experiment, by name; none if it is not there.
pub(crate) fn run_folders(experiment: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(experiment).into_iter().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Every file below a folder with its content, and every folder with none.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                found.insert(name + "/", Vec::new());
                folders.push(path);
            } else {
                found.insert(name, fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// The same without what may differ between two equal runs.
pub(crate) fn results(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = files(folder);
    found.retain(|name, _| !name.ends_with("provenance.json"));
    found
}

/// Names of the files that only one side has, or that the sides have with unequal content.
pub(crate) fn differing(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"))
}
