//! What a tape finds against what Candle's autograd finds.

use attnlab_ops::{
    self as ops, Activation, AttentionSpec, Gradients, Packs, Parameters, Result, Streams, Tape,
};
use candle_core::{DType, Tensor};
use candle_nn::Init;
use std::collections::HashMap;
use std::sync::Arc;

use crate::check::{CPU, bits, difference, random, values};

const NORMAL: Init = Init::Randn { mean: 0.0, stdev: 0.5 };

/// Parameters a … of these shapes.
fn parameters(shapes: &[&[usize]]) -> (Parameters, Vec<Tensor>) {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(5), DType::F64, &CPU);
    let names = ["a", "b", "c", "d", "e"];
    let tensors =
        names.iter().zip(shapes).map(|(name, &shape)| vb.get_with_hints(shape, name, NORMAL).unwrap());
    let tensors = tensors.collect();
    (parameters, tensors)
}

/// The gradient of `loss` by Candle and by a tape, which must agree.
fn agree(parameters: &Parameters, loss: &dyn Fn() -> Result<Tensor>) -> Gradients {
    let expected = Gradients::collect(parameters, &loss().unwrap().backward().unwrap()).unwrap();
    let mut tape = Tape::new(parameters);
    let mut sum = Gradients::none(parameters).unwrap();
    let value = tape.gradient(&mut sum, loss).unwrap();
    assert_eq!(values(&value), values(&loss().unwrap()));
    for (got, expected) in sum.tensors().iter().zip(expected.tensors()) {
        let error = difference(got, expected);
        assert!(error < 1e-12, "off by {error}");
    }
    // Once more into the same sum, with the memory of the first time.
    tape.gradient(&mut sum, loss).unwrap();
    for (got, expected) in sum.tensors().iter().zip(expected.tensors()) {
        let error = difference(got, &(expected * 2.0).unwrap());
        assert!(error < 1e-12, "the second gradient is off by {error}");
    }
    // And with the memory of the forward pass as well, which changes no bit.
    let first = {
        sum.clear();
        tape.gradient(&mut sum, loss).unwrap();
        sum.tensors().iter().flat_map(bits).collect::<Vec<_>>()
    };
    let mut recycling = Tape::new(parameters).recycling();
    for _ in 0..3 {
        sum.clear();
        let value = recycling.gradient(&mut sum, loss).unwrap();
        assert_eq!(values(&value), values(&loss().unwrap()));
        assert_eq!(sum.tensors().iter().flat_map(bits).collect::<Vec<_>>(), first);
    }
    sum.clear();
    tape.gradient(&mut sum, loss).unwrap();
    for (got, expected) in sum.tensors().iter().zip(expected.tensors()) {
        assert!(difference(got, expected) < 1e-12, "a sum that was cleared kept something");
    }
    sum
}

#[test]
fn a_chain_of_fused_operations() {
    let (parameters, p) = parameters(&[&[6, 4], &[6], &[4, 6], &[4]]);
    let x = random("x", &[3, 4]);
    agree(&parameters, &|| {
        let h = ops::linear_activation(&x, &p[0], Some(&p[1]), Activation::Gelu)?;
        let y = ops::linear(&h, &p[2], None)?;
        let y = ops::layer_norm(&ops::add(&y, &x)?, &p[3], None, 1e-5)?;
        ops::cross_entropy(&y, &Tensor::new(&[0u32, 3, 1], &CPU)?)
    });
}

#[test]
fn a_tensor_used_more_than_once_gets_the_gradient_of_each_use() {
    let (parameters, p) = parameters(&[&[4, 4], &[4]]);
    let x = random("x", &[3, 4]);
    agree(&parameters, &|| {
        let h = ops::linear(&x, &p[0], Some(&p[1]))?;
        let twice = ops::add(&h, &h)?;
        let again = ops::gated(&h, &h, Activation::Silu)?;
        let tied = ops::linear(&again, &p[0], None)?; // the weight, a second time
        ops::softmax(&ops::add(&twice, &tied)?)?.sqr()?.sum_all()
    });
}

