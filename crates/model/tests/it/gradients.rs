//! Gradient reaches every parameter of every variant: a cut would handicap one arm of an experiment silently.

use attnlab_hooks::NoHooks;
use attnlab_model::{
    Architecture, Clamp, Convolution, Counting, Details, Dropout, Experts, Factorised, HeadTransform, Layer,
    Mask, Mlp, ModelConfig, Norm, NormPlacement, NullOption, Over, Projected, QkNorm, Residual, Result,
};
use attnlab_ops::{self as ops, Gradients, Streams, Tape};
use attnlab_positions::Sequences;
use candle_core::{DType, Device, Tensor};

use crate::forms::forms;
use crate::{build, config, positions, small, tokens};

const MLPS: [Mlp; 7] = [Mlp::None, Mlp::Relu, Mlp::Gelu, Mlp::GeluErf, Mlp::Silu, Mlp::Swiglu, Mlp::Geglu];
const RARE_MLPS: [Mlp; 6] =
    [Mlp::GegluErf, Mlp::Reglu, Mlp::QuickGelu, Mlp::ReluSquared, Mlp::Tanh, Mlp::ClampedSwiglu];
const NORMS: [Norm; 3] = [Norm::None, Norm::Layer, Norm::Rms];
const PLACEMENTS: [NormPlacement; 3] = [NormPlacement::Pre, NormPlacement::Post, NormPlacement::Sandwich];
const NULLS: [NullOption; 3] = [NullOption::None, NullOption::Zero, NullOption::Learned];
const RESIDUALS: [Residual; 3] = [Residual::Sequential, Residual::Parallel, Residual::ParallelSharedNorm];

/// The product of norm, placement, residual, MLP and key/value heads; the switches take each value in turn.
fn architectures() -> Vec<Architecture> {
    let mut all = Vec::new();
    for norm in NORMS {
        for norm_placement in PLACEMENTS {
            for residual in RESIDUALS {
                for mlp in MLPS {
                    for n_kv_heads in [1, 2, 4] {
                        let turn = all.len();
                        let on = |bit: usize| (turn / 3) >> bit & 1 == 1;
                        let architecture = Architecture {
                            norm,
                            norm_placement,
                            residual,
                            mlp,
                            n_kv_heads: Some(n_kv_heads),
                            embedding_norm: on(0),
                            qk_norm: on(1),
                            qkv_bias: on(2),
                            out_bias: on(3),
                            mlp_bias: !on(1),
                            norm_bias: on(0),
                            head_bias: !on(2),
                            null_option: NULLS[turn % 3],
                            attention_dropout: if on(3) { 0.2 } else { 0.0 },
                            ..small()
                        };
                        if architecture.validate().is_ok() {
                            all.push(architecture);
                        }
                    }
                }
            }
        }
    }
    all
}

/// Every form of attention.
fn of_attention() -> impl Iterator<Item = (Architecture, Details)> {
    let heads = |architecture| Architecture { mlp: Mlp::Swiglu, norm: Norm::Rms, ..architecture };
    forms().into_iter().map(move |(_, architecture)| (heads(architecture), Details::default()))
}

