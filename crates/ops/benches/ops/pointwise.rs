//! What goes over elements: activations and dropout.

use attnlab_ops::{Activation, Streams, activate, dropout, gated};
use criterion::{Criterion, Throughput};

use crate::{both_ways, random};

/// The hidden layer of an MLP of width 256, over the tokens of a micro-batch.
const DIMS: [usize; 2] = [256, 1024];

pub(crate) fn bench(criterion: &mut Criterion) {
    let elements = Throughput::Elements(DIMS.iter().product::<usize>() as u64);
    // Over four standard deviations of what a norm leaves.
    let x = [(random("x", &DIMS) * 4.0).unwrap()];
    let activations = [
        ("gelu", Activation::Gelu),
        ("gelu_erf", Activation::GeluErf),
        ("silu", Activation::Silu),
        ("relu", Activation::Relu),
    ];
    let mut group = criterion.benchmark_group("activation");
    group.throughput(elements.clone());
    for (name, activation) in activations {
        both_ways(&mut group, name, &x, |x| activate(&x[0], activation));
    }
    group.finish();

    let mut group = criterion.benchmark_group("gated");
    group.throughput(elements.clone());
    let both = [x[0].clone(), random("up", &DIMS)];
    both_ways(&mut group, "silu", &both, |x| gated(&x[0], &x[1], Activation::Silu));
    group.finish();

    let mut group = criterion.benchmark_group("dropout");
    group.throughput(elements);
    both_ways(&mut group, "p=0.1", &x, |x| dropout(&x[0], 0.1, &mut Streams::new(0).rng("dropout", 0)));
    group.finish();
}
