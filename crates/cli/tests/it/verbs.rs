//! What each verb prints and writes when all is well.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use crate::lab::{Lab, TINY, differing, files, json};

/// The folder that the workspace is in.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn run_prints_the_verdict_to_stdout_and_progress_to_stderr() {
    let lab = Lab::new(TINY);
    let ended = lab.succeeds(&["run", "exp.toml"]);
    assert!(ended.stdout.contains("reverse"), "{}", ended.stdout);
    assert!(ended.stdout.contains("The one run has finished."), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("Report: runs/tiny/report.html\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("[1/1]") && !ended.stdout.contains("[1/1]"), "{}", ended.stderr);
    assert!(
        !ended.stdout.contains('\u{1b}') && !ended.stderr.contains('\u{1b}'),
        "colours where no terminal is"
    );
    let found = files(&lab.path("runs/tiny"));
    for name in ["grid.json", "results.csv", "report.html"] {
        assert!(!found[name].is_empty(), "{name}");
    }
    let run = lab.runs().remove(0);
    let found: Vec<String> = files(&run).into_keys().collect();
    let expected = [
        "DONE",
        "checkpoints/",
        "checkpoints/step-000012/",
        "checkpoints/step-000012/model.safetensors",
        "checkpoints/step-000012/optimizer.safetensors",
        "checkpoints/step-000012/trainer_state.json",
        "config.toml",
        "eval.json",
        "maps/",
        "maps/step-000000.safetensors",
        "maps/step-000003.safetensors",
        "maps/step-000012.safetensors",
        "metrics.jsonl",
        "provenance.json",
    ];
    assert_eq!(found, expected);
}

#[test]
fn run_as_json_prints_the_evaluations_and_nothing_else() {
    let lab = Lab::new(TINY);
    let runs = json(&lab.succeeds(&["run", "exp.toml", "--json"]).stdout);
    let eval = json(&fs::read_to_string(lab.runs()[0].join("eval.json")).unwrap());
    assert_eq!(runs, Value::Array(vec![eval]));
    assert_eq!(json(&lab.succeeds(&["compare", "runs/tiny", "--json"]).stdout), runs);
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let lab = Lab::new(TINY);
    let before = files(&lab.path(""));
    let ended = lab.succeeds(&["run", "exp.toml", "--dry-run", "--set", "grid.seeds=3"]);
    assert!(ended.stdout.contains("3 runs"), "{}", ended.stdout);
    assert_eq!(ended.stdout.matches("reverse").count(), 2 * 3, "{}", ended.stdout);
    assert_eq!(differing(&before, &files(&lab.path(""))), [""; 0]);
}

#[test]
fn a_dry_run_as_json_lists_every_run_with_its_settings_and_its_cost() {
    let lab = Lab::new(TINY);
    let sets = ["--set", "grid.seeds=2", "--set", "grid.train.steps=[10, 30]"];
    let ended = lab.succeeds(&[&["run", "exp.toml", "--dry-run", "--json"][..], &sets].concat());
    let plan = json(&ended.stdout);
    assert_eq!(plan["name"], "tiny");
    let runs = plan["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 4, "{plan}");
    let cost = |run: &Value| run["tflop_at_most"].as_f64().unwrap();
    let total: f64 = runs.iter().map(cost).sum();
    assert!(total > 0.0 && (plan["tflop_at_most"].as_f64().unwrap() / total - 1.0).abs() < 1e-12, "{plan}");
    let of = |steps: u64| runs.iter().find(|run| run["steps"] == steps).unwrap();
    assert!((cost(of(30)) / cost(of(10)) - 3.0).abs() < 1e-9, "{plan}");
    assert_eq!(of(30)["settings"]["train.steps"], "30");
    assert!(!lab.path("runs").exists());
}

#[test]
fn one_of_a_thing_is_not_called_many() {
    let lab = Lab::new(TINY);
    let plan = lab.succeeds(&["run", "exp.toml", "--dry-run"]).stdout;
    assert!(plan.contains("\n1 run, "), "{plan}");
    let one = lab.succeeds(&["run", "exp.toml", "--threads", "1"]).stderr;
    assert!(one.starts_with("tiny: 1 run with 1 thread\n"), "{one}");
    let two = ["run", "exp.toml", "--jobs", "1", "--threads", "2", "--set", "grid.seeds=2"];
    let two = lab.succeeds(&two).stderr;
    assert!(two.starts_with("tiny: 2 runs, 1 at a time with 2 threads each\n"), "{two}");
}

#[test]
fn a_second_run_does_nothing_again() {
    let lab =
        Lab::new(&TINY.replace("steps = 12", "steps = 400").replace("log_every = 1", "log_every = 100"));
    let began = Instant::now();
    let first = lab.succeeds(&["run", "exp.toml"]);
    let (whole, run) = (began.elapsed(), lab.runs().remove(0));
    let (before, written) = (files(&lab.path("runs")), modified(&run.join("eval.json")));
    let began = Instant::now();
    let second = lab.succeeds(&["run", "exp.toml"]);
    let again = began.elapsed();
    assert!(second.stderr.contains("done before"), "{}", second.stderr);
    assert_eq!(first.stdout, second.stdout);
    assert_eq!(differing(&before, &files(&lab.path("runs"))), [""; 0]);
    assert_eq!(modified(&run.join("eval.json")), written);
    assert!(again < whole / 2, "{again:?} after {whole:?}");
}

#[test]
fn a_seed_added_to_the_grid_is_the_only_one_to_be_run() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml", "--set", "grid.seeds=[0, 1]"]);
    let before: Vec<_> =
        lab.runs().into_iter().map(|run| (files(&run), modified(&run.join("DONE")), run)).collect();
    let ended = lab.succeeds(&["run", "exp.toml", "--set", "grid.seeds=[0, 1, 2]"]);
    assert_eq!(ended.stderr.matches("done before").count(), 2, "{}", ended.stderr);
    assert_eq!(lab.runs().len(), 3);
    for (found, done, run) in before {
        assert_eq!(differing(&found, &files(&run)), [""; 0]);
        assert_eq!(modified(&run.join("DONE")), done);
    }
    let evaluations = json(&lab.succeeds(&["compare", "runs/tiny", "--json"]).stdout);
    assert_eq!(evaluations.as_array().unwrap().len(), 3);
}

#[test]
fn compare_goes_by_the_encoding_or_by_a_key_of_the_grid() {
    let lab = Lab::new(TINY);
    let sets =
        ["--set", "grid.position=[\"rope\", \"alibi\"]", "--set", "grid.train.weight_decay=[0.0, 0.25]"];
    lab.succeeds(&[&["run", "exp.toml"][..], &sets].concat());
    let before = files(&lab.path("runs"));
    let plain = lab.succeeds(&["compare", "runs/tiny"]).stdout;
    assert!(plain.contains("rope") && plain.contains("alibi") && !plain.contains("0.25"), "{plain}");
    let by = lab.succeeds(&["compare", "runs/tiny", "--by", "train.weight_decay"]).stdout;
    assert!(by.contains("train.weight_decay") && by.contains("0.25"), "{by}");
    assert!(plain.contains("mean over train.weight_decay and seed"), "{plain}");
    let apart = lab.succeeds(&["compare", "runs/tiny", "--by", "position,train.weight_decay"]).stdout;
    for column in ["rope, 0.0", "rope, 0.25", "alibi, 0.0", "alibi, 0.25"] {
        assert!(apart.contains(column), "{column} is not in {apart}");
    }
    for key in ["task", "position", "seed"] {
        lab.succeeds(&["compare", "runs/tiny", "--by", key]);
        lab.succeeds(&["compare", "runs/tiny", "--by", key, "--bin", "2"]);
    }
    let two = lab.succeeds(&["compare", "runs/tiny", "runs/tiny"]).stdout;
    assert_eq!(two, plain.repeat(2));
    let ended = lab.succeeds(&["compare", "runs/tiny", "--html", "page.html"]);
    assert!(ended.stderr.contains("page.html"), "{}", ended.stderr);
    assert_eq!(lab.read("page.html"), lab.read("runs/tiny/report.html"));
    assert_eq!(differing(&before, &files(&lab.path("runs"))), [""; 0], "compare changed the runs");
}

const TARGETS: &str = r#"
[[target]]
task = "reverse"
position = "none"
metric = "token"
of = "all"
percent = [50.0]
tolerance = 50.0
bins = [[1, 4]]
source = "nobody"
[[finding]]
says = "twelve steps do not teach reversal"
task = "reverse"
position = "none"
below = 90.0
bin = 1
"#;

#[test]
fn compare_holds_results_against_the_targets_that_the_experiment_names_or_the_command_line() {
    let lab = Lab::new(&format!("targets = \"t.toml\"\n{TINY}bins = [[1, 4]]\n"));
    lab.write("t.toml", TARGETS);
    let ran = lab.succeeds(&["run", "exp.toml", "--set", "grid.seeds=2"]).stdout;
    assert!(ran.contains("Targets: 2 reproduced, 0 not reproduced, 0 undecided, 0 not run."), "{ran}");
    // The folder holds all that it needs.
    fs::remove_file(lab.path("t.toml")).unwrap();
    let shown = lab.succeeds(&["compare", "runs/tiny", "--targets", "--strict"]).stdout;
    for part in
        ["50 ± 50 → ", "reproduced: twelve steps do not teach reversal", "none: ", "Targets: 2 reproduced"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    lab.write("other.toml", TARGETS.replace("below = 90.0", "above = 99.0"));
    let other = ["compare", "runs/tiny", "--targets", "other.toml"];
    let shown = lab.succeeds(&other).stdout;
    assert!(shown.contains("not reproduced: twelve steps"), "{shown}");
    let strict = lab.attnlab(&[&other[..], &["--strict"]].concat());
    assert_eq!(strict.code, Some(1), "{}", strict.stderr);
    let object = json(&lab.succeeds(&[&other[..], &["--json=comparison"]].concat()).stdout);
    assert_eq!(object["targets"]["findings"][0]["status"], "not_reproduced", "{object}");
    assert_eq!(object["evaluations"].as_array().unwrap().len(), 2);
    lab.refuses(&[&other[..], &["--json"]].concat(), 2, &["--json=comparison"]);
}

#[test]
fn compare_shows_an_experiment_that_is_not_finished() {
    let lab = Lab::new(TINY);
    lab.succeeds(&["run", "exp.toml", "--set", "grid.seeds=2"]);
    let [first, second] = lab.runs().try_into().unwrap();
    fs::remove_dir_all(first).unwrap();
    fs::remove_file(second.join("DONE")).unwrap();
    lab.succeeds(&["compare", "runs/tiny", "--html", "page.html"]);
    assert_eq!(json(&lab.succeeds(&["compare", "runs/tiny", "--json"]).stdout), Value::Array(Vec::new()));
}

#[test]
fn every_registry_is_listed_as_a_table_and_as_json() {
    let lab = Lab::new(TINY);
    for (registry, key, known) in [
        ("encodings", "kind", "rope"),
        ("tasks", "kind", "parity"),
        ("attention", "name", "softpick"),
        ("metrics", "name", "entropy"),
        ("families", "title", "GPT-2"),
    ] {
        let table = lab.succeeds(&["list", registry]).stdout;
        let longest = table.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(longest <= 120, "{registry}: a line of {longest} columns where there is no terminal");
        let entries = json(&lab.succeeds(&["list", registry, "--json"]).stdout);
        let names: Vec<&str> = entries.as_array().unwrap().iter().map(|e| e[key].as_str().unwrap()).collect();
        assert!(names.contains(&known), "{registry}: {names:?}");
        for name in names {
            assert!(table.contains(name), "{registry}: the table lacks {name}");
        }
    }
}

#[test]
fn a_task_is_shown_with_samples_and_baselines_under_each_of_its_protocols() {
    let lab = Lab::new(TINY);
    let text = lab.succeeds(&["list", "tasks", "--show", "stack_manipulation"]).stdout;
    for part in [
        "hierarchical",
        "kind = \"stack_manipulation\"",
        "encoder: stack manipulation",
        "language: stack manipulation",
        "<empty>",
        "by bigram",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    // Every kind is shown, those too whose example is without <bos>.
    for entry in json(&lab.succeeds(&["list", "tasks", "--json"]).stdout).as_array().unwrap() {
        let kind = entry["kind"].as_str().unwrap();
        if kind == "text" {
            continue;
        }
        // Those too whose shortest string is longer than what is asked for.
        let shown = json(&lab.succeeds(&["list", "tasks", "--show", kind, "--json"]).stdout);
        for task in shown["tasks"].as_array().unwrap() {
            assert_eq!(task["examples"].as_array().unwrap().len(), 3, "{kind}");
            assert_eq!(task["baselines"].as_array().unwrap().len(), 2, "{kind}");
        }
    }
    let shown = json(&lab.succeeds(&["list", "tasks", "--show", "parity", "--json"]).stdout);
    assert_eq!(shown["kind"], "parity");
    let tasks = shown["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 3);
    for task in tasks {
        assert_eq!(task["examples"].as_array().unwrap().len(), 3);
        let lengths: Vec<u64> =
            task["baselines"].as_array().unwrap().iter().map(|at| at["length"].as_u64().unwrap()).collect();
        assert_eq!(lengths, [6, 40]);
        assert!(task["baselines"][0]["by_bigram"]["token"].as_f64().unwrap() > 0.3, "{task}");
    }
}

#[test]
fn showing_what_there_is_not_is_wrong_usage() {
    let lab = Lab::new(TINY);
    for (arguments, reason) in [
        (["list", "tasks", "--show", "parrity"], "parity"),
        (["list", "encodings", "--show", "rope"], "--show is for tasks"),
    ] {
        let run = lab.attnlab(&arguments);
        assert_eq!(run.code, Some(2));
        assert!(run.stderr.contains(reason), "{}", run.stderr);
    }
}

#[test]
fn every_listed_task_and_encoding_can_be_planned_as_its_example_shows() {
    let lab = Lab::new(TINY);
    let table = |text: &str| {
        let pairs: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    for entry in json(&lab.succeeds(&["list", "encodings", "--json"]).stdout).as_array().unwrap() {
        let set = format!("position={}", table(entry["example"].as_str().unwrap()));
        // Some turn a part of a head's dimensions only.
        lab.succeeds(&["run", "exp.toml", "--dry-run", "--set", &set, "--set", "model.d_model=16"]);
    }
    // Every task has strings of some of these lengths.
    let lengths = ["--set", "train.lengths=[16,48]", "--set", "eval.bins=[[16,48]]"];
    for entry in json(&lab.succeeds(&["list", "tasks", "--json"]).stdout).as_array().unwrap() {
        let example = table(entry["example"].as_str().unwrap());
        let shipped = workspace().join("configs/data");
        let set = format!("task={}", example.replace("configs/data", shipped.to_str().unwrap()));
        lab.succeeds(&[&["run", "exp.toml", "--dry-run", "--set", &set][..], &lengths].concat());
    }
}

#[test]
fn bench_train_counts_and_measures_one_step() {
    let lab = Lab::new(TINY);
    let (d, layers, seq_len, batch, vocab) = (16.0, 3.0, 12.0, 4.0, 40.0);
    let size = ["--d-model", "16", "--layers", "3", "--heads", "2", "--seq-len", "12", "--batch", "4"];
    let rest = ["--vocab", "40", "--steps", "6", "--warmup", "2", "--threads", "2"];
    let arguments = [&["bench", "train"][..], &size, &rest].concat();
    let result = json(&lab.succeeds(&arguments).stdout);
    let number = |key: &str| result[key].as_f64().unwrap_or_else(|| panic!("{key} in {result}"));

    let asked = [("d_model", d), ("layers", layers), ("heads", 2.0), ("seq_len", seq_len), ("batch", batch)];
    for (key, value) in asked.into_iter().chain([("vocab", vocab), ("threads", 2.0), ("steps", 6.0)]) {
        assert_eq!(number(key), value, "{key}");
    }
    let measured = [
        "ms_per_step",
        "ms_cpu_per_step",
        "tokens_per_s",
        "gflops",
        "peak_gflops",
        "peak_share",
        "peak_rss_mib",
        "first_step_s",
        "ms_min",
    ];
    for key in measured {
        assert!(number(key) > 0.0 && number(key).is_finite(), "{key} in {result}");
    }
    assert!(number("ms_min") <= number("ms_per_step"));
    let share = number("gflops") / (number("peak_gflops") * 2.0);
    assert!((number("peak_share") / share - 1.0).abs() < 1e-9, "{result}");
    let gflop = 3.0 * batch * seq_len * (layers * (24.0 * d * d + 2.0 * seq_len * d) + 2.0 * d * vocab) / 1e9;
    assert!(
        (number("gflop_per_step") / gflop - 1.0).abs() < 1e-9,
        "{} is not {gflop}",
        number("gflop_per_step")
    );
    // Embedding and head, then per block two norms and 12·d² of projections, and the last norm; biases on request.
    let params = 2.0 * vocab * d + layers * (4.0 * d + 12.0 * d * d) + 2.0 * d;
    assert_eq!(number("params"), params);
    assert!(number("loss_last") < number("loss_first"), "{result}");

    let biased = json(&lab.succeeds(&[&arguments[..], &["--bias"]].concat()).stdout);
    assert_eq!(biased["params"].as_f64().unwrap(), params + layers * 9.0 * d);
    assert!(!lab.path("runs").exists());
}

#[test]
fn a_diverging_run_is_a_result_and_the_others_go_on() {
    let lab = Lab::new(TINY);
    let rates = ["--set", "grid.train.learning_rate=[1e6, 1e-2]", "--set", "train.clip_norm=inf"];
    let long = ["--set", "train.steps=40"];
    let ended = lab.succeeds(&[&["run", "exp.toml", "--json", "--jobs", "1"][..], &rates, &long].concat());
    assert!(ended.stderr.contains("diverged at step"), "{}", ended.stderr);
    let runs = json(&ended.stdout);
    assert_eq!(runs[0]["outcome"]["kind"], "diverged", "{runs}");
    assert!(runs[0]["outcome"]["step"].as_u64().unwrap() < 40, "{runs}");
    assert_eq!(
        (&runs[1]["outcome"]["kind"], &runs[1]["steps"]),
        (&"fails_to_train".into(), &40.into()),
        "{runs}"
    );
    let shown = lab.succeeds(&["compare", "runs/tiny", "--by", "train.learning_rate"]).stdout;
    assert!(shown.contains("diverged"), "{shown}");
}

#[test]
fn a_text_is_trained_on_and_its_losses_are_reported() {
    let text = workspace().join("configs/data/pride_and_prejudice.txt");
    let task = format!("kind = \"text\"\npath = {text:?}\ntokens = \"bytes\"");
    let config = TINY.replace("kind = \"reverse\"", &task).replace("lengths = [1, 4]", "lengths = [16, 16]");
    let lab = Lab::new(&config.replace("steps = 12", "steps = 30").replace("samples = 32", "samples = 64"));
    let runs = json(&lab.succeeds(&["run", "exp.toml", "--json"]).stdout);
    assert_eq!(runs[0]["outcome"]["kind"], "measured", "{runs}");
    let bins = runs[0]["bins"].as_array().unwrap();
    assert!(bins.len() > 1);
    for bin in bins {
        let loss = bin["loss"].as_f64().unwrap();
        assert!(loss > 1.0 && loss < 256_f64.ln(), "{bin}");
    }
    let metrics = fs::read_to_string(lab.runs()[0].join("metrics.jsonl")).unwrap();
    let losses: Vec<f64> = metrics.lines().map(|line| json(line)["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 30 && losses[29] < losses[0], "{losses:?}");
    let loss = bins[0]["loss"].to_string();
    assert!(lab.read("runs/tiny/results.csv").contains(&loss), "results.csv lacks the loss {loss}");
    let shown = lab.succeeds(&["compare", "runs/tiny"]).stdout;
    let loss = bins[0]["loss"].as_f64().unwrap();
    assert!(shown.contains(&format!("{loss:.3} ppl {:.2}", loss.exp())), "{loss} is not in {shown}");
    assert!(shown.contains("no right answer, so no verdict") && !shown.contains("exact match"), "{shown}");
}

#[test]
fn every_shipped_configuration_can_be_planned() {
    let lab = Lab::new(TINY);
    let configs = workspace().join("configs");
    let mut found = Vec::new();
    let mut folders = vec![configs];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with("targets.toml") {
                // Read with the experiment that names it.
            } else if path.extension().is_some_and(|ending| ending == "toml") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty());
    for path in found {
        let out = lab.path("out");
        let mut command = assert_cmd::Command::new(crate::lab::PROGRAM);
        // Paths in a configuration are as seen from the workspace.
        command.current_dir(workspace()).arg("run").arg(&path).arg("--dry-run").arg("--out").arg(&out);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        assert!(!out.exists());
    }
}