/// What only pretrained models have, each once.
fn rare() -> Vec<(Architecture, Details)> {
    let plain = || Architecture { norm: Norm::Rms, mlp: Mlp::Swiglu, ..small() };
    // LayerNorm of two numbers is a step: wider heads.
    let qk = |norm, over, bias| Architecture {
        head_dim: Some(6),
        qk_norm: true,
        qk_norm_form: QkNorm { norm, over, bias },
        ..plain()
    };
    let window = |window| Layer { window: Some(window), ..Layer::default() };
    // As many as compute, so that every one does.
    let experts = |router_bias| Some(Experts { count: 2, per_token: 2, router_bias });
    let no_skip =
        |norm_placement, mlp| Architecture { residual: Residual::None, norm_placement, mlp, ..plain() };
    let head = |width, of_body| HeadTransform {
        width,
        bias: true,
        activation: Some(Mlp::Gelu),
        norm: true,
        of_body,
    };
    let factorised = |projected| Some(Factorised { width: 6, projected, bias: true });
    let mut all: Vec<(Architecture, Details)> = RARE_MLPS
        .into_iter()
        .map(|mlp| Architecture { mlp, ..plain() })
        .chain([
            qk(Norm::Layer, Over::Head, true),
            qk(Norm::Layer, Over::EachHead, false),
            qk(Norm::Rms, Over::AllHeads, false),
            Architecture { norm_placement: NormPlacement::Output, ..plain() },
            Architecture { norm_placement: NormPlacement::Normed, ..plain() },
            Architecture { attention_softcap: Some(0.5), logit_softcap: Some(2.0), ..plain() },
            Architecture { residual_scale: 0.5, logit_scale: 0.25, clip_qkv: Some(8.0), ..plain() },
            no_skip(NormPlacement::Pre, Mlp::None),
            no_skip(NormPlacement::Post, Mlp::Gelu),
            no_skip(NormPlacement::Sandwich, Mlp::Swiglu),
            no_skip(NormPlacement::Output, Mlp::Silu),
            no_skip(NormPlacement::Normed, Mlp::Gelu),
            Architecture { experts: experts(true), ..plain() },
            Architecture { experts: experts(false), mlp: Mlp::ClampedSwiglu, ..plain() },
            Architecture { mlp: Mlp::ClampedSwiglu, clamp: Clamp { limit: 0.2, gain: 3.0 }, ..plain() },
        ])
        .map(|architecture| (architecture, Details::default()))
        .collect();
    let first = Layer { attention_norm: false, attention_scale: Some(0.3), ..window(3) };
    let second = Layer { position: Some(crate::position("t5")), ..Layer::default() };
    all.extend(
        [
            Details { layers: vec![first, second], segments: 2, ..Details::default() },
            Details {
                factorised: factorised(Projected::AfterNorm),
                head_transform: Some(head(6, false)),
                ..Details::default()
            },
            Details {
                factorised: factorised(Projected::BeforePositions),
                head_transform: Some(head(6, true)),
                ..Details::default()
            },
            Details {
                factorised: factorised(Projected::BeforeNorm),
                segments: 2,
                convolution: Some(Convolution { kernel: 3, activation: Mlp::Tanh }),
                ..Details::default()
            },
            Details {
                counting: Counting::WithoutPadding { pad: 3 },
                no_final_norm: true,
                ..Details::default()
            },
        ]
        .map(|details| (plain(), details)),
    );
    all
}

fn scalar(x: &Tensor) -> f64 {
    x.to_scalar::<f64>().unwrap()
}

#[test]
fn every_parameter_of_every_variant_receives_gradient() {
    let (batch, device) = (tokens(2, 5), Device::Cpu);
    let targets = Tensor::new(&[0u32, 1, 2, 3, 4, 4, 3, 2, 1, 0], &device).unwrap();
    let architectures = architectures();
    assert!(architectures.len() > 250, "{}", architectures.len());
    let variants = architectures.into_iter().map(|architecture| (architecture, Details::default()));
    for (turn, (architecture, details)) in variants.chain(rare()).chain(of_attention()).enumerate() {
        for position in positions() {
            // A convolution sees ahead.
            let causal = turn % 2 == 0 && details.convolution.is_none();
            let mask = if causal { Mask::Causal } else { Mask::Bidirectional };
            let config =
                ModelConfig { details: details.clone(), ..config(architecture.clone(), position, mask) };
            if config.validate().is_err() {
                continue;
            }
            let (model, parameters) = build(&config, DType::F64);
            let ids = &batch.flatten_all().unwrap().to_vec1().unwrap();
            let of = Sequences { tokens: ids, rows: 2, len: 5 };
            let places = model.position().training_places(&of, &mut Streams::new(3).rng("places", 0));
            let masks = Dropout::new(Streams::new(8), 0);
            let loss = || -> Result<Tensor> {
                let hidden = model.hidden(&batch, &places, Some(&masks), &mut NoHooks)?;
                Ok(ops::cross_entropy(&model.logits(&hidden.flatten_to(1)?)?, &targets)?)
            };
            let mut gradients = Gradients::none(&parameters).unwrap();
            let value = Tape::new(&parameters).gradient(&mut gradients, loss);
            let value = value.unwrap_or_else(|e| panic!("{e}: {config:?}"));
            // Plain Candle operations and Candle's autograd find the same.
            let reference = ops::composed::only(loss).unwrap();
            assert!((scalar(&value) - scalar(&reference)).abs() < 1e-12, "{config:?}");
            let reference = Gradients::collect(&parameters, &reference.backward().unwrap()).unwrap();
            let size = reference.norm().unwrap();
            for (((name, _), gradient), reference) in
                parameters.vars().iter().zip(gradients.tensors()).zip(reference.tensors())
            {
                let error = scalar(&(gradient - reference).unwrap().abs().unwrap().max_all().unwrap());
                assert!(error < 1e-11 * size, "{name}: off by {error} of {size}: {config:?}");
                let norm = gradient.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(norm.is_finite(), "{name}: gradient is not finite: {config:?}");
                // Adding a constant to every key shifts a row's scores together, which softmax does not see.
                let invisible = name.ends_with("attn.k.bias");
                assert!(norm > 0.0 || invisible, "{name}: gradient is zero: {config:?}");
            }
        }
    }
}

