//! Whole runs of small models.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use candle_core::Tensor;

use super::*;
use crate::config::Experiment;
use crate::progress::Silent;

fn experiment(task: &str, rest: &str) -> Experiment {
    let text = format!(
        "[task]\n{task}\n[position]\nkind = \"learned\"\n[model]\nd_model = 16\nn_layers = 1\nn_heads = 2\n{rest}"
    );
    Experiment::from_text("x.toml", &text, &[]).unwrap()
}

fn done(config: &RunConfig, folder: &Path, threads: usize, progress: &dyn Progress) -> Evaluation {
    let baselines = BaselineCache::default();
    run(config, folder, &Resources { threads, device: Device::Cpu, baselines: &baselines, progress }).unwrap()
}

fn evaluated(config: &RunConfig) -> Evaluation {
    let folder = tempfile::tempdir().unwrap();
    done(config, &folder.path().join("run"), 2, &Silent)
}

/// Every file but the provenance, by name.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if name != "provenance.json" {
                found.push((name, fs::read(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn same_files(a: &Path, b: &Path) {
    let (a, b) = (files(a), files(b));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&a), names(&b));
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        assert!(a == b, "{name} differs");
    }
}

/// Panics once, as soon as a step is logged.
struct Killer {
    step: u64,
    killed: AtomicU64,
}

impl Progress for Killer {
    fn tell(&self, _: &str, event: &Event<'_>) {
        if let Event::Stepped { step, .. } = event
            && *step >= self.step
            && self.killed.swap(1, Ordering::Relaxed) == 0
        {
            panic!("killed at step {step}");
        }
    }
}

/// The run is the same on any number of threads, and if it is broken at some step and resumed.
fn is_reproducible(config: &RunConfig) -> Vec<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    done(config, &path("one"), 1, &Silent);
    done(config, &path("three"), 3, &Silent);
    same_files(&path("one"), &path("three"));
    for step in [2, 13] {
        let killer = Killer { step, killed: AtomicU64::new(0) };
        let broken = path(&format!("broken-{step}"));
        let attempt = AssertUnwindSafe(|| done(config, &broken, 2, &killer));
        assert!(catch_unwind(attempt).is_err(), "nothing was broken at step {step}");
        done(config, &broken, 2, &killer);
        same_files(&path("one"), &broken);
    }
    files(&path("one"))
}

const SHORT: &str = "[train]\nlengths = [1, 8]\nsteps = 20\nbatch_size = 24\nlog_every = 1\neval_every = 5\ncheckpoint_every = 4\n[eval]\nsamples = 40\n";
const FIRST: &str = "kind = \"first_token\"\nprotocol = \"language\"";
const LEARNED: &str = "[train]\nlengths = [2, 6]\nsteps = 300\nbatch_size = 32\nlearning_rate = 5e-3\n[eval]\nbins = [[2, 6]]\nsamples = 1000\n[controls]\nshuffled_labels = true\nfrozen = true\npositive = { position = \"rope\" }";

#[test]
fn controls_come_out_as_foretold_on_a_task_that_attention_has_to_learn() {
    let experiment = experiment(FIRST, LEARNED);
    let [truth, shuffled, frozen, positive] = [0, 1, 2, 3].map(|i| evaluated(&experiment.runs[i]));
    assert_eq!((truth.outcome, positive.outcome), (Outcome::Fits, Outcome::Fits));
    let exact = |evaluation: &Evaluation| evaluation.bins[0].accuracy.exact;
    let chance = truth.bins[0].chance.exact;
    // Of 1000 sequences: five standard deviations of a coin are 0.08, and so is the baseline's own error.
    assert!((exact(&shuffled) - chance).abs() < 0.13, "{} at a chance of {chance}", exact(&shuffled));
    assert!(exact(&frozen) < 0.9, "{}", exact(&frozen));
    assert!(frozen.parameters < truth.parameters / 4, "{} of {}", frozen.parameters, truth.parameters);

    // The answer is the first symbol, and of a shuffled string any symbol.
    let permuted = truth.bins[0].permuted.unwrap();
    assert!(permuted.exact < 0.85, "{permuted:?}");
    assert_eq!(shuffled.bins[0].seen, None);
    // There are 124 strings of these lengths, and 9600 were trained on.
    assert!(truth.bins[0].seen.unwrap() > 0.99, "{:?}", truth.bins[0].seen);
}

#[test]
fn an_order_free_model_does_not_mind_shuffled_input() {
    let majority = "kind = \"majority\"\nprotocol = \"encoder\"\nbos = false";
    let text = format!("{SHORT}bins = [[1, 8]]\n").replace("samples = 40", "samples = 4000");
    let mut config = experiment(majority, &text).runs.remove(0);
    config.position = toml::from_str("none = {}").unwrap();
    let bin = &evaluated(&config).bins[0];
    let difference = bin.permuted.unwrap().exact - bin.accuracy.exact;
    // Two samples of 4000: five standard deviations of the difference are 0.056.
    assert!(difference.abs() < 0.056, "{difference}");
}

