//! `attnlab bench tasks`: how fast each kind of task makes batches, on one core.

use std::time::{Duration, Instant};

use anyhow::Result;
use attnlab_tasks::{Rng, Split, Task, registry};
use comfy_table::{Table, presets};
use rand::SeedableRng;
use serde::Serialize;

use super::positive;
use crate::tasks::{length_near, under_each_protocol};
use crate::{End, say};

#[derive(clap::Args)]
pub(crate) struct Tasks {
    /// The problem length, or the nearest that a kind admits.
    #[arg(long, default_value_t = 40)]
    length: usize,
    /// Sequences of a batch.
    #[arg(long, default_value_t = 64)]
    rows: usize,
    /// Batches timed together; the fastest of ten such groups counts.
    #[arg(long, default_value_t = 50)]
    batches: usize,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Measured {
    kind: &'static str,
    protocol: &'static str,
    label: String,
    length: usize,
    rows: usize,
    /// Tokens of a sequence.
    tokens: usize,
    tokens_per_s: f64,
}

impl Tasks {
    pub(super) fn run(self) -> Result<End> {
        positive("length", self.length)?;
        positive("rows", self.rows)?;
        positive("batches", self.batches)?;
        let mut all = Vec::new();
        for info in registry() {
            for config in under_each_protocol(info)? {
                let task = match config.build() {
                    Ok(task) => task,
                    // A text is read from a folder that need not be here.
                    Err(error) => {
                        say::note(format_args!("left out: {error}"));
                        continue;
                    }
                };
                if let Some(length) = length_near(task.as_ref(), self.length) {
                    all.push(Measured {
                        kind: info.kind,
                        protocol: config.protocol().name(),
                        label: task.label(),
                        length,
                        rows: self.rows,
                        tokens: task.token_len(length),
                        tokens_per_s: self.measure(task.as_ref(), length)?,
                    });
                }
            }
        }
        if self.json {
            return super::print(&all);
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["task", "protocol", "length", "million tokens a second"]);
        for Measured { label, protocol, length, tokens_per_s, .. } in &all {
            let rate = format!("{:.1}", tokens_per_s / 1e6);
            table.add_row([label, &protocol.to_string(), &length.to_string(), &rate]);
        }
        say::result(table)?;
        Ok(End::Success)
    }

    /// Tokens a second, of the fastest group.
    fn measure(&self, task: &dyn Task, length: usize) -> Result<f64> {
        const GROUPS: usize = 10;
        let mut rng = Rng::seed_from_u64(0);
        // Tables that samplers keep are filled first.
        task.batch(Split::Train, self.rows, length, &mut rng)?;
        let mut fastest = Duration::MAX;
        for _ in 0..GROUPS {
            let start = Instant::now();
            for _ in 0..self.batches {
                std::hint::black_box(task.batch(Split::Train, self.rows, length, &mut rng)?);
            }
            fastest = fastest.min(start.elapsed());
        }
        let tokens = self.batches * self.rows * task.token_len(length);
        Ok(tokens as f64 / fastest.max(Duration::from_nanos(1)).as_secs_f64())
    }
}
