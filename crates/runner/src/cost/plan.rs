//! Which lengths fit the time and the memory, and what a call holds and counts.
//!
//! Lengths are gone through from the shortest on, line by line. A call of each is made to see what it holds and counts,
//! and one to warm up; what the next length will take is foretold from the last one and the operations of both. A line
//! ends where that is more than what is left.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use attnlab_model::ModelConfig;
use attnlab_ops::{Streams, Threads};
use attnlab_report::cost::{Cache, Level, Panel, Pass, Point, Series, Skipped, Spread};

use super::subject::{Built, Subject, config_at};
use super::{Cost, Form};
use crate::error::{Result, RunError};

/// One timing lasts at least so many seconds, by several calls if need be: clocks are not finer.
const SHORTEST: f64 = 1e-3;

/// A form in a panel, with what is known of it.
pub(super) struct Line {
    /// In the report.
    place: usize,
    pub(super) form: &'static dyn Form,
    pub(super) series: Series,
    pub(super) cells: Vec<Cell>,
}

/// A point with the call that it times.
pub(super) struct Cell {
    pub(super) subject: Subject,
    pub(super) point: Point,
    /// CPU times of a sequence, in milliseconds, in the order taken.
    pub(super) cpu: Vec<f64>,
}

/// Lines for each panel and form, with the points that there is time and memory for.
pub(super) fn plan(cost: &Cost<'_>, caches: &[Cache]) -> Result<Vec<Line>> {
    let began = Instant::now();
    let mut lines: Vec<Line> = Vec::new();
    for panel in cost.panels() {
        for &form in &cost.forms {
            lines.push(Line::new(lines.len(), panel, form));
        }
    }
    let subjects = Subjects::new(cost)?;
    let mut lengths = cost.lengths.clone();
    lengths.sort_unstable();
    lengths.dedup();
    let mut reserved = 0.0;
    for length in lengths {
        // The cheap ones first, so that a dear one takes only what they leave.
        lines.sort_by(|a, b| a.seconds(cost, length).total_cmp(&b.seconds(cost, length)));
        for line in &mut lines {
            let Some((batch, work)) = line.next(cost, length) else { continue };
            let left = cost.minutes * 60.0 - began.elapsed().as_secs_f64() - reserved;
            if let Some(why) = line.refuses(cost, length, left) {
                line.series.skipped = Some(Skipped { length, why });
                continue;
            }
            let subject = subjects.subject(line, batch, length)?;
            let peak_bytes = look(&subject, cost)?;
            let warming = Instant::now();
            subject.call()?;
            let seconds = warming.elapsed().as_secs_f64().max(1e-9);
            let calls = (SHORTEST / seconds).ceil().max(1.0);
            reserved += cost.repeats as f64 * calls * seconds;
            let ms = seconds * 1e3 / batch as f64;
            let cache = caches.iter().find(|cache| peak_bytes.is_some_and(|bytes| bytes <= cache.bytes));
            let point = Point {
                length,
                batch,
                calls: calls as usize,
                ms: Spread { median: ms, min: ms },
                cpu_ms: None,
                peak_bytes,
                cache: cache.map(|cache| cache.name.clone()),
                pairs: work.pairs,
                attention_flops: work.attention,
                flops: work.all,
                samples: Vec::new(),
            };
            line.cells.push(Cell { subject, point, cpu: Vec::new() });
        }
    }
    lines.sort_by_key(|line| line.place);
    Ok(lines)
}

impl Line {
    fn new(place: usize, panel: Panel, form: &'static dyn Form) -> Self {
        let series = Series {
            panel,
            form: form.name().to_owned(),
            points: Vec::new(),
            skipped: None,
            exponents: Vec::new(),
            fit: None,
            crossover: None,
        };
        Self { place, form, series, cells: Vec::new() }
    }

    /// Sequences of a call at this length and its work; none if the line has ended or the batch has not so many tokens.
    fn next(&self, cost: &Cost<'_>, length: usize) -> Option<(usize, Work)> {
        let batch = self.series.panel.batch_tokens.map_or(1, |tokens| tokens / length);
        let goes_on = self.series.skipped.is_none() && batch > 0;
        goes_on.then(|| (batch, Work::of(cost, self.series.panel, self.form, (batch, length))))
    }

    /// How many times as much work as the last point's, with that point.
    fn grown(&self, cost: &Cost<'_>, length: usize) -> Option<(f64, &Point)> {
        let (last, (_, work)) = (&self.cells.last()?.point, self.next(cost, length)?);
        Some((work.all as f64 / last.flops.max(1) as f64, last))
    }

    /// What the timings of this length will take, in seconds.
    fn seconds(&self, cost: &Cost<'_>, length: usize) -> f64 {
        let call = |(grown, last): (f64, &Point)| grown * last.ms.median / 1e3 * last.batch as f64;
        // Twice besides: the look and the warming up.
        self.grown(cost, length).map_or(0.0, call).max(SHORTEST) * (cost.repeats + 2) as f64
    }

