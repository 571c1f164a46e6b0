//! One run, from its configuration to its evaluation, through as many interruptions as it takes.

use std::fs;
use std::path::{Path, PathBuf};

use attnlab_model::Transformer;
use attnlab_ops::{AdamW, LearningRate, Parameters, Rng, Streams};
use attnlab_positions::Places;
use attnlab_report::record::{BinScore, ControlKind, Evaluation, MetricLine, Outcome};
use attnlab_tasks::{Batch, Labelling, Tally, Task};
use candle_core::{DType, Device};

use crate::checkpoint::{self, TrainerState};
use crate::config::RunConfig;
use crate::draw::Draw;
use crate::durable;
use crate::error::{Result, RunError};
use crate::evaluate::{self, BaselineCache, Evaluator, Marked};
use crate::feed::sequences;
use crate::look::Looker;
use crate::progress::{Event, Progress};
use crate::provenance;
use crate::step::{Learns, StepMemory, TrainingStep};

/// With what a run is done. Nothing here but the device can change a result, and that only in the last bits.
pub struct Resources<'a> {
    /// Threads of one run.
    pub threads: usize,
    /// Where tensors live.
    pub device: Device,
    /// What trivial predictors score.
    pub baselines: &'a BaselineCache,
    /// Told what happens.
    pub progress: &'a dyn Progress,
}

/// Does one run in `folder`, or what is left of it, or nothing if it is done.
pub fn run(config: &RunConfig, folder: &Path, resources: &Resources<'_>) -> Result<Evaluation> {
    let files = Files::claim(folder, config)?;
    if let Some(evaluation) = files.finished()? {
        resources.progress.tell(&config.id(), &Event::Ended { outcome: &evaluation.outcome, already: true });
        return Ok(evaluation);
    }
    let task = config.task.build()?;
    let mut trainer = Trainer::new(config, task.as_ref(), &files, resources)?;
    let session = provenance::begin(&files.provenance(), config, trainer.state.step)?;
    let diverged = match trainer.train()? {
        None => trainer.weights_diverged()?,
        outcome => outcome,
    };
    let evaluation = match diverged {
        None => trainer.evaluate()?,
        Some(outcome) => trainer.evaluation(outcome),
    };
    files.finish(&evaluation)?;
    session.end()?;
    resources.progress.tell(&config.id(), &Event::Ended { outcome: &evaluation.outcome, already: false });
    Ok(evaluation)
}

/// The paths of a run folder, which is ours alone as long as this lives.
struct Files {
    folder: PathBuf,
    _lock: Option<fs::File>,
}

impl Files {
    /// Makes the folder, or recognises it as this run's.
    fn claim(folder: &Path, config: &RunConfig) -> Result<Self> {
        durable::create_folder(folder)?;
        let lock = durable::lock(folder)?;
        let (path, resolved) = (folder.join("config.toml"), config.to_toml()?);
        match fs::read_to_string(&path) {
            Ok(found) if found == resolved => {}
            Ok(_) => {
                let problem =
                    "holds a run of another configuration; choose another --out or name".to_string();
                return Err(RunError::Folder { path: folder.to_owned(), problem });
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if let Some(name) = durable::stranger(folder, "config.toml")? {
                    let problem = format!(
                        "holds `{name}` but no config.toml, so it is not a run folder; choose another --out"
                    );
                    return Err(RunError::Folder { path: folder.to_owned(), problem });
                }
                durable::write(&path, resolved.as_bytes())?;
            }
            Err(e) => return Err(RunError::file("read", &path)(e)),
        }
        let files = Self { folder: folder.to_owned(), _lock: lock };
        for part in [folder.to_owned(), files.checkpoints(), files.maps()] {
            durable::sweep(&part)?;
        }
        durable::create_folder(&files.checkpoints())?;
        durable::create_folder(&files.maps())?;
        Ok(files)
    }

    fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    fn maps(&self) -> PathBuf {
        self.folder.join("maps")
    }

    fn metrics(&self) -> PathBuf {
        self.folder.join("metrics.jsonl")
    }

    fn provenance(&self) -> PathBuf {
        self.folder.join("provenance.json")
    }

    /// The evaluation, if the run is done.
    fn finished(&self) -> Result<Option<Evaluation>> {
        if !self.folder.join("DONE").exists() {
            return Ok(None);
        }
        let path = self.folder.join("eval.json");
        let useless = |why: String| RunError::Folder {
            path: path.clone(),
            problem: format!("{why}; delete DONE beside it to evaluate the run again"),
        };
        let text = fs::read_to_string(&path).map_err(|e| useless(e.to_string()))?;
        serde_json::from_str(&text).map(Some).map_err(|e| useless(e.to_string()))
    }

    fn finish(&self, evaluation: &Evaluation) -> Result<()> {
        let text = serde_json::to_string_pretty(evaluation).map_err(candle_core::Error::wrap)?;
        durable::write(&self.folder.join("eval.json"), text.as_bytes())?;
        durable::write(&self.folder.join("DONE"), b"")
    }
}

