//! Models with a planted failure: small ones whose weights are set by hand, and texts for them.
#![allow(clippy::unwrap_used)]

use attnlab_model::{Architecture, Details, Initialisation, Mask, ModelConfig, Transformer};
use attnlab_ops::{Parameters, Streams};
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

use super::{Case, Effort, Finding, examine, failures};
use crate::analysis::{Input, testing::position};

/// Width of the stream; two heads of eight dimensions.
pub(super) const D: usize = 16;
const V: usize = 20;
/// The channel in which the first token differs from all others.
pub(super) const MARK: usize = 3;

/// What becomes of a parameter: its name, its values row by row, the length of a row.
pub(super) type Edit<'e> = &'e dyn Fn(&str, &mut [f64], usize);

/// A causal model of so many blocks; token 0 is a vector along [`MARK`], which no other token has anything of.
pub(super) fn plant(n_layers: usize, encoding: &str, edit: Edit<'_>) -> Transformer {
    let architecture = Architecture {
        d_model: D,
        n_layers,
        n_heads: 2,
        init: Initialisation::Torch,
        ..Architecture::default()
    };
    let config = ModelConfig {
        vocab_size: V,
        n_outputs: V,
        max_len: 128,
        mask: Mask::Causal,
        position: position(encoding),
        architecture,
        details: Details::default(),
    };
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(5), DType::F64, &Device::Cpu);
    let model = Transformer::new(&config, vb).unwrap();
    for (name, var) in parameters.vars() {
        let row = *var.dims().last().unwrap();
        let mut values = var.as_tensor().flatten_all().unwrap().to_vec1::<f64>().unwrap();
        if name == "embed.weight" {
            for (token, row) in values.chunks_exact_mut(row).enumerate() {
                if token == 0 {
                    row.fill(0.0);
                }
                row[MARK] = if token == 0 { 5.0 } else { 0.0 };
                let mean = row.iter().sum::<f64>() / D as f64;
                let others = row.iter_mut().enumerate().filter(|(at, _)| token > 0 && *at != MARK);
                others.for_each(|(_, x)| *x -= mean * D as f64 / (D - 1) as f64);
            }
        }
        edit(&name, &mut values, row);
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
    model
}

/// Every query of every head of block 0 scores key 0 by `score` and all others by 0, whatever it asks.
pub(super) fn look_at_first(score: f64) -> impl Fn(&str, &mut [f64], usize) {
    move |name, values, row| match name {
        "blocks.0.attn.q.weight" | "blocks.0.attn.k.bias" => values.fill(0.0),
        // LayerNorm makes √(D − 1) of the mark; scores are divided by √8.
        "blocks.0.attn.q.bias" => {
            values.chunks_exact_mut(8).for_each(|head| {
                head.fill(0.0);
                head[0] = score * 8f64.sqrt() / ((D - 1) as f64).sqrt();
            });
        }
        "blocks.0.attn.k.weight" => {
            values.fill(0.0);
            values.chunks_exact_mut(8 * row).for_each(|head| head[MARK] = 1.0);
        }
        _ => {}
    }
}

/// `count` texts of `len` random tokens behind token 0.
pub(super) fn texts(count: usize, len: usize) -> Vec<Input> {
    let mut rng = Streams::new(1).rng("texts", len as u64);
    let mut text =
        || (0..len).map(|at| if at == 0 { 0 } else { rng.random_range(1..V as u32) }).collect::<Vec<_>>();
    (0..count).map(|_| Input::new(text())).collect()
}

/// What the doctor says of one failure mode.
pub(super) fn finding(model: &Transformer, texts: &[Input], name: &str) -> Finding {
    let case = Case::read(model, texts, Effort::default(), &|_, _, _| {}).unwrap();
    let failure: Vec<_> = failures().iter().copied().filter(|failure| failure.name == name).collect();
    examine(&case, &failure).unwrap().remove(0)
}
