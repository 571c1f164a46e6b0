//! `attnlab cost`: time, memory and operations of attention against the length of the input.

mod trained;

use std::cell::OnceCell;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attnlab_model::{Architecture, Details, Mask, ModelConfig};
use attnlab_report::TableStyle;
use attnlab_report::cost::{Level, Pass, cost_html, cost_table};
use attnlab_runner::config::Experiment;
use attnlab_runner::cost::{Cost, Form, Reach, registry};
use attnlab_runner::write_file;

use crate::allocator::Counter;
use crate::bench::{position, positive};
use crate::progress::Slow;
use crate::{End, Usage, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// An experiment, of whose first run the model is taken, as a causal one [default: D = 64, 4 heads, 2 layers].
    config: Option<PathBuf>,
    /// In place of that: what a trained model would miss if it saw less, and what that saves.
    #[command(flatten)]
    trained: trained::Options,
    /// Change a key of the configuration.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    sets: Vec<String>,
    /// Forms of attention, with commas between them [default: all].
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    forms: Vec<String>,
    /// What is timed.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["attention", "layer", "model"])]
    levels: Vec<LevelName>,
    /// Lengths N [default: seven, from the width D on, doubling].
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    lengths: Vec<u32>,
    /// Besides one sequence at a time, batches of so many tokens: what grows with N alone takes the same time at every length.
    #[arg(long, value_name = "N")]
    batch_tokens: Option<usize>,
    /// Rounds: each times every point once, in random order.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: u16,
    /// Threads of the forward pass, several with commas between them.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "1")]
    threads: Vec<usize>,
    /// Forward and backward too, on one thread.
    #[arg(long)]
    backward: bool,
    /// Tokens of a window, the query among them.
    #[arg(long, default_value_t = Reach::default().window)]
    window: usize,
    /// First keys that stay visible beside it.
    #[arg(long, default_value_t = Reach::default().sinks)]
    sinks: usize,
    /// Tokens of a block.
    #[arg(long, default_value_t = Reach::default().block)]
    block: usize,
    /// Earlier blocks that a block sees.
    #[arg(long, default_value_t = Reach::default().keep)]
    keep: usize,
    /// Keys that a query keeps.
    #[arg(long, default_value_t = Reach::default().top_k)]
    top_k: usize,
    /// Time to spend, about: a form's longest lengths are left out where they would take more.
    #[arg(long, default_value_t = 3.0)]
    minutes: f64,
    /// Lengths that would hold more are left out.
    #[arg(long, value_name = "MIB", default_value_t = 4096)]
    memory: usize,
    /// Of weights, inputs and the order of timings.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write everything that was measured as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with figures.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LevelName {
    /// Attention of given queries, keys and values.
    Attention,
    /// One block.
    Layer,
    /// The whole model with its head.
    Model,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Self {
        match name {
            LevelName::Attention => Self::Attention,
            LevelName::Layer => Self::Layer,
            LevelName::Model => Self::Model,
        }
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    if let Some(model) = &arguments.trained.model {
        return trained::run(model, &arguments);
    }
    let cost = arguments.resolve()?;
    let bar = OnceCell::new();
    let report = cost.run(&|done, all| bar.get_or_init(|| Slow::new("timing", all)).reach(done))?;
    drop(bar);
    say::result(cost_table(&report, style()))?;
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report)?;
        write_file(path, json.as_bytes())?;
    }
    if let Some(path) = &arguments.html {
        let page = cost_html(&report).context("while making the page")?;
        write_file(path, page.as_bytes())?;
        say::note(format_args!("Page: {}", path.display()));
    }
    Ok(End::Success)
}

impl Arguments {
    fn resolve(&self) -> Result<Cost<'static>> {
        let (model, source) = match &self.config {
            Some(path) => (model_of(path, &self.sets)?, path.display().to_string()),
            None => (default_model()?, "default".to_owned()),
        };
        let d = model.architecture.d_model;
        let lengths = match self.lengths.as_slice() {
            [] => (0..7).map(|doublings| (1 << d.ilog2()) << doublings).collect(),
            lengths => lengths.iter().map(|&length| length as usize).collect(),
        };
        let Self { window, sinks, block, keep, top_k, .. } = *self;
        for (name, value) in [("window", window), ("block", block), ("top-k", top_k)] {
            positive(name, value)?;
        }
        self.threads.iter().try_for_each(|&count| crate::threads(Some(count)).map(drop))?;
        if !(self.minutes > 0.0 && self.minutes.is_finite()) {
            return Err(Usage(format!("--minutes {}: expected a number above 0", self.minutes)).into());
        }
        if let Some(tokens) = self.batch_tokens {
            positive("batch-tokens", tokens)?;
        }
        Ok(Cost {
            model,
            source,
            forms: self.forms()?,
            reach: Reach { window, sinks, block, keep, top_k },
            lengths,
            levels: self.levels.iter().map(|&level| level.into()).collect(),
            passes: if self.backward {
                vec![Pass::Forward, Pass::ForwardBackward]
            } else {
                vec![Pass::Forward]
            },
            batch_tokens: self.batch_tokens,
            threads: self.threads.clone(),
            repeats: usize::from(self.repeats),
            seed: self.seed,
            minutes: self.minutes,
            most_mib: self.memory,
            allocations: Some(&Counter),
        })
    }

    fn forms(&self) -> Result<Vec<&'static dyn Form>, Usage> {
        if self.forms.is_empty() {
            return Ok(registry().to_vec());
        }
        let named = |name: &String| {
            registry().iter().copied().find(|form| form.name() == name).ok_or_else(|| {
                let names: Vec<&str> = registry().iter().map(|form| form.name()).collect();
                Usage(format!("--forms {name} is not one of {}", names.join(", ")))
            })
        };
        self.forms.iter().map(named).collect()
    }
}

/// The model of an experiment's first run.
fn model_of(path: &Path, sets: &[String]) -> Result<ModelConfig> {
    let experiment = Experiment::load(path, sets)?;
    let run = experiment.runs.first().ok_or_else(|| Usage(format!("{} has no runs", path.display())))?;
    Ok(run.model_config(run.task.build()?.as_ref()))
}

fn default_model() -> Result<ModelConfig, Usage> {
    Ok(ModelConfig {
        vocab_size: 256,
        n_outputs: 256,
        max_len: 1,
        mask: Mask::Causal,
        position: position("rope")?,
        architecture: Architecture::default(),
        details: Details::default(),
    })
}

fn style() -> TableStyle {
    let terminal = std::io::stdout().is_terminal();
    TableStyle { width: say::width(), colour: terminal && std::env::var_os("NO_COLOR").is_none() }
}
