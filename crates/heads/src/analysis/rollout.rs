//! Attention rollout (Abnar and Zuidema 2020): where a position's information comes from, if every block mixed the
//! positions by half its mean map and left the other half where it is.
//!
//! R_l = (½·Ā_l + ½·I)·R_{l−1}, R_0 = I, Ā_l the mean over the heads. With a null option, what goes to nothing is lost.
//!
//! Heads are added up while the kernel shows their rows: no map of a single head is held. The sums are in fixed point,
//! in which the order of additions, and so the number of threads, changes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use attnlab_hooks::{NoHooks, Observer, Point, Want};
use attnlab_model::Transformer;
use attnlab_ops::{self as ops, WatchRows, WatchedRow};
use candle_core::{Device, Tensor};
use serde::Serialize;

use super::error::{AnalysisError, Result};
use super::input::{Input, Loaded, positions_or_all};

/// One in fixed point: weights are at most 1, and sums at most the number of heads, which is below 2^15.
const ONE: f64 = (1u64 << 48) as f64;

/// Shares of information.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollout {
    /// The positions after the last block.
    pub rows: Vec<usize>,
    /// For each of them, the share of every position of the input. Shares sum to 1 without a null option.
    pub shares: Vec<Vec<f64>>,
}

/// The rollout of all positions. Holds three T×T matrices of f64, whatever the number of layers and heads, and
/// multiplies two of them a layer; a sequence of more than `limit` tokens is refused.
pub fn rollout(model: &Transformer, input: &Input, limit: usize) -> Result<Rollout> {
    let time = input.len();
    if time > limit {
        let remedy = "ask for some rows (`rollout_rows`), which hold rows×T";
        return Err(AnalysisError::TooLong { what: "a rollout", len: time, limit, remedy });
    }
    let loaded = input.load(model)?;
    let mut stream = ops::without_gradients(|| model.enter(&loaded.pass(), &mut NoHooks))?;
    let mut shares: Option<Tensor> = None; // (T, T)
    for layer in 0..model.config().architecture.n_layers {
        let sums = cells(time * time);
        let add = |row: &WatchedRow<'_>| add_row(&sums[row.row * time + row.first..], row.weights, 1.0);
        stream = watched(model, layer, &stream, &loaded, &add)?;
        let mut mixed = read(&sums, model);
        (0..time).for_each(|i| mixed[i * time + i] += 0.5);
        let mixed = Tensor::from_vec(mixed, (time, time), &Device::Cpu)?;
        shares = Some(match shares {
            Some(before) => mixed.matmul(&before)?,
            None => mixed,
        });
    }
    let shares = shares.ok_or(AnalysisError::Empty { what: "blocks" })?.to_vec2()?;
    Ok(Rollout { rows: (0..time).collect(), shares })
}

/// The rollout of some positions, to the numbers of [`rollout()`]: from the last block back, so that only those rows are
/// held, and what enters each block (T×D). Any length will do.
pub fn rollout_rows(model: &Transformer, input: &Input, rows: &[usize]) -> Result<Rollout> {
    let time = input.len();
    let rows = positions_or_all(Some(rows), time)?;
    let loaded = input.load(model)?;
    let n_layers = model.config().architecture.n_layers;
    let mut streams = Vec::with_capacity(n_layers);
    let mut stream = ops::without_gradients(|| model.enter(&loaded.pass(), &mut NoHooks))?;
    for layer in 0..n_layers {
        streams.push(stream.clone());
        if layer + 1 < n_layers {
            let (one, tokens) = (layer..layer + 1, &loaded.tokens);
            stream = ops::without_gradients(|| model.through(one, &stream, tokens, &mut NoHooks))?;
        }
    }
    let mut shares = vec![0.0; rows.len() * time];
    rows.iter().enumerate().for_each(|(r, &at)| shares[r * time + at] = 1.0);
    for (layer, stream) in streams.iter().enumerate().rev() {
        let sums = cells(rows.len() * time);
        let add = |row: &WatchedRow<'_>| {
            for r in 0..rows.len() {
                let share = shares[r * time + row.row];
                if share > 0.0 {
                    add_row(&sums[r * time + row.first..], row.weights, share);
                }
            }
        };
        watched(model, layer, stream, &loaded, &add)?;
        let moved = read(&sums, model);
        shares.iter_mut().zip(moved).for_each(|(share, moved)| *share = 0.5 * *share + moved);
    }
    Ok(Rollout { shares: shares.chunks(time).map(<[f64]>::to_vec).collect(), rows })
}

