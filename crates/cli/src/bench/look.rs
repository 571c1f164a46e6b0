//! `attnlab bench look MODEL`: what looking at a real model costs.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use attnlab_heads::{MapRecorder, MapScope, Survey, SurveyOptions};
use attnlab_hooks::{NoHooks, Observer};
use attnlab_model::Pass;
use attnlab_ops::{self as ops, Threads, on_threads};
use attnlab_runner::bench::peak_rss_mib;
use candle_core::{Device, Tensor};
use serde_json::json;

use super::{positive, print};
use crate::End;
use crate::model::{Model, Precision};
use crate::texts::{numbers, read_text};

#[derive(clap::Args)]
pub(crate) struct Look {
    /// A folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id, or `demo`.
    model: String,
    /// What is looked at, beside the logits.
    #[arg(long, value_enum, default_value = "statistics")]
    what: What,
    /// A file of token ids, `1,2,3`.
    #[arg(long, value_name = "FILE")]
    tokens_file: PathBuf,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Timed passes, after one that is told apart.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Only the last token's logits: those of a long text times a large vocabulary are gigabytes.
    #[arg(long)]
    last_logits: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// Nothing.
    Forward,
    /// Every statistic of every head, streamed.
    Statistics,
    /// The whole map of every head, all held together.
    Maps,
}

impl Look {
    pub(super) fn run(self) -> Result<End> {
        let threads = Threads::new(positive("threads", self.threads)?)?;
        positive("repeats", self.repeats)?;
        let began = Instant::now();
        let model = Model::open(&self.model, true, Precision::F32)?;
        let load = began.elapsed().as_secs_f64();
        let after_load = peak_rss_mib();
        let text = read_text(&self.tokens_file)?;
        let ids = numbers("--tokens-file", &text)?.concat();
        let passes = on_threads(&threads, || -> Result<Vec<f64>> {
            let pass = |_| {
                let began = Instant::now();
                self.pass(&model, &ids)?;
                Ok(began.elapsed().as_secs_f64())
            };
            (0..=self.repeats).map(pass).collect()
        })?;
        let fastest = passes.iter().skip(1).copied().fold(f64::INFINITY, f64::min);
        print(&json!({
            "impl": "attnlab", "model": model.name, "what": self.what, "tokens": ids.len(), "threads": self.threads,
            "load_s": load, "first_pass_s": passes.first(), "pass_s": fastest, "passes_s": passes,
            "rss_after_load_mib": after_load, "peak_rss_mib": peak_rss_mib(),
        }))
    }

    fn pass(&self, model: &Model, ids: &[u32]) -> Result<()> {
        let anatomy = model.transformer.anatomy();
        match self.what {
            What::Forward => drop(black_box(self.logits(model, ids, &mut NoHooks)?)),
            What::Statistics => {
                let mut survey = Survey::new(SurveyOptions::default());
                survey.begin_text(ids);
                drop(black_box(self.logits(model, ids, &mut survey)?));
                drop(black_box(survey.finish()));
            }
            What::Maps => {
                let sizes = (anatomy.n_layers, anatomy.n_heads);
                let mut maps = MapRecorder::new(&MapScope::default(), sizes, (1, ids.len()));
                drop(black_box(self.logits(model, ids, &mut maps)?));
                drop(black_box(maps.into_maps()));
            }
        }
        Ok(())
    }

    fn logits<O: Observer>(&self, model: &Model, ids: &[u32], observer: &mut O) -> Result<Tensor> {
        let tokens = Tensor::from_slice(ids, (1, ids.len()), &Device::Cpu)?;
        ops::without_gradients(|| -> Result<Tensor> {
            let hidden = model.transformer.run(Pass::new(&tokens), observer)?;
            if model.transformer.config().n_outputs == 0 {
                return Ok(hidden);
            }
            let hidden = if self.last_logits { hidden.narrow(1, ids.len() - 1, 1)? } else { hidden };
            Ok(model.transformer.logits(&hidden)?)
        })
    }
}
