//! Attention under each mask, with and without a bias by distance.

use attnlab_ops::{AttentionSpec, DistanceBias, Extras, attention};
use criterion::{Criterion, Throughput};

use crate::{both_ways, random};

const HEADS: usize = 4;
const HEAD_WIDTH: usize = 32;
const WINDOW: usize = 32;
/// (B, T).
const SIZES: [(usize, usize); 3] = [(4, 64), (1, 256), (1, 2048)];

pub(crate) fn bench(criterion: &mut Criterion) {
    let scale = (HEAD_WIDTH as f64).powf(-0.5);
    let causal = AttentionSpec { scale, causal: true, window: None, softcap: None };
    let windowed = AttentionSpec { window: Some(WINDOW), ..causal };
    let full = AttentionSpec { causal: false, ..causal };
    let cases = [
        ("causal", causal, false),
        ("windowed", windowed, false),
        ("biased", causal, true),
        ("full", full, false),
    ];
    for (name, spec, biased) in cases {
        let mut group = criterion.benchmark_group(format!("attention/{name}"));
        for (batch, len) in SIZES {
            let inputs = ["q", "k", "v"].map(|name| random(name, &[batch, len, HEADS, HEAD_WIDTH]));
            let bias = biased.then(|| DistanceBias { values: random("bias", &[HEADS, len]), first: 0 });
            group.throughput(Throughput::Elements(operations(batch, len, &spec)));
            let extras = Extras { bias: bias.as_ref(), ..Extras::default() };
            both_ways(&mut group, format!("{batch}x{len}"), &inputs, |x| {
                attention(&x[0], &x[1], &x[2], &extras, &spec)
            });
        }
        group.finish();
    }
}

/// Of the two products of the forward pass, over the keys that are seen.
fn operations(batch: usize, len: usize, spec: &AttentionSpec) -> u64 {
    let seen: usize = (0..len).map(|row| spec.visible(row, len, len)).map(|(begin, end)| end - begin).sum();
    (4 * batch * HEADS * HEAD_WIDTH * seen) as u64
}
