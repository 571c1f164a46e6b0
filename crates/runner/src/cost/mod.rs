//! What attention costs against the length of the input: `attnlab cost`.
//!
//! ```text
//! form, forms   the forms of attention: how each computes, what its definition needs
//! subject       one call: attention alone, a layer, a model; forward, or forward and backward
//! plan          which lengths fit the time and the memory; what a call holds and counts
//! measure       timings in random order
//! bootstrap, fit, exponent   what follows from them
//! caches        what the machine's caches hold
//! span, saved   a trained model that sees less: its loss, and what that saves
//! ```
//! What makes an exponent honest: attention is timed alone and within the layer; lengths from below the width to far
//! above it; local exponents with intervals instead of one slope; every point once a round in an order drawn anew, so
//! that a busy moment hits all alike; CPU time beside wall-clock time; memory from a counter in the allocator; operations
//! from a counter in the kernels, beside what the definition needs.

mod bootstrap;
mod caches;
mod exponent;
mod fit;
mod form;
mod forms;
mod measure;
mod plan;
mod saved;
mod span;
mod subject;

use attnlab_model::ModelConfig;
use attnlab_report::cost::{CostReport, Form as FormInfo, Level, Panel, Pass, Setting};

use crate::error::Result;
use bootstrap::Draws;
pub use form::{Form, Needs, Reach, registry};
pub use saved::saved;
pub use span::{Pairs, Span};

/// Says how much memory is held: an allocator's counter, which the program's binary owns.
pub trait Allocations: Sync {
    /// Runs `work`. The most bytes that were held at any moment of it, beyond those held when it began.
    fn peak(&self, work: &mut dyn FnMut()) -> u64;
}

/// What to measure.
pub struct Cost<'a> {
    /// The model, of which the widths are attention's too. It is measured as a causal one.
    pub model: ModelConfig,
    /// Where it is from.
    pub source: String,
    /// The forms.
    pub forms: Vec<&'static dyn Form>,
    /// How far the sparse ones see.
    pub reach: Reach,
    /// Lengths N.
    pub lengths: Vec<usize>,
    /// What is timed.
    pub levels: Vec<Level>,
    /// In which directions.
    pub passes: Vec<Pass>,
    /// Besides one sequence a call: batches of so many tokens.
    pub batch_tokens: Option<usize>,
    /// Threads of forward passes. Operations with a backward pass run on one.
    pub threads: Vec<usize>,
    /// Rounds of timings.
    pub repeats: usize,
    /// Of weights, inputs and the order of timings.
    pub seed: u64,
    /// Time to spend, about.
    pub minutes: f64,
    /// Memory that no call may exceed, in MiB.
    pub most_mib: usize,
    /// Who counts memory, if anybody does.
    pub allocations: Option<&'a dyn Allocations>,
}

impl Cost<'_> {
    /// Measures. `progress` is told how many of how many timings are done.
    pub fn run(&self, progress: &dyn Fn(usize, usize)) -> Result<CostReport> {
        let caches = caches::caches();
        let mut lines = plan::plan(self, &caches)?;
        measure::measure(&mut lines, self.repeats, self.seed, progress)?;
        let series = measure::conclude(lines, &Draws::new(self.repeats, self.seed));
        let a = &self.model.architecture;
        let Reach { window, sinks, block, keep, top_k } = self.reach;
        let info = |form: &&'static dyn Form| FormInfo {
            name: form.name().to_owned(),
            about: form.about().to_owned(),
            operations: form.operations().to_owned(),
        };
        Ok(CostReport {
            setting: Setting {
                model: self.source.clone(),
                d_model: a.d_model,
                n_heads: a.n_heads,
                n_kv_heads: a.kv_heads(),
                head_dim: a.head_width(),
                n_layers: a.n_layers,
                vocab: self.model.vocab_size,
                window,
                sinks,
                block,
                keep,
                top_k,
                repeats: self.repeats,
                seed: self.seed,
                minutes: self.minutes,
                most_mib: self.most_mib,
                caches,
            },
            forms: self.forms.iter().map(info).collect(),
            series,
        })
    }

    /// Everything that may be compared with one another, in the order of the report.
    fn panels(&self) -> Vec<Panel> {
        let mut panels = Vec::new();
        for &level in &self.levels {
            for &pass in &self.passes {
                let batches = [None].into_iter().chain(self.batch_tokens.map(Some));
                for batch_tokens in batches {
                    let threads: &[usize] = if pass == Pass::Forward { &self.threads } else { &[1] };
                    panels.extend(threads.iter().map(|&threads| Panel {
                        level,
                        pass,
                        batch_tokens,
                        threads,
                    }));
                }
            }
        }
        panels
    }
}
