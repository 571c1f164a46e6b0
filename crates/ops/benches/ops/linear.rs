//! `y = f(x Wᵀ + b)`, in the shapes of a block of width 64, 128 and 256.

use attnlab_ops::{Activation, linear, linear_activation};
use criterion::{Criterion, Throughput};

use crate::{both_ways, random};

/// Tokens of a micro-batch N.
const ROWS: usize = 256;
/// (In, Out): queries, keys and values of one product, then up and down of the MLP.
const SHAPES: [(usize, usize); 7] =
    [(64, 192), (64, 256), (256, 64), (128, 512), (512, 128), (256, 1024), (1024, 256)];

pub(crate) fn bench(criterion: &mut Criterion) {
    for (name, biased, activated) in
        [("linear/plain", false, false), ("linear/bias", true, false), ("linear/gelu", true, true)]
    {
        let mut group = criterion.benchmark_group(name);
        for (inner, out) in SHAPES {
            // Of the forward pass; the backward pass has twice as many.
            group.throughput(Throughput::Elements((2 * ROWS * inner * out) as u64));
            let mut inputs = vec![random("x", &[ROWS, inner]), random("weight", &[out, inner])];
            if biased {
                inputs.push(random("bias", &[out]));
            }
            both_ways(&mut group, format!("{ROWS}x{inner}x{out}"), &inputs, |x| match activated {
                false => linear(&x[0], &x[1], x.get(2)),
                true => linear_activation(&x[0], &x[1], x.get(2), Activation::Gelu),
            });
        }
        group.finish();
    }
}
