//! What a configuration must satisfy beyond its types, each rule naming the keys it is about.

use std::collections::HashMap;
use std::rc::Rc;

use attnlab_report::record::ControlKind;
use attnlab_tasks::{Task, TaskConfig, TaskError};

use super::kind::POSITION;
use super::lengths::{Lengths, problem_with, shown};
use super::run::RunConfig;
use super::size::oversized;
use super::train::TrainConfig;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Dotted keys that the message is about; it points at the first that the file has.
    pub(crate) keys: Vec<String>,
    /// What was found and what was expected.
    pub(crate) message: String,
}

/// A task, or why there is none.
pub(crate) type Built = Rc<Result<Box<dyn Task>, TaskError>>;

/// Tasks already resolved and built: a grid has few of them, and a text takes time to read.
#[derive(Default)]
pub(crate) struct Tasks(HashMap<String, (TaskConfig, Built)>);

impl Tasks {
    /// What `config` is resolved to, and the task of it, built on the first call.
    pub(crate) fn of(&mut self, config: &TaskConfig) -> (TaskConfig, Built) {
        let make = || match config.resolved() {
            Ok(resolved) => {
                let task = built(&resolved);
                (resolved, task)
            }
            Err(error) => (config.clone(), Rc::new(Err(error))),
        };
        self.0.entry(format!("{config:?}")).or_insert_with(make).clone()
    }
}

/// The task of `config`.
pub(crate) fn built(config: &TaskConfig) -> Built {
    Rc::new(config.build())
}

