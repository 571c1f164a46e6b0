//! Cross-entropy and the losses of yes/no outputs.

use crate::check::{CPU, check, random, values};
use attnlab_ops::{IGNORE, binary_cross_entropy, composed, cross_entropy, squared_error};
use candle_core::{DType, Tensor, Var};

#[test]
fn cross_entropy_equals_its_composed_form_and_skips_rows_without_a_label() {
    for (v, targets) in [(1, vec![0u32]), (5, vec![4, IGNORE, 0]), (40, vec![39, 0, IGNORE, 17, 17, IGNORE])]
    {
        let n = targets.len();
        let targets = Tensor::from_vec(targets, n, &CPU).unwrap();
        check(
            "cross_entropy",
            &|x| cross_entropy(&x[0], &targets),
            &|x| composed::cross_entropy(&x[0], &targets),
            &[(random("logits", &[n, v]) * 4.0).unwrap()],
        );
    }
}

#[test]
fn cross_entropy_of_equal_logits_is_the_logarithm_of_the_classes() {
    let logits = Tensor::full(300f32, (3, 8), &CPU).unwrap();
    let targets = Tensor::new(&[1u32, 2, IGNORE], &CPU).unwrap();
    let loss = values(&cross_entropy(&logits, &targets).unwrap())[0];
    assert!((loss - 2.0 * 8f64.ln()).abs() < 1e-5);
}

#[test]
fn rows_without_a_label_are_not_read_and_all_of_them_give_zero_with_a_gradient() {
    let logits = Tensor::new(&[[f32::NAN, 1.0], [0.0, 0.0]], &CPU).unwrap();
    let logits = Var::from_tensor(&logits).unwrap();
    let loss = cross_entropy(&logits, &Tensor::new(&[IGNORE, 1], &CPU).unwrap()).unwrap();
    let grads = loss.backward().unwrap();
    assert_eq!(values(grads.get(&logits).unwrap()), [0.0, 0.0, 0.5, -0.5]);
    let none = cross_entropy(&logits, &Tensor::new(&[IGNORE, IGNORE], &CPU).unwrap()).unwrap();
    assert_eq!(values(&none), [0.0]);
    assert_eq!(values(none.backward().unwrap().get(&logits).unwrap()), [0.0; 4]);
    let read = cross_entropy(&logits, &Tensor::new(&[1u32, IGNORE], &CPU).unwrap()).unwrap();
    assert!(values(&read)[0].is_nan());
}

#[test]
fn cross_entropy_refuses_classes_that_do_not_exist() {
    let logits = random("logits", &[2, 3]);
    let error = cross_entropy(&logits, &Tensor::new(&[0u32, 3], &CPU).unwrap()).unwrap_err();
    assert!(error.to_string().contains("below 3"), "{error}");
    assert!(cross_entropy(&logits, &Tensor::new(&[0u32], &CPU).unwrap()).is_err());
    assert!(cross_entropy(&logits, &Tensor::new(&[0i64, 1], &CPU).unwrap()).is_err());
}

#[test]
fn binary_losses_equal_their_composed_forms() {
    let labels = Tensor::new(&[[0f64, 1.0, 1.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0]], &CPU).unwrap();
    let mask = Tensor::new(&[1f64, 0.0, 1.0], &CPU).unwrap();
    let x = (random("logits", &[3, 3]) * 3.0).unwrap();
    check(
        "binary_cross_entropy",
        &|x| binary_cross_entropy(&x[0], &labels, &mask),
        &|x| composed::binary_cross_entropy(&x[0], &labels, &mask),
        std::slice::from_ref(&x),
    );
    check(
        "squared_error",
        &|x| squared_error(&x[0], &labels, &mask),
        &|x| composed::squared_error(&x[0], &labels, &mask),
        &[x],
    );
}

#[test]
fn binary_cross_entropy_is_finite_for_any_logit_and_has_the_known_values() {
    let logits = Tensor::new(&[[1000f32, -1000.0], [0.0, 0.0]], &CPU).unwrap();
    let labels = Tensor::new(&[[0f32, 1.0], [0.0, 1.0]], &CPU).unwrap();
    let mask = Tensor::ones(2, DType::F32, &CPU).unwrap();
    let loss = values(&binary_cross_entropy(&logits, &labels, &mask).unwrap())[0];
    assert!((loss - (2000.0 + 2.0 * 2f64.ln())).abs() < 1e-3, "{loss}");
    let error = values(&squared_error(&logits, &labels, &mask).unwrap())[0];
    assert!((error - 2.5).abs() < 1e-6, "{error}");
}
