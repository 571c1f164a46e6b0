//! Time of each operation, forward and backward apart, at the sizes of a micro-batch.
//!
//! ```console
//! $ cargo bench -p attnlab-ops -- 'attention/causal'
//! ```
//! Every number is of one core. Throughput is in counted operations or in elements.
#![allow(clippy::unwrap_used)]

mod adamw;
mod attention;
mod linear;
mod pointwise;
mod rows;

use std::fmt::Display;
use std::time::Duration;

use attnlab_ops::{Result, Streams};
use candle_core::{Device, Tensor, Var};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, BenchmarkId, Criterion};
use rand::Rng as _;

// Not `criterion_main!`, whose functions carry no documentation.
fn main() {
    let criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    let mut criterion = criterion.configure_from_args();
    linear::bench(&mut criterion);
    attention::bench(&mut criterion);
    rows::bench(&mut criterion);
    pointwise::bench(&mut criterion);
    adamw::bench(&mut criterion);
    criterion.final_summary();
}

/// Values of either sign that no operation finds easy.
fn random(name: &str, dims: &[usize]) -> Tensor {
    let mut rng = Streams::new(5).rng(name, 0);
    let count = dims.iter().product();
    let values: Vec<f32> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

/// Ids below `below`.
fn ids(name: &str, dims: &[usize], below: u32) -> Tensor {
    let mut rng = Streams::new(5).rng(name, 0);
    let count = dims.iter().product();
    let ids: Vec<u32> = (0..count).map(|_| rng.random_range(0..below)).collect();
    Tensor::from_vec(ids, dims, &Device::Cpu).unwrap()
}

/// Measures `op` of plain tensors, and the backward pass from its result to every input.
fn both_ways(
    group: &mut BenchmarkGroup<'_, WallTime>,
    size: impl Display,
    inputs: &[Tensor],
    op: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    group.bench_function(BenchmarkId::new("forward", &size), |b| {
        b.iter_with_large_drop(|| op(inputs).unwrap());
    });
    let tracked: Vec<Tensor> =
        inputs.iter().map(|x| Var::from_tensor(x).unwrap().as_tensor().clone()).collect();
    group.bench_function(BenchmarkId::new("backward", &size), |b| {
        // A new result each time, as in training: the forward pass has just gone over the operands.
        b.iter_batched_ref(|| op(&tracked).unwrap(), |y| y.backward().unwrap(), BatchSize::PerIteration);
    });
}
