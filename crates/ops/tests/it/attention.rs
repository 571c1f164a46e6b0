//! Fused attention against the composed form.

use crate::check::{CPU, bits, check, difference, random, values};
use attnlab_ops::{AttentionSpec, DistanceBias, attention, composed};
use candle_core::{DType, Tensor, Var};

struct Case {
    b: usize,
    tq: usize,
    tk: usize,
    h: usize,
    g: usize,
    k: usize,
}

const CASES: [Case; 8] = [
    Case { b: 1, tq: 1, tk: 1, h: 1, g: 1, k: 1 },
    Case { b: 2, tq: 5, tk: 5, h: 2, g: 2, k: 4 },
    Case { b: 1, tq: 17, tk: 17, h: 4, g: 2, k: 16 },
    Case { b: 2, tq: 33, tk: 33, h: 3, g: 1, k: 8 },
    Case { b: 1, tq: 1, tk: 20, h: 2, g: 1, k: 5 },
    Case { b: 1, tq: 7, tk: 37, h: 2, g: 2, k: 20 },
    Case { b: 1, tq: 9, tk: 4, h: 2, g: 2, k: 3 },
    Case { b: 1, tq: 40, tk: 18, h: 1, g: 1, k: 33 },
];

fn specs() -> Vec<AttentionSpec> {
    let mut specs = Vec::new();
    for causal in [false, true] {
        for window in [None, Some(1), Some(3), Some(100)] {
            specs.push(AttentionSpec { scale: 0.4, causal, window });
        }
    }
    specs
}

fn inputs(c: &Case) -> Vec<Tensor> {
    vec![
        random("q", &[c.b, c.tq, c.h, c.k]),
        random("k", &[c.b, c.tk, c.g, c.k]),
        random("v", &[c.b, c.tk, c.g, c.k]),
    ]
}

#[test]
fn attention_equals_its_composed_form_for_every_shape_and_mask() {
    for case in &CASES {
        for spec in specs() {
            let name = format!("attention {}×{} {spec:?}", case.tq, case.tk);
            check(
                &name,
                &|x| attention(&x[0], &x[1], &x[2], None, &spec),
                &|x| composed::attention(&x[0], &x[1], &x[2], None, &spec),
                &inputs(case),
            );
        }
    }
}

#[test]
fn attention_with_a_distance_bias_equals_its_composed_form() {
    for case in &CASES[1..7] {
        for spec in specs() {
            // From the most negative distance to the largest there is, and some to spare.
            let first = -(case.tq as i64) - 2;
            let count = case.tq + case.tk + 4;
            let values = random("bias", &[case.h, count]);
            let bias = DistanceBias { values, first };
            let like = |x: &Tensor| DistanceBias { values: bias.values.to_dtype(x.dtype()).unwrap(), first };
            check(
                "attention with bias",
                &|x| attention(&x[0], &x[1], &x[2], Some(&like(&x[0])), &spec),
                &|x| composed::attention(&x[0], &x[1], &x[2], Some(&bias), &spec),
                &inputs(case),
            );
        }
    }
}

#[test]
fn a_causal_bias_needs_no_value_for_the_future() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None };
    let x = inputs(&CASES[2]);
    let slope = Tensor::arange(0f64, 17.0, &CPU).unwrap().neg().unwrap();
    let values = Tensor::stack(&[&slope, &slope, &slope, &slope], 0).unwrap();
    let bias = DistanceBias { values, first: 0 };
    let fused = attention(&x[0], &x[1], &x[2], Some(&bias), &spec).unwrap();
    let reference = composed::attention(&x[0], &x[1], &x[2], Some(&bias), &spec).unwrap();
    assert!(difference(&fused, &reference) < 1e-12);
    let short = DistanceBias { values: bias.values.narrow(1, 0, 16).unwrap(), first: 0 };
    let error = attention(&x[0], &x[1], &x[2], Some(&short), &spec).unwrap_err();
    assert!(error.to_string().contains("0..=16"), "{error}");
}

#[test]
fn a_learned_bias_gets_its_gradient() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None };
    let x = inputs(&CASES[1]);
    check(
        "attention with a learned bias",
        &|x| {
            let bias = DistanceBias { values: x[3].clone(), first: 0 };
            attention(&x[0], &x[1], &x[2], Some(&bias), &spec)
        },
        &|x| {
            let bias = DistanceBias { values: x[3].clone(), first: 0 };
            composed::attention(&x[0], &x[1], &x[2], Some(&bias), &spec)
        },
        &[x, vec![random("bias", &[2, 5])]].concat(),
    );
}

#[test]
fn attention_reads_slices_of_one_wide_tensor() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None };
    let wide = random("qkv", &[2, 19, 4, 24]);
    let part = |x: &Tensor, i: usize| x.narrow(3, 8 * i, 8);
    check(
        "attention on slices",
        &|x| attention(&part(&x[0], 0)?, &part(&x[0], 1)?, &part(&x[0], 2)?, None, &spec),
        &|x| composed::attention(&part(&x[0], 0)?, &part(&x[0], 1)?, &part(&x[0], 2)?, None, &spec),
        &[wide],
    );
    // (B, H, T, K) in memory.
    let turned = random("turned", &[2, 3, 19, 8]);
    check(
        "attention on transposed heads",
        &|x| {
            let x = x[0].transpose(1, 2)?;
            attention(&x, &x, &x, None, &spec)
        },
        &|x| {
            let x = x[0].transpose(1, 2)?;
            composed::attention(&x, &x, &x, None, &spec)
        },
        &[turned],
    );
}

