//! What goes over rows: norms, softmax, losses, embeddings and rotations.

use attnlab_ops::{
    RotaryLayout, binary_cross_entropy, cross_entropy, embedding, layer_norm, rms_norm, rotate, softmax,
};
use candle_core::{DType, Tensor};
use criterion::{Criterion, Throughput};

use crate::{both_ways, ids, random};

const ROWS: usize = 256;
const WIDTHS: [usize; 3] = [64, 256, 1024];
/// Classes: bytes, and the vocabulary of GPT-2.
const CLASSES: [usize; 2] = [256, 50257];
const EPS: f64 = 1e-5;

pub(crate) fn bench(criterion: &mut Criterion) {
    norms(criterion);
    losses(criterion);
    lookup(criterion);
    rotation(criterion);
}

fn norms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layer_norm");
    for width in WIDTHS {
        group.throughput(Throughput::Elements((ROWS * width) as u64));
        let inputs = [random("x", &[ROWS, width]), random("weight", &[width]), random("bias", &[width])];
        both_ways(&mut group, width, &inputs, |x| layer_norm(&x[0], &x[1], Some(&x[2]), EPS));
    }
    group.finish();
    let mut group = criterion.benchmark_group("rms_norm");
    for width in WIDTHS {
        group.throughput(Throughput::Elements((ROWS * width) as u64));
        let inputs = [random("x", &[ROWS, width]), random("weight", &[width])];
        both_ways(&mut group, width, &inputs, |x| rms_norm(&x[0], &x[1], EPS));
    }
    group.finish();
    let mut group = criterion.benchmark_group("softmax");
    for width in WIDTHS {
        group.throughput(Throughput::Elements((ROWS * width) as u64));
        both_ways(&mut group, width, &[random("x", &[ROWS, width])], |x| softmax(&x[0]));
    }
    group.finish();
}

fn losses(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cross_entropy");
    for classes in CLASSES {
        group.throughput(Throughput::Elements((ROWS * classes) as u64));
        let targets = ids("targets", &[ROWS], classes as u32);
        both_ways(&mut group, classes, &[random("logits", &[ROWS, classes])], |x| {
            cross_entropy(&x[0], &targets)
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("binary_cross_entropy");
    let (dims, count) = ([ROWS, 8], ROWS * 8);
    group.throughput(Throughput::Elements(count as u64));
    let labels = ids("labels", &dims, 2).to_dtype(DType::F32).unwrap();
    let mask = Tensor::ones(ROWS, DType::F32, labels.device()).unwrap();
    both_ways(&mut group, 8, &[random("logits", &dims)], |x| binary_cross_entropy(&x[0], &labels, &mask));
    group.finish();
}

fn lookup(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("embedding");
    for width in WIDTHS {
        group.throughput(Throughput::Elements((ROWS * width) as u64));
        let tokens = ids("tokens", &[4, ROWS / 4], 256);
        both_ways(&mut group, width, &[random("table", &[256, width])], |x| embedding(&tokens, &x[0]));
    }
    group.finish();
}

fn rotation(criterion: &mut Criterion) {
    let (batch, len, heads, width) = (4, 64, 4, 32);
    let mut group = criterion.benchmark_group("rotate");
    group.throughput(Throughput::Elements((batch * len * heads * width) as u64));
    let (cos, sin) = (random("cos", &[1, len, width / 2]), random("sin", &[1, len, width / 2]));
    let inputs = [random("x", &[batch, len, heads, width])];
    for (name, layout) in
        [("half_split", RotaryLayout::HalfSplit), ("interleaved", RotaryLayout::Interleaved)]
    {
        both_ways(&mut group, name, &inputs, |x| rotate(&x[0], &cos, &sin, layout));
    }
    group.finish();
}