    /// Why a length is not measured, if it is not: `left` seconds are too few for it, or its memory is too much.
    fn refuses(&self, cost: &Cost<'_>, length: usize, left: f64) -> Option<String> {
        let most = cost.most_mib as f64;
        let held = self.grown(cost, length).and_then(|(grown, last)| Some(grown * last.peak_bytes? as f64));
        let maps = self.next(cost, length).map_or(0, |(_, work)| work.maps);
        let mib = held.unwrap_or(0.0).max(maps as f64) / 1_048_576.0;
        if mib > most {
            return Some(format!("about {mib:.0} MiB of memory, of at most {most}"));
        }
        let seconds = self.seconds(cost, length);
        (seconds > left).then(|| format!("about {seconds:.1} s, of {:.1} s left", left.max(0.0)))
    }
}

/// What a call has to do by its definition, over all sequences, heads and layers.
struct Work {
    pairs: u64,
    attention: u64,
    all: u64,
    /// Bytes of the maps of one layer, if they are held: scores, their exponentials and the pattern.
    maps: u64,
}

impl Work {
    fn of(cost: &Cost<'_>, panel: Panel, form: &dyn Form, (batch, length): (usize, usize)) -> Self {
        let config = config_at(&cost.model, panel.level);
        let a = &config.architecture;
        let (heads, n) = ((batch * a.n_heads) as u64, length as u64);
        let needs = form.needs(n, a.head_width() as u64, &cost.reach);
        let layers = if panel.level == Level::Attention { 1 } else { a.n_layers as u64 };
        let backward = if panel.pass == Pass::ForwardBackward { needs.backward } else { 0 };
        let attention = layers * heads * (needs.forward + backward);
        let linear = match panel.level {
            Level::Attention => 0.0,
            Level::Layer | Level::Model => config.linear_flops() * (batch * length) as f64,
        };
        let linear = linear as u64 * if panel.pass == Pass::ForwardBackward { 3 } else { 1 };
        let maps = if form.holds_maps() { 3 * 4 * heads * n * n } else { 0 };
        Self { pairs: layers * heads * needs.pairs, attention, all: attention + linear, maps }
    }
}

/// What every call is made of.
struct Subjects<'a> {
    cost: &'a Cost<'a>,
    streams: Streams,
    threads: HashMap<usize, Threads>,
    /// By level and form.
    models: HashMap<(Level, &'static str), Arc<Built>>,
}

impl<'a> Subjects<'a> {
    fn new(cost: &'a Cost<'a>) -> Result<Self> {
        let streams = Streams::new(cost.seed);
        let mut threads = HashMap::new();
        for count in cost.threads.iter().copied().chain([1]) {
            threads.insert(count, Threads::new(count)?);
        }
        let mut models = HashMap::new();
        let longest = cost.lengths.iter().copied().max().unwrap_or(1);
        for &level in cost.levels.iter().filter(|level| **level != Level::Attention) {
            for &form in &cost.forms {
                let mut config: ModelConfig = config_at(&cost.model, level);
                config.max_len = longest;
                form.shape(&mut config, &cost.reach);
                models.insert((level, form.name()), Arc::new(Built::new(&config, streams)?));
            }
        }
        Ok(Self { cost, streams, threads, models })
    }

    fn subject(&self, line: &Line, batch: usize, length: usize) -> Result<Subject> {
        let Panel { level, pass, threads, .. } = line.series.panel;
        let (form, reach) = (line.form, self.cost.reach);
        let missing =
            || candle_core::Error::msg("a call without its model or threads; this is a bug of attnlab");
        let threads = self.threads.get(&threads).ok_or_else(missing)?.clone();
        if level == Level::Attention {
            let a = &self.cost.model.architecture;
            let shape = [batch, length, a.n_heads, a.head_width()];
            return Subject::attention(form, reach, pass, threads, shape, self.streams);
        }
        let model = self.models.get(&(level, form.name())).ok_or_else(missing)?.clone();
        let mut rng = self.streams.rng("cost/tokens", length as u64);
        Subject::model(form, reach, pass, threads, model, (batch, length), &mut rng)
    }
}

/// The most bytes that one call holds: on a thread of its own, whose working memory is empty at first.
fn look(subject: &Subject, cost: &Cost<'_>) -> Result<Option<u64>> {
    let call = || {
        let mut result = Ok(());
        let mut work = || result = subject.call();
        let peak = match cost.allocations {
            Some(allocations) => Some(allocations.peak(&mut work)),
            None => {
                work();
                None
            }
        };
        result.map(|()| peak)
    };
    let joined = std::thread::scope(|scope| scope.spawn(call).join());
    joined.unwrap_or_else(|_| Err(RunError::Panic("while attention was measured".into())))
}
