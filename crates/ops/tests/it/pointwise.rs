//! Activations, softmax, dropout.

use crate::check::{CPU, bits, check, difference, random, values};
use attnlab_ops::{
    Activation, Result, Streams, activate, composed, dropout, gated, linear_activation, softmax,
};
use candle_core::{DType, Tensor, Var};

type Function = fn(&Tensor) -> Result<Tensor>;

const ACTIVATIONS: [(&str, Function, Function); 7] = [
    ("gelu", |x| activate(x, Activation::Gelu), composed::gelu),
    ("gelu_erf", |x| activate(x, Activation::GeluErf), composed::gelu_erf),
    ("silu", |x| activate(x, Activation::Silu), composed::silu),
    ("relu", |x| activate(x, Activation::Relu), composed::relu),
    ("quick_gelu", |x| activate(x, Activation::QuickGelu), composed::quick_gelu),
    ("relu_squared", |x| activate(x, Activation::ReluSquared), composed::relu_squared),
    ("tanh", |x| activate(x, Activation::Tanh), composed::tanh),
];

const KINDS: [Activation; 7] = [
    Activation::Gelu,
    Activation::GeluErf,
    Activation::Silu,
    Activation::Relu,
    Activation::QuickGelu,
    Activation::ReluSquared,
    Activation::Tanh,
];

#[test]
fn activations_equal_their_composed_forms() {
    for (name, fused, reference) in ACTIVATIONS {
        for dims in [vec![1], vec![3, 5], vec![2, 3, 37]] {
            let x = (random(name, &dims) * 3.0).unwrap();
            check(name, &|x| fused(&x[0]), &|x| reference(&x[0]), &[x]);
        }
    }
}

#[test]
fn activations_and_softmax_read_transposed_inputs() {
    let x = random("transposed", &[7, 19]);
    for (name, fused, reference) in ACTIVATIONS {
        let f = move |x: &[Tensor]| fused(&x[0].t()?);
        let r = move |x: &[Tensor]| reference(&x[0].t()?.contiguous()?);
        check(name, &f, &r, std::slice::from_ref(&x));
    }
    let f = |x: &[Tensor]| softmax(&x[0].t()?);
    let r = |x: &[Tensor]| composed::softmax(&x[0].t()?.contiguous()?);
    check("softmax", &f, &r, &[x]);
}

#[test]
fn gated_products_and_activated_linear_maps_equal_their_composed_forms() {
    for (kind, (name, _, reference)) in KINDS.into_iter().zip(ACTIVATIONS) {
        let inputs = [random("gate", &[3, 37]), random("up", &[3, 37])];
        check(name, &|x| gated(&x[0], &x[1], kind), &|x| reference(&x[0])? * &x[1], &inputs);
        for rows in [1, 7, 130] {
            let inputs = [random("x", &[rows, 5]), random("w", &[19, 5]), random("b", &[19])];
            let fused = |x: &[Tensor]| linear_activation(&x[0], &x[1], Some(&x[2]), kind);
            check(name, &fused, &|x| reference(&composed::linear(&x[0], &x[1], Some(&x[2]))?), &inputs);
            let fused = |x: &[Tensor]| linear_activation(&x[0], &x[1], None, kind);
            check(name, &fused, &|x| reference(&composed::linear(&x[0], &x[1], None)?), &inputs[..2]);
        }
    }
}

#[test]
fn training_and_evaluation_compute_the_same_bits() {
    let x = (random("x", &[3, 50]) * 8.0).unwrap().to_dtype(DType::F32).unwrap();
    let tracked = Var::from_tensor(&x).unwrap();
    for kind in KINDS {
        assert_eq!(bits(&activate(&x, kind).unwrap()), bits(&activate(&tracked, kind).unwrap()), "{kind:?}");
    }
}

#[test]
fn activations_pass_nan_and_infinity() {
    let x = Tensor::new(&[f32::NAN, f32::INFINITY, 50.0, -50.0, 0.0], &CPU).unwrap();
    for (name, fused, _) in &ACTIVATIONS[..5] {
        let var = Var::from_tensor(&x).unwrap();
        let y = fused(&var).unwrap();
        let got = values(&y);
        assert!(got[0].is_nan(), "{name}");
        assert_eq!(got[1], f64::INFINITY, "{name}");
        assert_eq!(got[2], 50.0, "{name}");
        assert!(got[3].abs() < 1e-20, "{name}");
        assert_eq!(got[4], 0.0, "{name}");
        let grads = y.sum_all().unwrap().backward().unwrap();
        let slope = values(grads.get(&var).unwrap());
        assert!(slope[0].is_nan(), "{name}");
        assert_eq!(slope[2], 1.0, "{name}");
        assert!(slope[3].abs() < 1e-19, "{name}");
    }
}