#[test]
fn tied_embeddings_receive_the_gradient_of_both_uses() {
    let architecture = Architecture { tie_embeddings: true, ..small() };
    let mut tied = config(architecture, crate::position("none"), Mask::Causal);
    tied.n_outputs = tied.vocab_size;
    let (model, parameters) = build(&tied, DType::F32);
    let logits = model.predict(&tokens(1, 3)).unwrap().flatten_to(1).unwrap();
    let targets = Tensor::new(&[1u32, 2, 3], &Device::Cpu).unwrap();
    let store = ops::cross_entropy(&logits, &targets).unwrap().backward().unwrap();
    let gradients = Gradients::collect(&parameters, &store).unwrap();
    let names: Vec<String> = parameters.vars().into_iter().map(|(name, _)| name).collect();
    assert!(!names.iter().any(|name| name == "head.weight"));
    // As a head every row gets gradient; as an embedding alone only the rows of the tokens would.
    let index = names.iter().position(|name| name == "embed.weight").unwrap();
    let rows: Vec<f32> = gradients.tensors()[index].sqr().unwrap().sum(1).unwrap().to_vec1().unwrap();
    assert!(rows.iter().all(|&norm| norm > 0.0), "{rows:?}");
}

#[test]
fn the_gradient_of_a_whole_model_agrees_with_finite_differences() {
    let plain = Architecture { n_layers: 1, ..small() };
    let plain = positions().into_iter().map(|position| (plain.clone(), position));
    // At τ = −1 the first row, whose only weight is 1, stands on the edge of what has a slope.
    // The gradient of σReparam is that of constant singular vectors, which `spectral` tests by itself.
    let smooth = |text: &&str| !text.contains("tau = -1") && !text.contains("sigma");
    let forms = forms().into_iter().filter(|(text, _)| smooth(text));
    let forms = forms.flat_map(|(_, architecture)| {
        let architecture = Architecture { n_layers: 1, ..architecture };
        ["rope", "t5"].map(|kind| (architecture.clone(), crate::position(kind)))
    });
    for (architecture, position) in plain.chain(forms) {
        let config = config(architecture, position, Mask::Causal);
        let (model, parameters) = build(&config, DType::F64);
        let (batch, targets) = (tokens(1, 5), Tensor::new(&[0u32, 1, 2, 3, 4], &Device::Cpu).unwrap());
        let loss = || {
            let logits = model.predict(&batch).unwrap().flatten_to(1).unwrap();
            ops::cross_entropy(&logits, &targets).unwrap()
        };
        let gradients = Gradients::collect(&parameters, &loss().backward().unwrap()).unwrap();
        for ((name, var), gradient) in parameters.vars().iter().zip(gradients.tensors()) {
            let before = var.as_tensor().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for i in (0..before.len()).step_by(before.len().div_ceil(3)) {
                let at = |shift: f64| {
                    let mut moved = before.clone();
                    moved[i] += shift;
                    var.set(&Tensor::from_vec(moved, var.shape(), &Device::Cpu).unwrap()).unwrap();
                    loss().to_scalar::<f64>().unwrap()
                };
                let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                at(0.0);
                let error = (slope - gradient[i]).abs() / (1.0 + slope.abs());
                assert!(error < 1e-7, "{name}[{i}]: {} is not {slope}: {config:?}", gradient[i]);
            }
        }
    }
}
