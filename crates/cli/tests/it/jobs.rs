//! Results do not depend on how many runs go at a time, nor on how many threads each has.

use crate::lab::{Lab, TINY, differing, files, results};

/// Batches of several micro-batches and lanes, with dropout of both kinds and random offsets.
const WIDE: &str = r#"
name = "tiny"
[task]
kind = "majority"
protocol = "prefix"
[model]
d_model = 16
n_layers = 2
n_heads = 2
dropout = 0.2
attention_dropout = 0.1
[train]
lengths = [16, 24]
steps = 6
batch_size = 256
learning_rate = 1e-2
log_every = 1
eval_every = 3
checkpoint_every = 3
map_steps = [0, 3]
[eval]
samples = 64
bins = [[16, 24], [25, 32]]
points = 3
[grid]
seeds = 2
position = ["rope", { kind = "learned", random_offset = true, max_len = 64 }]
"#;

#[test]
fn jobs_and_threads_change_no_byte() {
    let lab = Lab::new(WIDE);
    let with = |jobs: &str, threads: &str| {
        let out = format!("{jobs}-{threads}");
        lab.succeeds(&["run", "exp.toml", "--jobs", jobs, "--threads", threads, "--out", &out]);
        results(&lab.path(&out))
    };
    let alone = with("1", "1");
    assert_eq!(alone.keys().filter(|name| name.ends_with("DONE")).count(), 4);
    for (jobs, threads) in [("2", "1"), ("1", "2"), ("1", "5"), ("4", "3")] {
        let other = with(jobs, threads);
        assert_eq!(differing(&alone, &other), [""; 0], "--jobs {jobs} --threads {threads}");
    }
}

#[test]
fn another_seed_and_no_dropout_do_change_the_weights() {
    let lab = Lab::new(WIDE);
    let weights = |set: &str| {
        let out = set.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let one =
            ["run", "exp.toml", "--set", "position=rope", "--set", "seed=0", "--set", set, "--out", &out];
        lab.succeeds(&one);
        let found = results(&lab.path(&out));
        found.into_iter().find(|(name, _)| name.ends_with("model.safetensors")).unwrap().1
    };
    let plain = weights("train.log_every=1");
    assert!(plain == weights("train.log_every=2"), "what is logged changes the weights");
    for set in ["seed=1", "model.dropout=0.0", "model.attention_dropout=0.0", "train.batch_size=255"] {
        assert!(plain != weights(set), "{set} changes nothing, so the test above shows nothing");
    }
}

#[test]
#[cfg(unix)]
fn a_run_that_another_program_is_at_work_on_is_left_to_it() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let unbroken = results(&lab.path("runs"));
    let run = lab.runs().remove(0);
    std::fs::remove_file(run.join("DONE")).unwrap();
    std::fs::write(run.join("eval.json.unfinished"), "{").unwrap();

    let other = std::fs::File::open(&run).unwrap();
    other.try_lock().unwrap();
    let before = files(&run);
    let ended = lab.attnlab(&["run", "exp.toml"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("another attnlab is at work"), "{}", ended.stderr);
    assert_eq!(differing(&before, &files(&run)), [""; 0]);

    drop(other);
    lab.succeeds(&["run", "exp.toml"]);
    assert_eq!(differing(&unbroken, &results(&lab.path("runs"))), [""; 0]);
}