#[test]
fn a_frozen_run_changes_its_head_and_nothing_else() {
    let text = format!("{SHORT}[controls]\nfrozen = true")
        .replace("checkpoint_every = 4", "checkpoint_every = 1\nkeep_checkpoints = true");
    let config = experiment(FIRST, &text).runs.remove(1);
    let files = is_reproducible(&config);
    let weights = |step: u64| {
        let name = format!("checkpoints/step-{step:06}/model.safetensors");
        let (_, bytes) = files.iter().find(|(found, _)| *found == name).unwrap();
        candle_core::safetensors::load_buffer(bytes, &Device::Cpu).unwrap()
    };
    let (first, last) = (weights(1), weights(20));
    assert!(first.len() > 10);
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (name, tensor) in &first {
        assert_eq!(values(tensor) != values(&last[name]), name.starts_with("head."), "{name}");
    }
}

#[test]
fn runs_that_mix_lengths_are_the_same_on_any_threads_and_when_broken() {
    let drawn = "[train]\nlengths_per_batch = 3\ncurriculum = { from = 3, steps = 10 }\nmixture = [{ lengths = [1, 4], weight = 1 }, { lengths = [2, 8], weight = 2.5 }]\n";
    let mut config =
        experiment("kind = \"parity\"\nprotocol = \"prefix\"", &SHORT.replace("[train]\n", drawn))
            .runs
            .remove(0);
    config.model.dropout = 0.1;
    let files = is_reproducible(&config);
    let (_, metrics) = files.iter().find(|(name, _)| name == "metrics.jsonl").unwrap();
    let lines = std::str::from_utf8(metrics).unwrap().lines();
    let longest: Vec<Option<usize>> =
        lines.map(|line| serde_json::from_str::<MetricLine>(line).unwrap().longest).collect();
    assert_eq!(longest.len(), 20);
    assert_eq!((longest[0], longest[4], longest[10], longest[19]), (Some(3), Some(5), Some(8), Some(8)));
}

#[test]
fn what_was_seen_in_training_is_a_share_and_the_rest_has_a_score() {
    // 2¹⁶ strings, of which 20 · 24 are trained on; then 2, all of which are.
    let long = SHORT.replace("[1, 8]", "[16, 16]");
    let bin = &evaluated(&experiment(FIRST, &long).runs[0]).bins[0];
    assert!(bin.seen.unwrap() < 0.1, "{:?}", bin.seen);
    assert!(bin.unseen.is_some());
    let short = SHORT.replace("[1, 8]", "[1, 1]");
    let evaluation = evaluated(&experiment(FIRST, &short).runs[0]);
    assert_eq!((evaluation.bins[0].seen, evaluation.bins[0].unseen), (Some(1.0), None));
    assert_eq!(
        (evaluation.bins[1].seen, evaluation.bins[1].unseen, evaluation.bins[1].permuted),
        (None, None, None)
    );
}

#[test]
fn nothing_in_training_follows_the_bins_beyond() {
    // With and without bins beyond, and with other scores asked of them: every step, and the step at which it stops.
    let text = SHORT.replace("steps = 20", "steps = 300\nlearning_rate = 5e-3\nstop_at = 0.95");
    let mut config = experiment(FIRST, &text).runs.remove(0);
    // Without a table of positions, whose size would follow the longest bin.
    config.position = toml::from_str("rope = {}").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut outcomes = Vec::new();
    for (name, bins) in
        [("none", vec![[1, 8]]), ("near", vec![[1, 8], [9, 12]]), ("far", vec![[1, 8], [30, 40]])]
    {
        config.eval.bins = bins;
        let evaluation = done(&config, &folder.path().join(name), 2, &Silent);
        assert!(evaluation.steps < 300, "it did not stop by itself");
        outcomes.push(evaluation.steps);
    }
    assert_eq!(outcomes, [outcomes[0]; 3]);
    let of_training = |name: &str| {
        let mut files = files(&folder.path().join(name));
        files.retain(|(name, _)| name == "metrics.jsonl" || name.starts_with("checkpoints"));
        files
    };
    assert_eq!(of_training("none").len(), 4);
    assert!(of_training("none") == of_training("near") && of_training("none") == of_training("far"));
}

/// A task that notes what is drawn of it.
struct Watched<'a> {
    task: &'a dyn Task,
    /// Problem length and tokens.
    drawn: Mutex<Vec<(usize, Vec<u32>)>>,
}