#[test]
fn the_gradient_of_a_broadcast_sum_arrives() {
    let spec = AttentionSpec { scale: 0.5, causal: false, window: None };
    let x: Vec<Var> = inputs(&CASES[1]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    // `sum` hands back a gradient whose strides are zero.
    let y = attention(&x[0], &x[1], &x[2], None, &spec).unwrap().sum_all().unwrap();
    let grads = y.backward().unwrap();
    let r = composed::attention(&x[0], &x[1], &x[2], None, &spec).unwrap().sum_all().unwrap();
    let expected = r.backward().unwrap();
    for x in &x {
        assert!(difference(grads.get(x).unwrap(), expected.get(x).unwrap()) < 1e-12);
    }
}

#[test]
fn queries_without_a_visible_key_give_zeros_and_zero_gradients() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None };
    let x: Vec<Var> = inputs(&CASES[6]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let y = attention(&x[0], &x[1], &x[2], None, &spec).unwrap();
    assert!(values(&y.narrow(1, 0, 5).unwrap()).iter().all(|&y| y == 0.0));
    assert!(values(&y.narrow(1, 5, 4).unwrap()).iter().any(|&y| y != 0.0));
    let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let dq = grads.get(&x[0]).unwrap();
    assert!(values(&dq.narrow(1, 0, 5).unwrap()).iter().all(|&g| g == 0.0));
    for x in &x {
        assert!(values(grads.get(x).unwrap()).iter().all(|g| g.is_finite()));
    }
}

#[test]
fn a_bias_of_minus_infinity_hides_keys_in_both_passes() {
    let spec = AttentionSpec { scale: 1.0, causal: false, window: None };
    let x: Vec<Var> = inputs(&CASES[1]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let values_ = Tensor::full(f64::NEG_INFINITY, (2, 9), &CPU).unwrap();
    let bias = DistanceBias { values: values_, first: -4 };
    let y = attention(&x[0], &x[1], &x[2], Some(&bias), &spec).unwrap();
    assert!(values(&y).iter().all(|&y| y == 0.0));
    let grads = y.sum_all().unwrap().backward().unwrap();
    for x in &x {
        assert!(values(grads.get(x).unwrap()).iter().all(|&g| g == 0.0));
    }
}

#[test]
fn a_nan_in_a_query_stays_in_its_row() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None };
    let x = inputs(&Case { b: 1, tq: 20, tk: 20, h: 1, g: 1, k: 4 });
    let mut q = values(&x[0]);
    q[7 * 4] = f64::NAN;
    let q = Tensor::from_vec(q, x[0].dims(), &CPU).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let [q, k, v] = [&q, &x[1], &x[2]].map(|x| x.to_dtype(dtype).unwrap());
        let y = values(&attention(&q, &k, &v, None, &spec).unwrap());
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i / 4 == 7, "element {i}");
        }
    }
}

#[test]
fn a_sequence_gets_the_same_bits_alone_and_in_a_batch() {
    let spec = AttentionSpec { scale: 0.3, causal: true, window: Some(9) };
    let case = Case { b: 3, tq: 21, tk: 21, h: 2, g: 1, k: 8 };
    let x: Vec<Tensor> = inputs(&case).iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
    let whole = attention(&x[0], &x[1], &x[2], None, &spec).unwrap();
    for row in 0..3 {
        let [q, k, v] = [0, 1, 2].map(|i| x[i].narrow(0, row, 1).unwrap());
        let alone = attention(&q, &k, &v, None, &spec).unwrap();
        assert_eq!(bits(&alone), bits(&whole.narrow(0, row, 1).unwrap()));
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None };
    let q = random("q", &[2, 3, 4, 5]);
    let k = random("k", &[2, 3, 3, 5]);
    assert!(attention(&q, &k, &k, None, &spec).is_err());
    let k = random("k", &[2, 3, 2, 5]);
    assert!(attention(&q, &k, &k, None, &spec).is_ok());
    assert!(attention(&q, &k, &k.narrow(1, 0, 2).unwrap(), None, &spec).is_err());
    let empty = AttentionSpec { window: Some(0), ..spec };
    assert!(attention(&q, &k, &k, None, &empty).is_err());
}

/// A number for every element of a shape, none for an empty one.
fn filled(dims: [usize; 4]) -> Tensor {
    random("filled", &dims)
}

#[test]
fn without_queries_or_without_keys_both_forms_agree_and_every_input_has_a_gradient() {
    for (tq, tk) in [(0, 5), (5, 0), (0, 0), (20, 0)] {
        for spec in specs() {
            for biased in [false, true] {
                let name = format!("{tq}×{tk} {spec:?} biased {biased}");
                let dims = [[2, tq, 4, 3], [2, tk, 2, 3], [2, tk, 2, 3]];
                let bias =
                    DistanceBias { values: filled([1, 1, 4, 60]).reshape((4, 60)).unwrap(), first: -30 };
                let bias = biased.then_some(&bias);
                for composed in [false, true] {
                    let x = dims.map(|dims| Var::from_tensor(&filled(dims)).unwrap());
                    let f = if composed { composed::attention } else { attention };
                    let y = f(&x[0], &x[1], &x[2], bias, &spec).unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert_eq!(y.dims(), dims[0], "{name}");
                    assert!(values(&y).iter().all(|&y| y == 0.0), "{name}");
                    let grads = y.sum_all().unwrap().backward().unwrap();
                    for x in &x {
                        let grad = grads.get(x).unwrap_or_else(|| panic!("{name}: no gradient"));
                        assert_eq!(grad.dims(), x.dims(), "{name}");
                        assert!(values(grad).iter().all(|&g| g == 0.0), "{name}");
                    }
                }
            }
        }
    }
}