/// Every rule that `run` breaks.
pub(crate) fn findings(run: &RunConfig, task: &Built) -> Vec<Finding> {
    let mut found = Findings(Vec::new());
    found.train(run);
    found.eval(run);
    found.model(run);
    match task.as_ref() {
        // What follows takes what comes before for granted.
        Ok(task) => {
            if found.0.is_empty() {
                found.lengths(run, task.as_ref());
                found.control(run, task.as_ref());
            }
            if found.0.is_empty() {
                found.whole_model(run, task.as_ref());
            }
        }
        Err(error) => found.0.push(task_finding(error)),
    }
    found.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn rule(&mut self, holds: bool, key: &str, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Finding { keys: vec![key.to_string()], message: format!("`{key}` {}", message()) });
        }
    }

    fn between(&mut self, key: &str, value: usize, least: usize, most: usize) {
        self.rule((least..=most).contains(&value), key, || {
            format!("is {value}, but should be {least} to {most}")
        });
    }

    fn train(&mut self, run: &RunConfig) {
        let t = &run.train;
        self.between("train.steps", t.steps, 0, 1_000_000_000);
        self.between("train.batch_size", t.batch_size, 1, 1_000_000);
        match problem_with(t.lengths) {
            Some(problem) => self.rule(false, "train.lengths", || format!("is no range: {problem}")),
            None => self.drawn_lengths(t),
        }
        self.rule(t.steps == 0 || t.warmup <= t.steps, "train.warmup", || {
            format!("is {}, longer than the whole run of {} steps", t.warmup, t.steps)
        });
        self.rule(t.learning_rate > 0.0 && t.learning_rate.is_finite(), "train.learning_rate", || {
            format!("is {}, but should be a positive number", t.learning_rate)
        });
        // The optimiser computes in f32: a smaller ε can round to zero there, and 0/0 is not a number.
        let least = f32::MIN_POSITIVE;
        self.rule(t.eps >= f64::from(least) && t.eps.is_finite(), "train.eps", || {
            format!(
                "is {:e}, but should be a number of at least {least:e}, the smallest normal one in f32",
                t.eps
            )
        });
        self.rule(t.weight_decay >= 0.0 && t.weight_decay.is_finite(), "train.weight_decay", || {
            format!("is {}, but should be 0 or more", t.weight_decay)
        });
        if let Some(bound) = t.clip_norm {
            self.rule(bound > 0.0, "train.clip_norm", || {
                format!("is {bound}, but should be a positive number; `inf` never clips")
            });
        }
        self.rule((0.0..=1.0).contains(&t.floor), "train.floor", || {
            format!("is {}, but should be a fraction of the learning rate, 0 to 1", t.floor)
        });
        for (key, value) in [("train.beta1", t.beta1), ("train.beta2", t.beta2)] {
            self.rule((0.0..1.0).contains(&value), key, || {
                format!("is {value}, but should be at least 0 and below 1")
            });
            self.rule(!(value < 1.0 && value as f32 >= 1.0), key, || {
                format!("is {value}, which rounds to 1 in f32, in which the optimiser computes: nothing would ever be forgotten; lower it")
            });
        }
        if let Some(bar) = t.stop_at {
            self.rule(bar > 0.0 && bar <= 1.0, "train.stop_at", || {
                format!("is {bar}, but should be an accuracy above 0 and at most 1; leave it out to train to the end")
            });
        }
        for (i, step) in t.map_steps.iter().enumerate().filter(|(_, step)| **step > t.steps) {
            let message =
                format!("`train.map_steps` asks for step {step}, but the run has {} steps", t.steps);
            let keys = vec![format!("train.map_steps.{i}"), "train.map_steps".to_string()];
            self.0.push(Finding { keys, message });
        }
    }

    /// The mixture, the curriculum and the lengths in a batch, given that `train.lengths` is a range.
    fn drawn_lengths(&mut self, t: &TrainConfig) {
        if t.batch_size > 0 {
            self.rule((1..=t.batch_size).contains(&t.lengths_per_batch), "train.lengths_per_batch", || {
                format!(
                    "is {}, but should be 1 to the {} sequences of a batch",
                    t.lengths_per_batch, t.batch_size
                )
            });
        }
        let [shortest, longest] = t.lengths;
        for (i, share) in t.mixture.iter().enumerate() {
            let keys = |key: &str| vec![format!("train.mixture.{i}.{key}"), "train.mixture".to_string()];
            if !(share.weight > 0.0 && share.weight.is_finite()) {
                let message =
                    format!("`train.mixture`: a weight is {}, but should be a positive number", share.weight);
                self.0.push(Finding { keys: keys("weight"), message });
            }
            let problem = problem_with(share.lengths).or_else(|| {
                let [from, to] = share.lengths;
                let (own, all) = (shown(share.lengths), shown(t.lengths));
                (from < shortest || to > longest)
                    .then(|| format!("{own} is not within the training lengths {all}"))
            });
            if let Some(problem) = problem {
                let mut keys = keys("lengths");
                keys.push("train.lengths".to_string());
                self.0.push(Finding { keys, message: format!("`train.mixture`: {problem}") });
                return;
            }
        }
        let ends = t.mixture.iter().map(|share| share.lengths);
        if let Some(hull) = ends.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])]) {
            self.rule(hull == t.lengths, "train.mixture", || {
                let (hull, all) = (shown(hull), shown(t.lengths));
                format!("spans {hull}, but `train.lengths` are {all}: they should begin and end alike")
            });
        }
        if let Some(curriculum) = t.curriculum {
            self.between("train.curriculum.from", curriculum.from, shortest, longest);
            if t.steps > 0 {
                self.between("train.curriculum.steps", curriculum.steps, 1, t.steps);
            }
        }
    }

    /// A control is one of what the run is.
    fn control(&mut self, run: &RunConfig, task: &dyn Task) {
        let mut refuse = |key: &str, message: String| {
            self.0.push(Finding { keys: vec![key.to_string(), "control".to_string()], message });
        };
        match run.control {
            Some(ControlKind::ShuffledLabels) if !task.has_answer() => refuse(
                "controls.shuffled_labels",
                format!(
                    "`controls.shuffled_labels`: the task `{}` is a text, whose labels are its own tokens; leave this control out",
                    task.label()
                ),
            ),
            Some(ControlKind::Frozen) if run.model.tie_embeddings => refuse(
                "model.tie_embeddings",
                "`model.tie_embeddings` is true, but in a frozen run the head alone is trained; set it to false".to_string(),
            ),
            _ => {}
        }
    }

    fn eval(&mut self, run: &RunConfig) {
        let e = &run.eval;
        self.between("eval.samples", e.samples, 1, 10_000_000);
        self.rule(e.solved > 0.0 && e.solved <= 1.0, "eval.solved", || {
            format!("is {}, but should be an accuracy above 0 and at most 1", e.solved)
        });
        let trained = run.train.lengths;
        let Some(&first) = e.bins.first() else {
            self.rule(false, "eval.bins", || "is empty; leave it out for the default bins".to_string());
            return;
        };
        for (i, &bin) in e.bins.iter().enumerate() {
            if let Some(problem) = problem_with(bin) {
                self.bin(i, problem);
            }
        }
        if first[0] < trained[0] || first[1] > trained[1] {
            let (first, trained) = (shown(first), shown(trained));
            self.bin(0, format!("the first bin holds training lengths, but {first} is not within {trained}"));
        }
        for (i, pair) in e.bins.windows(2).enumerate() {
            let &[before, bin] = pair else { continue };
            if bin[0] <= before[1] {
                let how = if bin[1] < before[0] { "lies below" } else { "overlaps" };
                let (bin, before) = (shown(bin), shown(before));
                self.bin(
                    i + 1,
                    format!("{bin} {how} the bin before it, {before}; bins ascend and share no length"),
                );
            } else if bin[0] <= trained[1] {
                let (bin, trained) = (shown(bin), shown(trained));
                let rule = "only the first bin may hold those";
                self.bin(i + 1, format!("{bin} begins within the training lengths {trained}; {rule}"));
            }
        }
    }

    fn bin(&mut self, index: usize, message: String) {
        let keys = vec![format!("eval.bins.{index}"), "eval.bins".to_string(), "train.lengths".to_string()];
        self.0.push(Finding { keys, message: format!("`eval.bins`: {message}") });
    }

    fn model(&mut self, run: &RunConfig) {
        if let Err(error) = run.model.validate() {
            let key = format!("model.{}", error.field);
            let message = format!("`{key}`: {}", error.problem);
            // The heads' number may stand in the defaults while the width is what was written.
            let others =
                ["model.d_model", "model.n_heads", "model.n_kv_heads", "model.norm_placement", "model.mlp"];
            let related =
                others.into_iter().filter(|k| *k != key && error.problem.contains(&k["model.".len()..]));
            let keys = std::iter::once(key.clone()).chain(related.map(String::from)).collect();
            self.0.push(Finding { keys, message });
        }
    }

    /// Every range of lengths has strings, and none goes beyond the task's longest.
    fn lengths(&mut self, run: &RunConfig, task: &dyn Task) {
        let bins = run.eval.bins.iter().enumerate();
        let bins =
            bins.map(|(i, bin)| ("eval.bins", vec![format!("eval.bins.{i}"), "eval.bins".to_string()], *bin));
        let trained = ("train.lengths", vec!["train.lengths".to_string()], run.train.lengths);
        for (key, keys, lengths) in std::iter::once(trained).chain(bins) {
            if let Some(message) = unusable(lengths, task) {
                self.0.push(Finding { keys, message: format!("`{key}`: {message}") });
                // The ranges beyond it would only repeat it.
                return;
            }
        }
        self.drawn(run, task);
    }

    /// Every range of the mixture has strings, and the curriculum has some to begin with.
    fn drawn(&mut self, run: &RunConfig, task: &dyn Task) {
        let t = &run.train;
        for (i, share) in t.mixture.iter().enumerate() {
            if let Some(message) = unusable(share.lengths, task) {
                let keys = vec![format!("train.mixture.{i}.lengths"), "train.mixture".to_string()];
                self.0.push(Finding { keys, message: format!("`train.mixture`: {message}") });
                return;
            }
        }
        let Some(curriculum) = t.curriculum else { return };
        let mut ranges = t.mixture.iter().map(|share| share.lengths).collect::<Vec<_>>();
        if ranges.is_empty() {
            ranges.push(t.lengths);
        }
        let begins = |[from, to]: Lengths| (from..=to.min(curriculum.from)).any(|length| task.admits(length));
        self.rule(ranges.into_iter().any(begins), "train.curriculum.from", || {
            format!("is {}, up to which there is nothing to train on; raise it", curriculum.from)
        });
    }

    fn whole_model(&mut self, run: &RunConfig, task: &dyn Task) {
        let model = run.model_config(task);
        if let Err(error) = run.position.validate(&model.position_shape()) {
            self.0.push(position_finding(&error));
        } else if let Err(error) = model.validate() {
            let key = format!("model.{}", error.field);
            self.0.push(Finding { message: format!("`{key}`: {}", error.problem), keys: vec![key] });
        } else {
            self.0.extend(oversized(run, &model, task));
        }
    }
}