#[test]
fn candles_own_operations_may_stand_anywhere_between() {
    let (parameters, p) = parameters(&[&[4, 4], &[2, 4], &[4]]);
    let x = random("x", &[2, 3, 4]);
    agree(&parameters, &|| {
        let scaled = (&p[0] * 0.5)?.tanh()?; // of a parameter, before all
        let h = ops::linear(&x, &scaled, None)?;
        let h = h.broadcast_add(&p[1].narrow(0, 1, 1)?)?; // a view of a parameter
        let n = ops::rms_norm(&h, &p[2], 1e-6)?;
        let half = n.narrow(2, 0, 2)?; // one tensor by two routes of Candle's
        let sum = (half.sqr()? + n.narrow(2, 2, 2)?)?;
        let sum = ops::activate(&sum, Activation::GeluErf)?;
        let flat = ops::reshape(&sum, (6, 2))?;
        (ops::softmax(&flat)? * flat)?.mean_all()
    });
}

#[test]
fn attention_between_reshapes() {
    let (parameters, p) = parameters(&[&[8, 4], &[4, 4], &[4, 4], &[8, 8]]);
    let x = random("x", &[2, 5, 4]);
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    agree(&parameters, &|| {
        let q = ops::reshape(&ops::linear(&x, &p[0], None)?, (2, 5, 4, 2))?;
        let k = ops::reshape(&ops::linear(&x, &p[1], None)?, (2, 5, 2, 2))?;
        let v = ops::reshape(&ops::linear(&x, &p[2], None)?, (2, 5, 2, 2))?;
        let z = ops::attention(&q, &k, &v, &ops::Extras::default(), &spec)?;
        ops::linear(&ops::reshape(&z, (2, 5, 8))?, &p[3], None)?.sqr()?.sum_all()
    });
}

#[test]
fn two_tapes_give_the_same_bits() {
    let (parameters, p) = parameters(&[&[40, 33], &[33, 40]]);
    let x = random("x", &[70, 33]);
    let loss = || {
        let h = ops::linear_activation(&x, &p[0], None, Activation::Relu)?;
        ops::linear(&h, &p[1], None)?.sqr()?.sum_all()
    };
    let first = agree(&parameters, &loss);
    let second = agree(&parameters, &loss);
    for (a, b) in first.tensors().iter().zip(second.tensors()) {
        assert_eq!(bits(a), bits(b));
    }
}

#[test]
fn a_parameter_that_the_loss_does_not_reach_is_named() {
    let (parameters, p) = parameters(&[&[4, 4], &[4]]);
    let mut sum = Gradients::none(&parameters).unwrap();
    let mut tape = Tape::new(&parameters);
    let x = random("x", &[3, 4]);
    let error = tape.gradient(&mut sum, || ops::linear(&x, &p[0], None)?.sum_all()).unwrap_err();
    assert!(error.to_string().contains("\"b\""), "{error}");
    // A failed forward pass leaves the thread as it was.
    let failed = tape.gradient(&mut sum, || ops::linear(&x, &p[1], None));
    assert!(failed.is_err());
    agree(&parameters, &|| ops::linear(&x, &p[0], Some(&p[1]))?.sum_all());
}

#[test]
fn a_tape_within_a_tape_is_refused() {
    let (parameters, p) = parameters(&[&[4]]);
    let mut inner = Tape::new(&parameters);
    let mut sum = Gradients::none(&parameters).unwrap();
    let mut other = Gradients::none(&parameters).unwrap();
    let error = Tape::new(&parameters)
        .gradient(&mut sum, || inner.gradient(&mut other, || p[0].sum_all()))
        .unwrap_err();
    assert!(error.to_string().contains("another"), "{error}");
}

#[test]
fn the_composed_forms_give_the_same_gradients() {
    let (parameters, p) = parameters(&[&[6, 4], &[6]]);
    let x = random("x", &[3, 4]);
    let loss = || {
        let h = ops::linear_activation(&x, &p[0], Some(&p[1]), Activation::Silu)?;
        ops::cross_entropy(&h, &Tensor::new(&[0u32, 5, 1], &CPU)?)
    };
    let fused = agree(&parameters, &loss);
    let composed = ops::composed::only(|| agree(&parameters, &loss));
    for (a, b) in fused.tensors().iter().zip(composed.tensors()) {
        assert!(difference(a, b) < 1e-12);
    }
}

