//! Seeded parameters and their gradients.

use crate::check::{CPU, bits, values};
use attnlab_ops::{Gradients, Parameters, Streams};
use candle_core::{DType, Tensor};
use candle_nn::Init;
use candle_nn::init::{FanInOut, NonLinearity, NormalOrUniform};
use std::collections::HashMap;

const NORMAL: Init = Init::Randn { mean: 1.0, stdev: 0.5 };

fn made(seed: u64, names: &[&str]) -> Parameters {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(seed), DType::F32, &CPU);
    for name in names {
        vb.pp("block").get_with_hints((40, 50), name, NORMAL).unwrap();
    }
    parameters
}

#[test]
fn the_same_name_gets_the_same_values_in_any_order_and_company() {
    let a = made(1, &["a", "b", "c"]).vars();
    let b = made(1, &["c", "a"]).vars();
    assert_eq!(a.iter().map(|v| v.0.as_str()).collect::<Vec<_>>(), ["block.a", "block.b", "block.c"]);
    assert_eq!(bits(&a[0].1), bits(&b[0].1));
    assert_eq!(bits(&a[2].1), bits(&b[1].1));
    assert_ne!(bits(&a[0].1), bits(&a[1].1));
    assert_ne!(bits(&a[0].1), bits(&made(2, &["a"]).vars()[0].1));
}

#[test]
fn asking_twice_gives_the_same_variable_and_another_shape_is_refused() {
    let parameters = made(1, &["a"]);
    let vb = parameters.seeded(Streams::new(9), DType::F32, &CPU);
    let again = vb.get_with_hints((40, 50), "block.a", NORMAL).unwrap();
    assert_eq!(bits(&again), bits(&parameters.vars()[0].1));
    assert_eq!(parameters.count(), 2000);
    assert!(vb.get_with_hints((4, 50), "block.a", NORMAL).is_err());
    let double = parameters.seeded(Streams::new(9), DType::F64, &CPU);
    assert!(double.get_with_hints((40, 50), "block.a", NORMAL).is_err());
}

#[test]
fn every_kind_of_initialisation_has_its_distribution() {
    let kaiming = |dist| Init::Kaiming { dist, fan: FanInOut::FanIn, non_linearity: NonLinearity::ReLU };
    let deviation = (2.0f64 / 100.0).sqrt();
    let bound = 3f64.sqrt() * deviation;
    let third = |width: f64| width / 3f64.sqrt();
    for (init, mean, stdev, limit) in [
        (Init::Const(0.0), 0.0, 0.0, 0.0),
        (Init::Const(2.5), 2.5, 0.0, 2.5),
        (NORMAL, 1.0, 0.5, f64::INFINITY),
        (Init::Uniform { lo: -1.0, up: 3.0 }, 1.0, third(2.0), 3.0),
        (kaiming(NormalOrUniform::Normal), 0.0, deviation, f64::INFINITY),
        (kaiming(NormalOrUniform::Uniform), 0.0, third(bound), bound),
    ] {
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(5), DType::F64, &CPU);
        let x = values(&vb.get_with_hints((201, 100), "x", init).unwrap());
        let n = x.len() as f64;
        let got_mean = x.iter().sum::<f64>() / n;
        let got = (x.iter().map(|x| (x - got_mean).powi(2)).sum::<f64>() / n).sqrt();
        // Five standard errors of a mean of 20100.
        assert!((got_mean - mean).abs() <= 0.036 * stdev + 1e-12, "{init:?}: mean {got_mean}");
        assert!((got - stdev).abs() <= 0.03 * stdev + 1e-12, "{init:?}: deviation {got}");
        assert!(x.iter().all(|x| x.abs() <= limit), "{init:?}");
        if stdev > 0.0 && limit.is_infinite() {
            let beyond = x.iter().filter(|x| (*x - mean).abs() > 2.0 * stdev).count() as f64 / n;
            assert!((beyond - 0.0455).abs() < 0.008, "{init:?}: {beyond} beyond two deviations");
        }
    }
}

#[test]
fn loading_wants_exactly_the_names_and_shapes_and_changes_nothing_otherwise() {
    let parameters = made(1, &["a", "b"]);
    let before = bits(&parameters.vars()[0].1);
    let ones = Tensor::ones((40, 50), DType::F32, &CPU).unwrap();
    let map = |entries: &[(&str, &Tensor)]| -> HashMap<String, Tensor> {
        entries.iter().map(|(n, t)| (n.to_string(), (*t).clone())).collect()
    };
    let error = parameters.load(&map(&[("block.a", &ones), ("block.z", &ones)])).unwrap_err().to_string();
    assert!(error.contains("block.b") && error.contains("block.z"), "{error}");
    let turned = ones.t().unwrap();
    assert!(parameters.load(&map(&[("block.a", &ones), ("block.b", &turned)])).is_err());
    assert_eq!(bits(&parameters.vars()[0].1), before);
    parameters.load(&map(&[("block.a", &ones), ("block.b", &ones)])).unwrap();
    assert!(values(&parameters.vars()[1].1).iter().all(|&x| x == 1.0));
    // A variable's own tensors are a valid source.
    let own: HashMap<String, Tensor> =
        parameters.vars().into_iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
    parameters.load(&own).unwrap();
}

/// Gradients of `Σ c x²` for every parameter.
fn gradients(parameters: &Parameters, c: f64) -> Gradients {
    let mut loss = Tensor::new(0f32, &CPU).unwrap();
    for (_, var) in parameters.vars() {
        loss = (loss + (var.sqr().unwrap() * c).unwrap().sum_all().unwrap()).unwrap();
    }
    Gradients::collect(parameters, &loss.backward().unwrap()).unwrap()
}

#[test]
fn gradients_add_scale_and_measure_in_place() {
    let parameters = made(3, &["a", "b"]);
    let mut sum = gradients(&parameters, 1.0);
    let single = values(&sum.tensors()[1]);
    sum.add(&gradients(&parameters, 2.0)).unwrap();
    sum.scale(0.5).unwrap();
    for (got, x) in values(&sum.tensors()[1]).iter().zip(&single) {
        assert!((got - 1.5 * x).abs() <= 1e-6 * x.abs());
    }
    let all: Vec<f64> = sum.tensors().iter().flat_map(values).collect();
    let exact = all.iter().map(|x| x * x).sum::<f64>().sqrt();
    assert!((sum.norm().unwrap() / exact - 1.0).abs() < 1e-12);
    assert!(sum.add(&gradients(&made(3, &["a"]), 1.0)).is_err());
}

#[test]
fn clipping_shrinks_long_gradients_only_and_returns_the_norm_before() {
    let parameters = made(3, &["a"]);
    let mut g = gradients(&parameters, 1.0);
    let norm = g.norm().unwrap();
    assert_eq!(g.clip(2.0 * norm).unwrap(), norm);
    assert_eq!(g.norm().unwrap(), norm);
    assert_eq!(g.clip(1.0).unwrap(), norm);
    assert!((g.norm().unwrap() - 1.0).abs() < 1e-5);
}

#[test]
fn a_parameter_outside_the_loss_is_named() {
    let parameters = made(3, &["a", "b"]);
    let loss = parameters.vars()[0].1.sum_all().unwrap();
    let error = Gradients::collect(&parameters, &loss.backward().unwrap()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("block.b") && !error.contains("block.a"), "{error}");
}
