//! Timings in random order, and what follows from them.

use std::time::Instant;

use attnlab_ops::Streams;
use attnlab_report::cost::{Crossover, Exponents, Point, Series, Spread};
use attnlab_report::statistics::median;
use rand::seq::SliceRandom as _;

use super::bootstrap::Draws;
use super::exponent::{crossover, exponent, of_medians};
use super::fit::fit;
use super::plan::{Cell, Line};
use crate::bench::cpu_ms;
use crate::error::Result;

/// The form that the others are held against.
const FULL: &str = "full";

/// Times every point once a round, in an order that is drawn for each.
pub(super) fn measure(
    lines: &mut [Line],
    rounds: usize,
    seed: u64,
    progress: &dyn Fn(usize, usize),
) -> Result<()> {
    let mut cells: Vec<&mut Cell> = lines.iter_mut().flat_map(|line| &mut line.cells).collect();
    let all = rounds * cells.len();
    let mut done = 0;
    for round in 0..rounds {
        cells.shuffle(&mut Streams::new(seed).rng("cost/order", round as u64));
        for cell in &mut cells {
            cell.time()?;
            done += 1;
            progress(done, all);
        }
    }
    Ok(())
}

impl Cell {
    fn time(&mut self) -> Result<()> {
        let (before, began) = (cpu_ms(), Instant::now());
        for _ in 0..self.point.calls {
            self.subject.call()?;
        }
        let wall = began.elapsed().as_secs_f64() * 1e3;
        let sequences = (self.point.calls * self.point.batch) as f64;
        self.point.samples.push(wall / sequences);
        self.cpu.extend(cpu_ms().zip(before).map(|(after, before)| (after - before) / sequences));
        Ok(())
    }
}

/// The lines as series, with medians, exponents, fits and crossovers.
pub(super) fn conclude(lines: Vec<Line>, draws: &Draws) -> Vec<Series> {
    let mut all: Vec<Series> = lines.into_iter().map(|line| concluded(line, draws)).collect();
    let crossovers: Vec<_> = all.iter().map(|series| against_full(series, &all, draws)).collect();
    for (series, crossover) in all.iter_mut().zip(crossovers) {
        series.crossover = crossover;
    }
    all
}

fn concluded(line: Line, draws: &Draws) -> Series {
    let Line { mut series, mut cells, .. } = line;
    for Cell { point, cpu, .. } in &mut cells {
        point.ms = spread(&point.samples).unwrap_or(point.ms);
        // Some systems' clocks say that a short call took nothing.
        point.cpu_ms = spread(cpu).filter(|spread| spread.min > 0.0);
    }
    for pair in cells.windows(2) {
        if let [a, b] = pair {
            series.exponents.push(exponents(a, b, draws));
        }
    }
    let lengths: Vec<f64> = cells.iter().map(|cell| cell.point.length as f64).collect();
    let samples: Vec<&[f64]> = cells.iter().map(|cell| cell.point.samples.as_slice()).collect();
    series.fit = fit(&lengths, &samples, draws);
    series.points = cells.into_iter().map(|cell| cell.point).collect();
    series
}

fn exponents(a: &Cell, b: &Cell, draws: &Draws) -> Exponents {
    let (from, to) = (&a.point, &b.point);
    let lengths = [from.length as f64, to.length as f64];
    let a_sequence = |value: u64, point: &Point| value as f64 / point.batch as f64;
    let memory = from.peak_bytes.zip(to.peak_bytes).filter(|(from, to)| *from > 0 && *to > 0);
    let clocked = from.cpu_ms.is_some() && to.cpu_ms.is_some();
    Exponents {
        from: from.length,
        to: to.length,
        time: of_medians(lengths, [&from.samples, &to.samples], draws),
        cpu: clocked.then(|| of_medians(lengths, [&a.cpu, &b.cpu], draws)),
        memory: memory.map(|(x, y)| exponent(lengths, [a_sequence(x, from), a_sequence(y, to)])),
        operations: exponent(lengths, [a_sequence(from.flops, from), a_sequence(to.flops, to)]),
    }
}

/// Where a series becomes faster than the one with the same panel and full attention.
fn against_full(series: &Series, all: &[Series], draws: &Draws) -> Option<Crossover> {
    let full = all.iter().find(|other| other.panel == series.panel && other.form == FULL)?;
    if series.form == FULL {
        return None;
    }
    let both: Vec<(&Point, &Point)> = series
        .points
        .iter()
        .filter_map(|point| Some((point, full.points.iter().find(|full| full.length == point.length)?)))
        .collect();
    let lengths: Vec<usize> = both.iter().map(|(point, _)| point.length).collect();
    let form: Vec<&[f64]> = both.iter().map(|(point, _)| point.samples.as_slice()).collect();
    let full: Vec<&[f64]> = both.iter().map(|(_, full)| full.samples.as_slice()).collect();
    crossover(&lengths, &form, &full, draws)
}

fn spread(times: &[f64]) -> Option<Spread> {
    let min = times.iter().copied().min_by(f64::total_cmp)?;
    Some(Spread { median: median(times)?, min })
}
