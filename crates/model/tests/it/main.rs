//! Facts about the one transformer.
#![allow(clippy::unwrap_used)]

mod attention;
mod cache;
mod forms;
mod generate;
mod gradients;
mod hooks;
mod no_skip;
mod nope;
mod order;
mod positions;
mod stages;

use attnlab_model::{Architecture, Details, Initialisation, Mask, ModelConfig, Transformer};
use attnlab_ops::{Parameters, Streams};
use attnlab_positions::PositionConfig;
use candle_core::{DType, Device, Tensor};
use rand::Rng as _;

/// A small architecture: D 8, two blocks, four heads of two dimensions.
fn small() -> Architecture {
    let init = Initialisation::Torch;
    Architecture { d_model: 8, n_layers: 2, n_heads: 4, init, ..Architecture::default() }
}

/// A model of 11 tokens and 5 outputs.
fn config(architecture: Architecture, position: PositionConfig, mask: Mask) -> ModelConfig {
    ModelConfig {
        vocab_size: 11,
        n_outputs: 5,
        max_len: 16,
        mask,
        position,
        architecture,
        details: Details::default(),
    }
}

fn build(config: &ModelConfig, dtype: DType) -> (Transformer, Parameters) {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(7), dtype, &Device::Cpu);
    (Transformer::new(config, vb).unwrap(), parameters)
}

fn tokens(rows: usize, len: usize) -> Tensor {
    let mut rng = Streams::new(1).rng("tokens", 0);
    let ids: Vec<u32> = (0..rows * len).map(|_| rng.random_range(0..11)).collect();
    Tensor::from_vec(ids, (rows, len), &Device::Cpu).unwrap()
}

/// Every encoding of the registry in its default form, and the variants that take another path through the model.
fn positions() -> Vec<PositionConfig> {
    let variants = [
        r#"{"learned":{"random_offset":true,"max_len":40}}"#,
        r#"{"sinusoidal":{"align":"end"}}"#,
        r#"{"rope":{"layout":"interleaved"}}"#,
        r#"{"windowed":{"window":2,"over":{"t5":{}}}}"#,
        r#"{"windowed":{"window":2,"over":{"randomised":{"length":40,"over":{"sinusoidal":{}}}}}}"#,
        r#"{"offset":{"max_len":40,"over":{"learned":{}}}}"#,
        r#"{"abacus":{"digits":[2,7],"over":{"windowed":{"window":3,"over":{"fire":{}}}}}}"#,
        r#"{"log_n":{"over":{"windowed":{"window":3,"over":{"disentangled":{}}}}}}"#,
        r#"{"abacus":{"digits":[2,7],"max_offset":1,"over":{"pose":{"over":{"rope":{}}}}}}"#,
    ];
    let defaults = attnlab_positions::registry().iter().map(|info| position(info.kind));
    defaults.chain(variants.iter().map(|text| serde_json::from_str(text).unwrap())).collect()
}

fn position(kind: &str) -> PositionConfig {
    serde_json::from_str(&format!(r#"{{"{kind}":{{}}}}"#)).unwrap()
}

/// The masks that an encoding can do with: some count from a key up to the query.
fn masks(position: &PositionConfig) -> Vec<Mask> {
    let possible = |mask: &Mask| config(small(), position.clone(), *mask).validate().is_ok();
    [Mask::Causal, Mask::Bidirectional].into_iter().filter(possible).collect()
}

fn bits(t: &Tensor) -> Vec<u32> {
    t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}