struct Trainer<'a> {
    config: &'a RunConfig,
    task: &'a dyn Task,
    files: &'a Files,
    resources: &'a Resources<'a>,
    id: String,
    /// What tells the task from every other.
    task_key: String,
    streams: Streams,
    /// All parameters, and those that are trained.
    parameters: Parameters,
    trained: Parameters,
    learns: Learns,
    model: Transformer,
    optimizer: AdamW,
    memory: StepMemory,
    learning_rate: LearningRate,
    draw: Draw<'a>,
    state: TrainerState,
}

impl<'a> Trainer<'a> {
    fn new(
        config: &'a RunConfig,
        task: &'a dyn Task,
        files: &'a Files,
        resources: &'a Resources<'a>,
    ) -> Result<Self> {
        let streams = Streams::new(config.seed);
        let parameters = Parameters::new();
        let model = Transformer::new(
            &config.model_config(task),
            parameters.seeded(streams, DType::F32, &resources.device),
        )?;
        let learns = match config.control {
            Some(ControlKind::Frozen) => Learns::Head,
            _ => Learns::Everything,
        };
        let trained = learns.of(&parameters);
        let mut optimizer = AdamW::new(&trained, config.train.adamw())?;
        let labelling = match config.control {
            Some(ControlKind::ShuffledLabels) => Labelling::Shuffled,
            _ => Labelling::True,
        };
        let state = match checkpoint::newest(&files.checkpoints())? {
            Some(path) => {
                let state = checkpoint::load(&path, &parameters, &mut optimizer, &resources.device)?;
                // Killed between writing this one and removing the one before, a run has both.
                if !config.train.keep_checkpoints {
                    checkpoint::remove_others(&files.checkpoints(), &path)?;
                }
                state
            }
            None => TrainerState::default(),
        };
        durable::truncate(&files.metrics(), state.metrics_bytes)?;
        let learning_rate = config.train.learning_rate();
        let id = config.id();
        let task_key = serde_json::to_string(&config.task).map_err(candle_core::Error::wrap)?;
        Ok(Self {
            config,
            task,
            files,
            resources,
            id,
            task_key,
            streams,
            parameters,
            trained,
            learns,
            model,
            optimizer,
            memory: StepMemory::default(),
            learning_rate,
            draw: Draw::new(config, task, labelling),
            state,
        })
    }

    /// Trains to the end; `Some` if the run diverged.
    fn train(&mut self) -> Result<Option<Outcome>> {
        let train = &self.config.train;
        let steps = train.steps as u64;
        self.tell(&Event::Started { step: self.state.step, steps });
        if self.state.step == 0 {
            self.state.finished = steps == 0;
            self.write_maps_if_due()?;
        }
        if steps == 0 {
            self.save()?;
        }
        let mut lines = String::new();
        while !self.state.finished {
            let mut line = match self.step()? {
                Ok(line) => line,
                Err(reason) => {
                    durable::append(&self.files.metrics(), lines.as_bytes())?;
                    return Ok(Some(Outcome::Diverged { step: self.state.step, reason }));
                }
            };
            let step = self.state.step;
            let due = |every: usize| every > 0 && step.is_multiple_of(every as u64);
            if due(train.eval_every) || step == steps {
                let accuracy = self.evaluator().validate(&self.config.eval)?;
                line.accuracy = Some(accuracy);
                let metric = self.config.eval.metric;
                let stopped = train.stop_at.is_some_and(|bar| accuracy.of(metric) >= bar);
                self.state.finished = stopped && self.task.has_answer();
            }
            self.state.finished |= step >= steps;
            if due(train.log_every) || line.accuracy.is_some() || step == 1 {
                self.log(&line, &mut lines)?;
            }
            self.write_maps_if_due()?;
            if due(train.checkpoint_every) || self.state.finished {
                durable::append(&self.files.metrics(), lines.as_bytes())?;
                self.state.metrics_bytes += lines.len() as u64;
                lines.clear();
                self.save()?;
            }
        }
        Ok(None)
    }

    fn save(&self) -> Result<()> {
        let (checkpoints, keep_all) = (self.files.checkpoints(), self.config.train.keep_checkpoints);
        checkpoint::save(&checkpoints, &self.state, &self.parameters, &self.optimizer, keep_all)
    }