#[test]
fn what_an_earlier_pass_computed_is_a_constant() {
    let (parameters, p) = parameters(&[&[4, 4]]);
    let x = random("x", &[3, 4]);
    let mut tape = Tape::new(&parameters);
    let mut sum = Gradients::none(&parameters).unwrap();
    let kept = std::cell::RefCell::new(None);
    let loss = || {
        let h = ops::linear(&x, &p[0], None)?;
        *kept.borrow_mut() = Some(h.clone());
        h.sum_all()
    };
    tape.gradient(&mut sum, loss).unwrap();
    let first = values(&sum.tensors()[0]);
    sum.clear();
    let old = kept.borrow().clone().unwrap();
    tape.gradient(&mut sum, || ops::add(&ops::linear(&x, &p[0], None)?, &old)?.sum_all()).unwrap();
    assert_eq!(values(&sum.tensors()[0]), first);
}

#[test]
fn nothing_is_recorded_without_gradients() {
    let (parameters, p) = parameters(&[&[4, 4]]);
    let x = random("x", &[3, 4]);
    let plain = ops::linear(&x, &p[0], None).unwrap();
    let bare = ops::without_gradients(|| ops::linear(&x, &p[0], None)).unwrap();
    assert!(plain.track_op() && !bare.track_op());
    assert_eq!(bits(&plain), bits(&bare));
    // Within a tape it makes a constant.
    let mut sum = Gradients::none(&parameters).unwrap();
    let mut tape = Tape::new(&parameters);
    let loss = || {
        let constant = ops::without_gradients(|| ops::linear(&x, &p[0], None))?;
        (ops::linear(&x, &p[0], None)? * constant)?.sum_all()
    };
    tape.gradient(&mut sum, loss).unwrap();
    let expected = loss().unwrap().backward().unwrap();
    assert!(difference(&sum.tensors()[0], expected.get(&p[0]).unwrap()) < 1e-12);
}

#[test]
fn packed_weights_change_no_bit_until_they_are_stale() {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(5), DType::F32, &CPU);
    let weight = vb.get_with_hints((33, 20), "w", NORMAL).unwrap();
    let x = random("x", &[9, 20]).to_dtype(DType::F32).unwrap();
    let run = |tape: &mut Tape| {
        let mut sum = Gradients::none(&parameters).unwrap();
        let loss = tape.gradient(&mut sum, || ops::linear(&x, &weight, None)?.sqr()?.sum_all()).unwrap();
        (bits(&loss), sum.tensors().iter().flat_map(bits).collect::<Vec<_>>())
    };
    let packs = Arc::new(Packs::new(&parameters));
    let mut plain = Tape::new(&parameters);
    let mut packed = Tape::new(&parameters).with_packs(packs.clone());
    let first = run(&mut plain);
    assert_eq!(run(&mut packed), first);
    assert_eq!(run(&mut packed), first);
    let other = (&weight * 2.0).unwrap();
    parameters.load(&HashMap::from([("w".to_string(), other)])).unwrap();
    assert_eq!(run(&mut packed).0, first.0, "the packed weight is a copy");
    packs.parameters_changed();
    assert_ne!(run(&mut packed), first);
    assert_eq!(run(&mut packed), run(&mut plain));
}

#[test]
fn a_recycling_tape_returns_a_loss_that_stays() {
    let (parameters, p) = parameters(&[&[1, 4]]);
    let x = random("x", &[1, 4]);
    let mut sum = Gradients::none(&parameters).unwrap();
    let mut tape = Tape::new(&parameters).recycling();
    // A view of an output that the backward pass reads.
    let loss = || ops::softmax(&ops::linear(&x, &p[0], None)?)?.reshape(());
    let first = tape.gradient(&mut sum, loss).unwrap();
    let second = tape.gradient(&mut sum, loss).unwrap();
    assert_eq!((values(&first), values(&second)), (vec![1.0], vec![1.0]));
}

#[test]
fn a_cleared_sum_is_zero() {
    let (parameters, p) = parameters(&[&[4]]);
    let mut sum = Gradients::none(&parameters).unwrap();
    assert_eq!(sum.norm().unwrap(), 0.0);
    Tape::new(&parameters).gradient(&mut sum, || p[0].sum_all()).unwrap();
    assert_eq!(sum.norm().unwrap(), 2.0);
    sum.clear();
    assert_eq!(sum.clip(1.0).unwrap(), 0.0);
}
