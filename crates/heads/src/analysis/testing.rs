//! Small models of many variants, and their activations as plain numbers.
#![allow(clippy::unwrap_used)]

use attnlab_hooks::{Capture, Point, Scope};
use attnlab_model::{Architecture, Details, Initialisation, Mask, ModelConfig, Pass, Transformer};
use attnlab_ops::{Parameters, Streams};
use attnlab_positions::PositionConfig;
use candle_core::{DType, Device, Tensor};

use super::Input;

/// Width of the stream.
pub(crate) const D: usize = 8;
/// Size of the vocabulary.
pub(crate) const V: usize = 11;

/// D 8, three blocks, four heads of two dimensions, norms and biases drawn too.
pub(crate) fn small() -> Architecture {
    let init = Initialisation::Torch;
    Architecture { d_model: D, n_layers: 3, n_heads: 4, n_kv_heads: Some(2), init, ..Architecture::default() }
}

pub(crate) fn position(kind: &str) -> PositionConfig {
    serde_json::from_str(&format!(r#"{{"{kind}":{{}}}}"#)).unwrap()
}

pub(crate) fn config(architecture: Architecture, kind: &str) -> ModelConfig {
    ModelConfig {
        vocab_size: V,
        n_outputs: V,
        max_len: 32,
        mask: Mask::Causal,
        position: position(kind),
        architecture,
        details: Details::default(),
    }
}

/// The model in f64 with every weight drawn, those of norms and biases too.
pub(crate) fn build(config: &ModelConfig) -> Transformer {
    build_in(config, DType::F64)
}

pub(crate) fn build_in(config: &ModelConfig, dtype: DType) -> Transformer {
    let parameters = Parameters::new();
    let model = Transformer::new(config, parameters.seeded(Streams::new(7), dtype, &Device::Cpu)).unwrap();
    for (at, (_, var)) in parameters.vars().into_iter().enumerate() {
        let wave = |i: usize| (1.7 * i as f64 + at as f64).sin() * 0.3;
        let shift = Tensor::from_vec(
            (0..var.elem_count()).map(wave).collect::<Vec<f64>>(),
            var.shape(),
            var.device(),
        );
        var.set(&(var.as_tensor() + shift.unwrap().to_dtype(dtype).unwrap()).unwrap()).unwrap();
    }
    model
}

pub(crate) fn input(seed: u32, len: usize) -> Input {
    Input::new((0..len as u32).map(|i| (i * i * 3 + i * seed + seed) % V as u32).collect::<Vec<u32>>())
}

/// The activation at a point of an unedited run, without its batch.
pub(crate) fn activation(model: &Transformer, input: &Input, point: Point) -> Tensor {
    let mut seen = Capture::new();
    seen.add(point, Scope::default()).unwrap();
    model.run(Pass::new(&tokens(input)), &mut seen).unwrap();
    seen.get(point).unwrap().squeeze(0).unwrap()
}

pub(crate) fn tokens(input: &Input) -> Tensor {
    Tensor::from_slice(&input.tokens, (1, input.len()), &Device::Cpu).unwrap()
}

/// A matrix as rows of f64.
pub(crate) fn rows(x: &Tensor) -> Vec<Vec<f64>> {
    x.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// ln softmax of each row.
pub(crate) fn log_softmax(logits: &Tensor) -> Vec<Vec<f64>> {
    let normalised = |row: Vec<f64>| {
        let sum: f64 = row.iter().map(|x| x.exp()).sum();
        row.iter().map(|x| x - sum.ln()).collect()
    };
    rows(logits).into_iter().map(normalised).collect()
}