    /// One optimiser step; the reason if it diverged, in which case the weights are left as they were.
    fn step(&mut self) -> Result<std::result::Result<MetricLine, String>> {
        let train = &self.config.train;
        let index = self.state.step;
        let batches = self.draw.batches(index)?;
        let mut rng: Rng = self.streams.rng("places", index);
        let mut places =
            |batch: &Batch| -> Places { self.model.position().training_places(&sequences(batch), &mut rng) };
        let places: Vec<Places> = batches.iter().map(&mut places).collect();
        let groups: Vec<(&Batch, &Places)> = batches.iter().zip(&places).collect();
        let step = TrainingStep {
            model: &self.model,
            parameters: &self.trained,
            streams: self.streams,
            set_loss: train.set_loss,
            learns: self.learns,
            threads: self.resources.threads,
            device: &self.resources.device,
            memory: &self.memory,
        };
        let mut result = step.run_groups(&groups, index)?;
        let norm = match train.clip_norm {
            Some(max) => result.gradients.clip(max)?,
            None => result.gradients.norm()?,
        };
        if !result.loss.is_finite() || !norm.is_finite() {
            return Ok(Err(format!("loss {}, gradient norm {norm}", result.loss)));
        }
        let learning_rate = self.learning_rate.at(index as usize);
        self.optimizer.step(&result.gradients, learning_rate)?;
        self.memory.give_back(result.gradients);
        self.state.step += 1;
        self.state.labels += batches.iter().map(|batch| batch.labelled() as u64).sum::<u64>();
        Ok(Ok(MetricLine {
            step: self.state.step,
            loss: result.loss,
            learning_rate,
            gradient_norm: norm,
            labels: self.state.labels,
            accuracy: None,
            longest: self.draw.longest(index),
        }))
    }

    /// Whether the last updates, which no loss has seen, left weights that are not finite.
    fn weights_diverged(&self) -> Result<Option<Outcome>> {
        for (name, var) in self.parameters.vars() {
            let square = var.sqr()?.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
            if !square.is_finite() {
                let reason = format!("weights of {name} are not finite or too large to square");
                return Ok(Some(Outcome::Diverged { step: self.state.step, reason }));
            }
        }
        Ok(None)
    }

    fn log(&self, line: &MetricLine, lines: &mut String) -> Result<()> {
        lines.push_str(&serde_json::to_string(line).map_err(candle_core::Error::wrap)?);
        lines.push('\n');
        self.tell(&Event::Stepped { step: line.step, loss: line.loss, accuracy: line.accuracy });
        Ok(())
    }

    fn write_maps_if_due(&self) -> Result<()> {
        let step = self.state.step;
        let train = &self.config.train;
        if (self.state.finished && train.map_at_end) || train.map_steps.contains(&(step as usize)) {
            self.looker()?.write_maps(&self.files.maps().join(format!("step-{step:06}.safetensors")))?;
        }
        Ok(())
    }

    fn evaluate(&self) -> Result<Evaluation> {
        self.tell(&Event::Evaluating);
        let eval = &self.config.eval;
        let mut scores = self.evaluator().bins(eval, self.resources.baselines)?;
        if let Some(first) = scores.bins.first_mut() {
            self.look_for_seen(first, &scores.strings)?;
        }
        let (bins, curve) = (scores.bins, scores.curve);
        // A model that was never trained has not failed to train.
        let outcome = match self.config.train.steps {
            0 => Outcome::Measured,
            _ => evaluate::outcome(self.task, &bins, &curve, eval.metric, eval.solved),
        };
        let heads = self.looker()?.statistics()?;
        Ok(Evaluation { bins, curve, heads, ..self.evaluation(outcome) })
    }

    /// Says of the bin of training lengths how many of its sequences were trained on, and how the others are scored.
    /// With shuffled labels none was trained on as it is.
    fn look_for_seen(&self, bin: &mut BinScore, strings: &[Marked]) -> Result<()> {
        if strings.is_empty() || self.config.control == Some(ControlKind::ShuffledLabels) {
            return Ok(());
        }
        let seen = evaluate::trained_on(&self.draw, self.state.step, strings, self.resources.threads)?;
        let mut others = Tally::default();
        let unseen = strings.iter().zip(&seen).filter(|(_, seen)| !**seen);
        unseen.for_each(|(string, _)| others.merge(&string.tally));
        bin.seen = Some(seen.iter().filter(|seen| **seen).count() as f64 / seen.len() as f64);
        bin.unseen = (others.sequences > 0).then(|| evaluate::accuracy(&others));
        Ok(())
    }

    /// An evaluation without scores.
    fn evaluation(&self, outcome: Outcome) -> Evaluation {
        let [shortest, longest] = self.config.train.lengths;
        Evaluation {
            id: self.id.clone(),
            outcome,
            steps: self.state.step,
            parameters: self.trained.count() as u64,
            metric: self.config.eval.metric,
            train_lengths: (shortest, longest),
            bins: Vec::new(),
            curve: Vec::new(),
            heads: Vec::new(),
        }
    }

    fn evaluator(&self) -> Evaluator<'_> {
        Evaluator {
            model: &self.model,
            task: self.task,
            task_key: &self.task_key,
            streams: self.streams,
            set_loss: self.config.train.set_loss,
            device: &self.resources.device,
        }
    }

    fn looker(&self) -> Result<Looker<'_>> {
        let lengths = self.config.train.lengths;
        Looker::new(&self.model, self.task, self.streams, lengths, &self.resources.device)
    }

    fn tell(&self, event: &Event<'_>) {
        self.resources.progress.tell(&self.id, event);
    }
}

#[cfg(test)]
mod tests;
