//! One optimiser step, and what the training step does to gradients before it.

use attnlab_ops::{AdamW, AdamWConfig, Gradients, Parameters, Streams};
use candle_core::{DType, Device};
use candle_nn::Init;
use criterion::{BenchmarkId, Criterion, Throughput};

/// Scalars: what a core's cache holds, and what it does not.
const SCALARS: [usize; 2] = [100 << 10, 8 << 20];

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("adamw");
    for scalars in SCALARS {
        group.throughput(Throughput::Elements(scalars as u64));
        let (parameters, gradients) = trained(scalars);
        let mut optimizer = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
        group.bench_function(BenchmarkId::new("step", scalars), |b| {
            b.iter(|| optimizer.step(&gradients, 1e-3).unwrap());
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("gradients");
    for scalars in SCALARS {
        group.throughput(Throughput::Elements(scalars as u64));
        let (_, other) = trained(scalars);
        let (_, mut sum) = trained(scalars);
        group.bench_function(BenchmarkId::new("add", scalars), |b| b.iter(|| sum.add(&other).unwrap()));
        group.bench_function(BenchmarkId::new("norm", scalars), |b| b.iter(|| other.norm().unwrap()));
    }
    group.finish();
}

/// Parameters of as many scalars, in rows of 1024, and a gradient of each.
fn trained(scalars: usize) -> (Parameters, Gradients) {
    let parameters = Parameters::new();
    let builder = parameters.seeded(Streams::new(0), DType::F32, &Device::Cpu);
    let init = Init::Randn { mean: 0.0, stdev: 1.0 };
    let weight = builder.get_with_hints((scalars / 1024, 1024), "weight", init).unwrap();
    let store = weight.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let gradients = Gradients::collect(&parameters, &store).unwrap();
    (parameters, gradients)
}
