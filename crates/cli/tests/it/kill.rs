//! A run that is killed, wherever that happens, ends in the bytes of one that was not.

use std::fs;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::lab::{Lab, PROGRAM, TINY, differing, files, results, run_folders};

/// Two runs with everything that could depend on an interruption: dropout, random offsets, maps, measurements.
const BROKEN: &str = r#"
name = "tiny"
[task]
kind = "reverse"
protocol = "language"
[model]
d_model = 8
n_layers = 1
n_heads = 2
dropout = 0.1
[train]
lengths = [1, 4]
steps = 30
batch_size = 16
learning_rate = 1e-2
log_every = 1
eval_every = 6
checkpoint_every = 3
map_steps = [0, 2, 3, 10, 29]
[eval]
samples = 32
[grid]
position = ["none", { kind = "learned", random_offset = true, max_len = 64 }]
"#;
const STEPS_OF_BOTH: u64 = 60;
const KILLS: usize = 20;

#[test]
fn a_run_killed_at_any_moment_ends_in_the_bytes_of_an_unbroken_one() {
    let lab = Lab::new(BROKEN);
    let began = Instant::now();
    assert!(run_for(&lab, "unbroken", None).success());
    let whole = began.elapsed();
    let unbroken = results(&lab.path("unbroken"));

    let mut delays = Delays(0x5eed);
    let (mut kills, mut midway, mut went_on) = (0, 0, 0);
    for round in 0.. {
        assert!(round < 100, "only {kills} kills found the program alive");
        let out = format!("broken-{round}");
        let mut before = 0;
        // Past the last kill, the round is let finish.
        while !run_for(&lab, &out, (kills < KILLS).then(|| delays.next(whole.mul_f64(0.7)))).success() {
            kills += 1;
            let now = steps_done(&lab.path(&out).join("tiny"));
            midway += usize::from(0 < now && now < STEPS_OF_BOTH);
            went_on += usize::from(now > before);
            assert!(now >= before, "a kill cost steps that a checkpoint held: {before} to {now}");
            before = now;
        }
        assert_eq!(differing(&unbroken, &results(&lab.path(&out))), [""; 0], "after {kills} kills");
        if kills >= KILLS {
            break;
        }
    }
    assert!(
        midway >= KILLS / 2,
        "only {midway} of {kills} kills came between the first checkpoint and the end"
    );
    assert!(went_on >= KILLS / 4, "only {went_on} of {kills} stretches got anywhere");
}

#[test]
fn whatever_a_kill_can_leave_behind_is_cleared_away() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let (grid, run) = (lab.path("runs/tiny"), lab.runs().remove(0));
    let unbroken = results(&grid);
    let last = run.join("checkpoints/step-000012");
    let remove = |name: &str| fs::remove_file(run.join(name)).unwrap();
    let unfinished = |folder: &Path, name: &str| {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(format!("{name}.unfinished")), "half").unwrap();
    };
    let states: [(&str, &dyn Fn()); 7] = [
        ("before DONE", &|| remove("DONE")),
        ("before eval.json", &|| {
            remove("DONE");
            remove("eval.json");
            unfinished(&run, "eval.json");
        }),
        ("between a checkpoint and the removal of the one before", &|| {
            remove("DONE");
            let old = run.join("checkpoints/step-000008");
            fs::create_dir(&old).unwrap();
            for file in fs::read_dir(&last).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), old.join(file.file_name())).unwrap();
            }
        }),
        ("within that removal", &|| {
            remove("DONE");
            fs::create_dir(run.join("checkpoints/step-000008")).unwrap();
        }),
        ("within a first checkpoint", &|| {
            remove("DONE");
            remove("eval.json");
            fs::rename(&last, run.join("checkpoints/step-000012.unfinished")).unwrap();
            unfinished(&run.join("checkpoints/step-000012.unfinished"), "optimizer.safetensors");
        }),
        ("within a map and a line of the metrics", &|| {
            remove("DONE");
            remove("maps/step-000012.safetensors");
            fs::remove_dir_all(&last).unwrap();
            unfinished(&run.join("maps"), "step-000012.safetensors");
            let metrics = fs::read(run.join("metrics.jsonl")).unwrap();
            fs::write(run.join("metrics.jsonl"), &metrics[..metrics.len() - 40]).unwrap();
        }),
        ("within the report", &|| {
            fs::remove_file(grid.join("report.html")).unwrap();
            unfinished(&grid, "report.html");
            unfinished(&grid, "grid.json");
            unfinished(&run, "provenance.json");
        }),
    ];
    for (when, damage) in states {
        damage();
        assert_ne!(differing(&unbroken, &results(&grid)), [""; 0], "{when}: nothing to mend");
        lab.succeeds(&["run", "exp.toml"]);
        assert_eq!(differing(&unbroken, &results(&grid)), [""; 0], "killed {when}");
    }
}

#[test]
fn a_run_killed_within_its_very_first_file_begins_again() {
    let lab = Lab::new(TINY);
    lab.write("runs/tiny/grid.json.unfinished", "{");
    lab.succeeds(&["run", "exp.toml"]);
    let unbroken = results(&lab.path("runs"));
    let run = lab.runs().remove(0);
    fs::remove_dir_all(&run).unwrap();
    fs::create_dir(&run).unwrap();
    fs::write(run.join("config.toml.unfinished"), "name").unwrap();
    lab.succeeds(&["run", "exp.toml"]);
    assert_eq!(differing(&unbroken, &results(&lab.path("runs"))), [""; 0]);
}

#[test]
fn an_ended_stretch_of_work_is_told_from_a_killed_one() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml"]);
    let run = lab.runs().remove(0);
    fs::remove_file(run.join("DONE")).unwrap();
    let ended = lab.succeeds(&["run", "exp.toml"]);
    assert!(ended.stderr.contains("resumes after step 12"), "{}", ended.stderr);
    let sessions = &crate::lab::json(&fs::read_to_string(run.join("provenance.json")).unwrap())["sessions"];
    let from: Vec<u64> =
        sessions.as_array().unwrap().iter().map(|session| session["from_step"].as_u64().unwrap()).collect();
    assert_eq!(from, [0, 12]);
    assert!(!files(&run).keys().any(|name| name.contains("unfinished")));
}

/// Runs the grid, and kills it after some time if it has not ended by then.
fn run_for(lab: &Lab, out: &str, delay: Option<Duration>) -> ExitStatus {
    let arguments = ["run", "exp.toml", "--jobs", "1", "--threads", "1", "--out", out];
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(lab.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    let mut program = command.spawn().unwrap();
    if let Some(delay) = delay {
        std::thread::sleep(delay);
        program.kill().unwrap(); // SIGKILL; no error if it has ended already
    }
    let status = program.wait().unwrap();
    // Killed processes have no code: any other failure is the program's own.
    assert!(status.success() || (delay.is_some() && status.code().is_none()), "{status}");
    status
}

/// Steps that the newest checkpoints of all runs hold.
fn steps_done(experiment: &Path) -> u64 {
    let newest = |run: &std::path::PathBuf| {
        let checkpoints = fs::read_dir(run.join("checkpoints")).into_iter().flatten();
        let step = |name: String| name.strip_prefix("step-")?.parse::<u64>().ok();
        checkpoints
            .filter_map(|entry| step(entry.unwrap().file_name().into_string().unwrap()))
            .max()
            .unwrap_or(0)
    };
    run_folders(experiment).iter().map(newest).sum()
}

/// Delays spread evenly, the same in every run of the test (SplitMix64).
struct Delays(u64);

impl Delays {
    fn next(&mut self, below: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        below.mul_f64(((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64)
    }
}