impl Watched<'_> {
    /// The lengths drawn since the last call, and the different sequences.
    fn taken(&self) -> (BTreeSet<usize>, BTreeSet<Vec<u32>>) {
        let drawn = std::mem::take(&mut *self.drawn.lock().unwrap());
        (drawn.iter().map(|(length, _)| *length).collect(), drawn.into_iter().map(|(_, row)| row).collect())
    }
}

impl Task for Watched<'_> {
    fn label(&self) -> String {
        self.task.label()
    }
    fn setting(&self) -> String {
        self.task.setting()
    }
    fn vocabulary(&self) -> &[String] {
        self.task.vocabulary()
    }
    fn output_names(&self) -> &[String] {
        self.task.output_names()
    }
    fn labels_are_sets(&self) -> bool {
        self.task.labels_are_sets()
    }
    fn causal(&self) -> bool {
        self.task.causal()
    }
    fn has_answer(&self) -> bool {
        self.task.has_answer()
    }
    fn max_length(&self) -> Option<usize> {
        self.task.max_length()
    }
    fn admits(&self, length: usize) -> bool {
        self.task.admits(length)
    }
    fn token_len(&self, length: usize) -> usize {
        self.task.token_len(length)
    }
    fn batch_as(
        &self,
        split: attnlab_tasks::Split,
        rows: usize,
        length: usize,
        labelling: Labelling,
        rng: &mut Rng,
    ) -> std::result::Result<Batch, attnlab_tasks::TaskError> {
        let batch = self.task.batch_as(split, rows, length, labelling, rng)?;
        let rows = batch.tokens.chunks(batch.len).map(|row| (length, row.to_vec()));
        self.drawn.lock().unwrap().extend(rows);
        Ok(batch)
    }
}

#[test]
fn validation_draws_training_lengths_alone_and_strings_that_are_neither_trained_on_nor_judged_by() {
    // Of 2³⁰ strings and more, none comes twice by chance.
    let text = SHORT.replace("[1, 8]", "[30, 34]") + "bins = [[30, 34], [35, 40]]";
    let config = experiment(FIRST, &text).runs.remove(0);
    let task = config.task.build().unwrap();
    let task = Watched { task: task.as_ref(), drawn: Mutex::default() };
    let vb = Parameters::new().seeded(Streams::new(0), DType::F32, &Device::Cpu);
    let model = Transformer::new(&config.model_config(&task), vb).unwrap();
    let evaluator = Evaluator {
        model: &model,
        task: &task,
        task_key: "",
        streams: Streams::new(config.seed),
        set_loss: config.train.set_loss,
        device: &Device::Cpu,
    };
    evaluator.validate(&config.eval).unwrap();
    let (lengths, validation) = task.taken();
    assert_eq!(lengths, (30..=34).collect());
    evaluator.validate(&config.eval).unwrap();
    assert_eq!(task.taken().1, validation, "the same at every step");
    evaluator.bins(&config.eval, &BaselineCache::default()).unwrap();
    let (lengths, test) = task.taken();
    assert_eq!(lengths, (30..=40).collect());
    let draw = Draw::new(&config, &task, Labelling::True);
    (0..20).for_each(|step| drop(draw.batches(step).unwrap()));
    let (_, training) = task.taken();
    assert_eq!((validation.len(), training.len()), (40, 480));
    assert!(
        validation.is_disjoint(&test) && validation.is_disjoint(&training) && training.is_disjoint(&test)
    );
}

#[test]
fn without_steps_the_model_is_scored_as_it_was_drawn_and_has_not_failed_to_train() {
    let experiment = experiment(FIRST, &SHORT.replace("steps = 20", "steps = 0\nmap_steps = [0]"));
    let config = &experiment.runs[0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let evaluation = done(config, &path, 1, &Silent);
    assert_eq!((evaluation.outcome, evaluation.steps), (Outcome::Measured, 0));
    assert!(path.join("maps/step-000000.safetensors").is_file());
    let written = files(&path);
    // What is left of a run that was broken before its evaluation is taken up again.
    fs::remove_file(path.join("DONE")).unwrap();
    done(config, &path, 1, &Silent);
    assert!(files(&path) == written);
    let drawn = Parameters::new();
    let task = config.task.build().unwrap();
    let vb = drawn.seeded(Streams::new(config.seed), DType::F32, &Device::Cpu);
    Transformer::new(&config.model_config(task.as_ref()), vb).unwrap();
    let weights = path.join("checkpoints/step-000000/model.safetensors");
    let weights = candle_core::safetensors::load(weights, &Device::Cpu).unwrap();
    let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (name, var) in drawn.vars() {
        assert_eq!(numbers(&weights[&name]), numbers(var.as_tensor()), "{name}");
    }
}
