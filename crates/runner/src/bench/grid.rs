//! A grid of small runs, several at a time: how many steps a second the machine gives.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::rig::Rig;
use super::size::{Size, SizeResult};
use super::usage;
use crate::error::Result;

/// What to time: training alone, without folders, checkpoints or evaluation.
pub struct Grid {
    /// The model and its batch; each run has a seed of its own, from this one up.
    pub size: Size,
    /// Runs.
    pub runs: usize,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Steps of each.
    pub steps: usize,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct GridResult {
    /// The model and its batch.
    #[serde(flatten)]
    pub size: SizeResult,
    /// Runs.
    pub runs: usize,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads of each.
    pub threads: usize,
    /// Steps of each.
    pub steps: usize,
    /// Wall-clock time of all runs, models drawn included.
    pub seconds: f64,
    /// Steps of all runs.
    pub total_steps: usize,
    /// Those over the time.
    pub steps_per_s: f64,
    /// B·T of each step, over the time.
    pub tokens_per_s: u64,
    /// User and system time of the whole process, over all steps.
    pub ms_cpu_per_step: Option<f64>,
    /// Counted operations of a step.
    pub gflop_per_step: f64,
    /// Those of all steps over the time.
    pub gflops: f64,
    /// Most memory that the process has held.
    pub peak_rss_mib: Option<f64>,
    /// Mean over runs of the first step's loss.
    pub loss_first: f64,
    /// Mean over runs of the last step's loss.
    pub loss_last: f64,
}

/// What one run came to.
struct Ran {
    params: usize,
    loss_first: f64,
    loss_last: f64,
}

impl Grid {
    /// Trains every run; threads take the next one as [`crate::Execution`] deals them.
    pub fn run(&self) -> Result<GridResult> {
        let cpu_before = usage::cpu_ms();
        let began = Instant::now();
        let (next, ended) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(self.runs)));
        let work = || {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= self.runs {
                    break;
                }
                let ran = self.train(index);
                ended.lock().unwrap_or_else(PoisonError::into_inner).push((index, ran));
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.jobs.min(self.runs) {
                scope.spawn(work);
            }
            work();
        });
        let seconds = began.elapsed().as_secs_f64();
        let cpu = usage::cpu_ms().zip(cpu_before).map(|(after, before)| after - before);

        let mut ended = ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Sums are the same whoever came first.
        ended.sort_by_key(|(index, _)| *index);
        let ended = ended.into_iter().map(|(_, ran)| ran).collect::<Result<Vec<Ran>>>()?;
        let mean = |loss: fn(&Ran) -> f64| ended.iter().map(loss).sum::<f64>() / ended.len() as f64;

        let Size { batch, seq_len, .. } = self.size;
        let total_steps = self.runs * self.steps;
        let steps_per_s = total_steps as f64 / seconds;
        let gflop_per_step = self.size.model().training_flops(batch, seq_len) / 1e9;
        Ok(GridResult {
            size: self.size.result(ended.first().map_or(0, |ran| ran.params)),
            runs: self.runs,
            jobs: self.jobs,
            threads: self.threads,
            steps: self.steps,
            seconds,
            total_steps,
            steps_per_s,
            tokens_per_s: ((batch * seq_len) as f64 * steps_per_s).round() as u64,
            ms_cpu_per_step: cpu.map(|ms| ms / total_steps as f64),
            gflop_per_step,
            gflops: gflop_per_step * steps_per_s,
            peak_rss_mib: usage::peak_rss_mib(),
            loss_first: mean(|ran| ran.loss_first),
            loss_last: mean(|ran| ran.loss_last),
        })
    }

    fn train(&self, index: usize) -> Result<Ran> {
        let size = Size { seed: self.size.seed.wrapping_add(index as u64), ..self.size.clone() };
        let mut rig = Rig::new(&size, self.threads)?;
        let loss_first = rig.step()?;
        let mut loss_last = loss_first;
        for _ in 1..self.steps {
            loss_last = rig.step()?;
        }
        Ok(Ran { params: rig.params(), loss_first, loss_last })
    }
}