/// Why no batch could be drawn for `lengths`.
fn unusable(lengths: Lengths, task: &dyn Task) -> Option<String> {
    match task.max_length() {
        Some(max) if lengths[1] > max => Some(format!(
            "{} goes beyond the longest string of the task `{}`, which has length {max}; end at {max} or enlarge the task",
            shown(lengths),
            task.label()
        )),
        _ if !(lengths[0]..=lengths[1]).any(|length| task.admits(length)) => {
            Some(format!("the task `{}` has no string of length {}", task.label(), shown(lengths)))
        }
        _ => None,
    }
}

fn task_finding(error: &TaskError) -> Finding {
    let (key, message) = match error {
        TaskError::Config { field, found, expected, remedy, .. } => {
            let key = format!("task.{field}");
            let message = format!("`{key}` is {found}, expected {expected}; {remedy}");
            (key, message)
        }
        TaskError::Protocol { .. } => ("task.protocol".to_string(), error.to_string()),
        TaskError::Bos { .. } => ("task.bos".to_string(), error.to_string()),
        TaskError::File { .. } => ("task.path".to_string(), error.to_string()),
        TaskError::Changed { .. } => ("task.digest".to_string(), error.to_string()),
        TaskError::Tokenizer { .. } => ("task.tokens".to_string(), error.to_string()),
        _ => ("task.kind".to_string(), error.to_string()),
    };
    Finding { keys: vec![key, "task.kind".to_string()], message }
}

fn position_finding(error: &attnlab_positions::ConfigError) -> Finding {
    let key = format!("position.{}", error.path());
    let message = format!("`{key}`: {}", error.problem);
    // What is left out may be a default of an encoding that is given, or of one that is left out too.
    let mut keys = vec![key.clone()];
    let mut above = key.as_str();
    while let Some((table, _)) = above.rsplit_once('.') {
        keys.push(format!("{table}.kind"));
        keys.extend((table != POSITION).then(|| table.to_string()));
        above = table;
    }
    Finding { keys, message }
}
