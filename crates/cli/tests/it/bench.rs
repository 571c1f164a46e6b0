//! What `bench capture` and `bench grid` measure, at sizes of a moment.

use serde_json::Value;

use crate::lab::{Lab, TINY, json};

const SIZE: [&str; 12] =
    ["--d-model", "16", "--layers", "3", "--heads", "2", "--seq-len", "40", "--batch", "2", "--vocab", "30"];

fn bench(lab: &Lab, verb: &str, arguments: &[&str]) -> Value {
    let result = json(&lab.succeeds(&[&["bench", verb][..], &SIZE, arguments].concat()).stdout);
    assert!(!lab.path("runs").exists(), "a benchmark makes no run folders");
    result
}

fn number(result: &Value, key: &str) -> f64 {
    result[key].as_f64().unwrap_or_else(|| panic!("{key} in {result}"))
}

#[test]
fn capture_measures_each_look_in_a_process_of_its_own() {
    let lab = Lab::new(TINY);
    let all = bench(&lab, "capture", &["--repeats", "2", "--queries", "8"]);
    assert_eq!(all["what"], "all");
    for (what, queries) in [("forward", 0.0), ("statistics", 8.0), ("maps", 40.0)] {
        let one = &all[what];
        assert_eq!(one["what"], what);
        let asked = [("queries", queries), ("repeats", 2.0), ("d_model", 16.0), ("seq_len", 40.0)];
        for (key, value) in asked {
            assert_eq!(number(one, key), value, "{key} of {what}");
        }
        for key in ["ms", "ms_min", "peak_rss_mib", "peak_rss_before_mib"] {
            assert!(number(one, key) > 0.0, "{key} of {what}: {one}");
        }
        assert!(number(one, "ms_min") <= number(one, "ms"), "{one}");
        assert!(number(one, "peak_rss_before_mib") <= number(one, "peak_rss_mib"), "{one}");
    }
}

#[test]
fn captured_maps_are_seen_in_the_memory() {
    let lab = Lab::new(TINY);
    let long = ["--seq-len", "512", "--repeats", "1", "--what"];
    let peak = |what| number(&bench_long(&lab, &long, what), "peak_rss_mib");
    // 3 layers × 2 sequences × 2 heads × 512² weights of four bytes.
    let maps = 12.0;
    assert!(peak("maps") > peak("forward") + 0.8 * maps);
}

/// As [`bench`], with a sequence length that replaces the one of [`SIZE`].
fn bench_long(lab: &Lab, long: &[&str], what: &str) -> Value {
    let short: Vec<&str> = SIZE.into_iter().filter(|word| !["--seq-len", "40"].contains(word)).collect();
    json(&lab.succeeds(&[&["bench", "capture"][..], &short, long, &[what]].concat()).stdout)
}

#[test]
fn grid_trains_every_run_and_counts_all_steps() {
    let lab = Lab::new(TINY);
    let one = bench(&lab, "grid", &["--runs", "3", "--steps", "8", "--jobs", "1"]);
    let two = bench(&lab, "grid", &["--runs", "3", "--steps", "8", "--jobs", "2"]);
    for result in [&one, &two] {
        assert_eq!(number(result, "total_steps"), 24.0);
        let steps = number(result, "steps_per_s");
        assert!((steps * number(result, "seconds") / 24.0 - 1.0).abs() < 1e-9, "{result}");
        // 2 sequences of 40 tokens, rounded.
        assert!((number(result, "tokens_per_s") - 80.0 * steps).abs() <= 0.5, "{result}");
        assert!(number(result, "gflops") > 0.0 && number(result, "peak_rss_mib") > 0.0, "{result}");
        assert!(number(result, "loss_last") < number(result, "loss_first"), "{result}");
    }
    // What is trained does not depend on how many are trained at a time.
    for key in ["loss_first", "loss_last", "params"] {
        assert_eq!(one[key], two[key], "{key}");
    }
    assert_eq!((number(&one, "jobs"), number(&two, "jobs")), (1.0, 2.0));
}

#[test]
fn a_benchmark_of_nothing_is_refused() {
    let lab = Lab::new(TINY);
    for (verb, option) in [
        ("capture", "--queries"),
        ("capture", "--repeats"),
        ("capture", "--seq-len"),
        ("grid", "--runs"),
        ("grid", "--jobs"),
        ("grid", "--threads"),
        ("grid", "--steps"),
    ] {
        lab.refuses(&["bench", verb, option, "0"], 2, &[option]);
    }
    lab.refuses(&["bench", "capture", "--what", "nothing"], 2, &["nothing"]);
    lab.refuses(&["bench", "capture", "--d-model", "10", "--heads", "4"], 2, &["n_heads"]);
}

#[test]
fn tasks_are_timed_under_each_of_their_protocols() {
    let lab = Lab::new(TINY);
    let arguments = ["bench", "tasks", "--length", "11", "--rows", "3", "--batches", "2"];
    let all = json(&lab.succeeds(&[&arguments[..], &["--json"]].concat()).stdout);
    let parity = all.as_array().unwrap().iter().filter(|one| one["kind"] == "parity");
    let tokens: Vec<u64> = parity.map(|one| one["tokens"].as_u64().unwrap()).collect();
    assert_eq!(tokens, [13, 14, 12]);
    for one in all.as_array().unwrap() {
        assert!(number(one, "tokens_per_s") > 0.0 && number(one, "length") >= 11.0, "{one}");
    }
    assert!(lab.succeeds(&arguments).stdout.contains("parity"));
}