#[test]
fn slopes_are_flat_far_out_and_never_hide_a_nan() {
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    let inputs = [low, f32::MIN, -1e20, -1e3, 1e3, 1e20, f32::MAX, high, f32::NAN];
    for dtype in [DType::F32, DType::F64] {
        let x = Tensor::new(&inputs, &CPU).unwrap().to_dtype(dtype).unwrap();
        for (name, fused, _) in &ACTIVATIONS[..5] {
            let var = Var::from_tensor(&x).unwrap();
            // Σ y is not a number; the slopes do not depend on it.
            let grads = fused(&var).unwrap().sum_all().unwrap().backward().unwrap();
            let slope = values(grads.get(&var).unwrap());
            assert_eq!(slope[..8], [0., 0., 0., 0., 1., 1., 1., 1.], "{name} {dtype:?}");
            assert!(slope[8].is_nan(), "{name} {dtype:?}");
        }
    }
}

#[test]
fn a_squared_and_a_bounded_activation_have_their_limits() {
    let x = Tensor::new(&[f32::NAN, f32::NEG_INFINITY, -1e30, 0.0, 1e3, f32::INFINITY], &CPU).unwrap();
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    for (kind, value, slope) in [
        (Activation::ReluSquared, [nan, 0., 0., 0., 1e6, inf], [nan, 0., 0., 0., 2e3, inf]),
        (Activation::Tanh, [nan, -1., -1., 0., 1., 1.], [nan, 0., 0., 1., 0., 0.]),
    ] {
        let var = Var::from_tensor(&x).unwrap();
        let y = activate(&var, kind).unwrap();
        let grads = y.sum_all().unwrap().backward().unwrap();
        let slopes = values(grads.get(&var).unwrap());
        assert_eq!(values(&y)[1..], value[1..], "{kind:?}");
        assert_eq!(slopes[1..], slope[1..], "{kind:?}");
        assert!(values(&y)[0].is_nan() && slopes[0].is_nan(), "{kind:?}");
    }
}

#[test]
fn softmax_equals_its_composed_form() {
    for dims in [vec![1], vec![4, 1], vec![2, 3, 17], vec![2, 100]] {
        let x = (random("softmax", &dims) * 5.0).unwrap();
        check("softmax", &|x| softmax(&x[0]), &|x| composed::softmax(&x[0]), &[x]);
    }
}

#[test]
fn softmax_handles_hidden_and_broken_scores() {
    let (low, nan) = (f32::NEG_INFINITY, f32::NAN);
    let x = Tensor::new(&[[low, 1.0, 1.0], [low, low, low], [0.0, nan, 0.0]], &CPU).unwrap();
    for f in [softmax as Function, composed::softmax] {
        let p = values(&f(&x).unwrap());
        assert_eq!(p[..6], [0.0, 0.5, 0.5, 0.0, 0.0, 0.0]);
        assert!(p[6..].iter().all(|p| p.is_nan()));
    }
    let huge = Tensor::new(&[[3e38f32, 3e38, -3e38]], &CPU).unwrap();
    assert_eq!(values(&softmax(&huge).unwrap()), [0.5, 0.5, 0.0]);
}

#[test]
fn dropout_keeps_the_mean_and_its_gradient_is_its_mask() {
    let x = Var::from_tensor(&Tensor::ones((100, 200), DType::F32, &CPU).unwrap()).unwrap();
    let y = dropout(&x, 0.25, &mut Streams::new(1).rng("dropout", 0)).unwrap();
    let kept = values(&y).iter().filter(|&&y| y != 0.0).count();
    // 20000 coins of 0.75: five standard deviations are 306.
    assert!((14_694..=15_306).contains(&kept), "{kept}");
    assert!(values(&y).iter().all(|&y| y == 0.0 || (y - 4.0 / 3.0).abs() < 1e-6));
    let grads = y.sum_all().unwrap().backward().unwrap();
    assert_eq!(bits(grads.get(&x).unwrap()), bits(&y));
    let again = dropout(&x, 0.25, &mut Streams::new(1).rng("dropout", 0)).unwrap();
    assert_eq!(bits(&again), bits(&y));
    let other = dropout(&x, 0.25, &mut Streams::new(1).rng("dropout", 1)).unwrap();
    assert!(difference(&other, &y) > 0.5);
}

#[test]
fn dropout_refuses_what_is_no_probability_and_zero_changes_nothing() {
    let x = random("dropout", &[3]);
    let mut rng = Streams::new(0).rng("dropout", 0);
    for p in [-0.1, 1.0, f64::NAN] {
        assert!(dropout(&x, p, &mut rng).is_err());
    }
    assert_eq!(bits(&dropout(&x, 0.0, &mut rng).unwrap()), bits(&x));
}