fn cells(count: usize) -> Vec<AtomicU64> {
    std::iter::repeat_with(AtomicU64::default).take(count).collect()
}

fn add_row(sums: &[AtomicU64], weights: &[f32], factor: f64) {
    for (sum, &weight) in sums.iter().zip(weights) {
        sum.fetch_add((f64::from(weight) * factor * ONE).round() as u64, Ordering::Relaxed);
    }
}

/// Half the mean over the heads.
fn read(sums: &[AtomicU64], model: &Transformer) -> Vec<f64> {
    let scale = 0.5 / (ONE * model.config().architecture.n_heads as f64);
    sums.iter().map(|sum| sum.load(Ordering::Relaxed) as f64 * scale).collect()
}

/// One block, with the rows of its pattern shown to `see`.
fn watched(
    model: &Transformer,
    layer: usize,
    stream: &Tensor,
    loaded: &Loaded,
    see: &(dyn Fn(&WatchedRow<'_>) + Sync),
) -> Result<Tensor> {
    let through = || model.through(layer..layer + 1, stream, &loaded.tokens, &mut Watcher(see));
    Ok(ops::without_gradients(through)?)
}

struct Watcher<'a>(&'a (dyn Fn(&WatchedRow<'_>) + Sync));

impl WatchRows for Watcher<'_> {
    fn row(&self, row: &WatchedRow<'_>) {
        (self.0)(row);
    }
}

impl Observer for Watcher<'_> {
    fn wants(&self, _: Point) -> Want<'_> {
        Want::Nothing
    }

    fn see(&mut self, _: Point, _: &Tensor) -> attnlab_hooks::Result<Option<Tensor>> {
        Ok(None)
    }

    fn watches(&self, _: usize) -> Option<Box<dyn WatchRows + '_>> {
        Some(Box::new(Watcher(self.0)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_hooks::Site;
    use attnlab_model::{Architecture, Mask, NullOption};
    use attnlab_ops::{Threads, on_threads};

    use super::super::testing::{activation, build, config, input, rows, small};
    use super::*;

    fn materialised(model: &Transformer, text: &Input) -> Vec<Vec<f64>> {
        let time = text.len();
        let unit = |i: usize, j: usize| f64::from(u8::from(i == j));
        let mut product: Vec<Vec<f64>> = (0..time).map(|i| (0..time).map(|j| unit(i, j)).collect()).collect();
        for layer in 0..3 {
            let mean = activation(model, text, Point::block(Site::Pattern, layer)).mean(0).unwrap();
            let mean = rows(&mean);
            let cell = |i: usize, j: usize| -> f64 {
                (0..time).map(|k| 0.5 * (mean[i][k] + unit(i, k)) * product[k][j]).sum()
            };
            product = (0..time).map(|i| (0..time).map(|j| cell(i, j)).collect()).collect();
        }
        product
    }

    #[test]
    fn a_rollout_is_the_product_of_the_mixed_maps_whole_or_by_rows() {
        let null = Architecture { null_option: NullOption::Zero, ..small() };
        for (architecture, kind, mask) in [
            (small(), "rope", Mask::Causal),
            (null, "alibi", Mask::Causal),
            (small(), "t5", Mask::Bidirectional),
            (small(), "disentangled", Mask::Bidirectional),
        ] {
            let mut config = config(architecture, kind);
            config.mask = mask;
            let model = build(&config);
            let text = input(3, 7);
            let expected = materialised(&model, &text);
            let whole = rollout(&model, &text, 7).unwrap();
            let some = rollout_rows(&model, &text, &[6, 2]).unwrap();
            assert_eq!(some.rows, [6, 2]);
            let near = |found: &[f64], expected: &[f64]| {
                assert!(
                    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
                    "{found:?} {expected:?}"
                );
            };
            (0..7).for_each(|i| near(&whole.shares[i], &expected[i]));
            near(&some.shares[0], &expected[6]);
            near(&some.shares[1], &expected[2]);
            for count in [2, 3] {
                on_threads(&Threads::new(count).unwrap(), || {
                    assert_eq!(rollout(&model, &text, 7).unwrap(), whole);
                });
            }
        }
    }

    #[test]
    fn a_sequence_beyond_the_limit_is_refused_with_the_way_out() {
        let model = build(&config(small(), "rope"));
        let error = rollout(&model, &input(3, 7), 6).unwrap_err().to_string();
        assert!(error.contains("7×7") && error.contains("rollout_rows"), "{error}");
        assert!(rollout_rows(&model, &input(3, 7), &[7]).is_err());
    }
}
