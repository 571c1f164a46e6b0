//! Fused attention against the composed form.

use crate::check::{CPU, bits, check, check_on_tape, difference, random, values};
use attnlab_ops::{AttentionDropout, AttentionSpec, DistanceBias, Extras, Null, attention, composed};
use candle_core::{DType, Tensor, Var};

const NONE: Extras<'static> = Extras { bias: None, null: None, dropout: None };

fn with_bias(bias: &DistanceBias) -> Extras<'_> {
    Extras { bias: Some(bias), ..NONE }
}

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
            specs.push(AttentionSpec { scale: 0.4, causal, window, softcap: None });
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
                &|x| attention(&x[0], &x[1], &x[2], &NONE, &spec),
                &|x| composed::attention(&x[0], &x[1], &x[2], &NONE, &spec),
                &inputs(case),
            );
        }
    }
}

#[test]
fn attention_with_capped_scores_equals_its_composed_form() {
    // Caps among the scores, so that some are bent hard.
    for (case, cap) in CASES.iter().zip([0.3, 0.5, 1.0, 2.0, 5.0, 50.0, 0.7, 1e4]) {
        for spec in specs() {
            let spec = AttentionSpec { softcap: Some(cap), ..spec };
            let bias = DistanceBias { values: random("bias", &[case.h, 200]), first: -100 };
            let null = random("null", &[case.h]);
            let x = inputs(case);
            let like =
                |x: &Tensor| DistanceBias { values: bias.values.to_dtype(x.dtype()).unwrap(), first: -100 };
            let name = format!("attention with capped scores {}×{} {spec:?}", case.tq, case.tk);
            check(
                &name,
                &|x| {
                    let (bias, null) = (like(&x[0]), null.to_dtype(x[0].dtype())?);
                    let extras =
                        Extras { bias: Some(&bias), null: Some(Null::Learned(&null)), dropout: None };
                    attention(&x[0], &x[1], &x[2], &extras, &spec)
                },
                &|x| {
                    let extras =
                        Extras { bias: Some(&bias), null: Some(Null::Learned(&null)), dropout: None };
                    composed::attention(&x[0], &x[1], &x[2], &extras, &spec)
                },
                &x,
            );
            // `check` records gradients, and so runs the composed form: here the fused one does.
            let expected = composed::attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap();
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                let x: Vec<Tensor> = x.iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
                let fused = attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap();
                let error = difference(&fused, &expected);
                assert!(error <= tolerance, "{name} {dtype:?}: off by {error}");
            }
        }
    }
}

#[test]
fn a_cap_that_is_none_is_refused() {
    let x = inputs(&CASES[0]);
    for cap in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: Some(cap) };
        let error = attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap_err().to_string();
        assert!(error.contains("softcap"), "{error}");
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
                &|x| attention(&x[0], &x[1], &x[2], &with_bias(&like(&x[0])), &spec),
                &|x| composed::attention(&x[0], &x[1], &x[2], &with_bias(&bias), &spec),
                &inputs(case),
            );
        }
    }
}

#[test]
fn a_causal_bias_needs_no_value_for_the_future() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let x = inputs(&CASES[2]);
    let slope = Tensor::arange(0f64, 17.0, &CPU).unwrap().neg().unwrap();
    let values = Tensor::stack(&[&slope, &slope, &slope, &slope], 0).unwrap();
    let bias = DistanceBias { values, first: 0 };
    let fused = attention(&x[0], &x[1], &x[2], &with_bias(&bias), &spec).unwrap();
    let reference = composed::attention(&x[0], &x[1], &x[2], &with_bias(&bias), &spec).unwrap();
    assert!(difference(&fused, &reference) < 1e-12);
    let short = DistanceBias { values: bias.values.narrow(1, 0, 16).unwrap(), first: 0 };
    let error = attention(&x[0], &x[1], &x[2], &with_bias(&short), &spec).unwrap_err();
    assert!(error.to_string().contains("0..=16"), "{error}");
}

#[test]
fn attention_reads_slices_of_one_wide_tensor() {
    let spec = AttentionSpec { scale: 0.5, causal: true, window: None, softcap: None };
    let wide = random("qkv", &[2, 19, 4, 24]);
    let part = |x: &Tensor, i: usize| x.narrow(3, 8 * i, 8);
    check(
        "attention on slices",
        &|x| attention(&part(&x[0], 0)?, &part(&x[0], 1)?, &part(&x[0], 2)?, &NONE, &spec),
        &|x| composed::attention(&part(&x[0], 0)?, &part(&x[0], 1)?, &part(&x[0], 2)?, &NONE, &spec),
        &[wide],
    );
    // (B, H, T, K) in memory.
    let turned = random("turned", &[2, 3, 19, 8]);
    check(
        "attention on transposed heads",
        &|x| {
            let x = x[0].transpose(1, 2)?;
            attention(&x, &x, &x, &NONE, &spec)
        },
        &|x| {
            let x = x[0].transpose(1, 2)?;
            composed::attention(&x, &x, &x, &NONE, &spec)
        },
        &[turned],
    );
}

#[test]
fn the_gradient_of_a_broadcast_sum_arrives() {
    let spec = AttentionSpec { scale: 0.5, causal: false, window: None, softcap: None };
    let x: Vec<Var> = inputs(&CASES[1]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    // `sum` hands back a gradient whose strides are zero.
    let y = attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap().sum_all().unwrap();
    let grads = y.backward().unwrap();
    let r = composed::attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap().sum_all().unwrap();
    let expected = r.backward().unwrap();
    for x in &x {
        assert!(difference(grads.get(x).unwrap(), expected.get(x).unwrap()) < 1e-12);
    }
}

#[test]
fn queries_without_a_visible_key_give_zeros_and_zero_gradients() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let x: Vec<Var> = inputs(&CASES[6]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let y = attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap();
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
    let spec = AttentionSpec { scale: 1.0, causal: false, window: None, softcap: None };
    let x: Vec<Var> = inputs(&CASES[1]).iter().map(|x| Var::from_tensor(x).unwrap()).collect();
    let values_ = Tensor::full(f64::NEG_INFINITY, (2, 9), &CPU).unwrap();
    let bias = DistanceBias { values: values_, first: -4 };
    let y = attention(&x[0], &x[1], &x[2], &with_bias(&bias), &spec).unwrap();
    assert!(values(&y).iter().all(|&y| y == 0.0));
    let grads = y.sum_all().unwrap().backward().unwrap();
    for x in &x {
        assert!(values(grads.get(x).unwrap()).iter().all(|&g| g == 0.0));
    }
}

#[test]
fn a_bias_that_hides_whole_blocks_of_keys_is_the_window_of_the_spec() {
    // Nine blocks of rows and five of keys: near the corners whole blocks are hidden, the first ones among them.
    let case = Case { b: 1, tq: 70, tk: 73, h: 2, g: 1, k: 5 };
    let (first, count) = (-(case.tq as i64), case.tq + case.tk + 1);
    for causal in [false, true] {
        for window in [1, 4, 20] {
            let plain = AttentionSpec { scale: 0.4, causal, window: None, softcap: None };
            let spec = AttentionSpec { window: Some(window), ..plain };
            let hidden =
                |distance: i64| if distance.abs() >= window as i64 { f64::NEG_INFINITY } else { 0.0 };
            let beyond: Vec<f64> = (first..).take(count).map(hidden).collect();
            let beyond = Tensor::from_vec(beyond, (1, count), &CPU).unwrap();
            let [q, k, v] = <[Tensor; 3]>::try_from(inputs(&case)).unwrap();
            let inputs = [q, k, v, random("bias", &[case.h, count])];
            check_on_tape(
                "attention with a window as a bias",
                &|x| {
                    let values = x[3].broadcast_add(&beyond.to_dtype(x[3].dtype())?)?;
                    attention(&x[0], &x[1], &x[2], &with_bias(&DistanceBias { values, first }), &plain)
                },
                &|x| {
                    let bias = DistanceBias { values: x[3].clone(), first };
                    composed::attention(&x[0], &x[1], &x[2], &with_bias(&bias), &spec)
                },
                &inputs,
            );
        }
    }
}

#[test]
fn a_nan_in_a_query_stays_in_its_row() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let x = inputs(&Case { b: 1, tq: 20, tk: 20, h: 1, g: 1, k: 4 });
    let mut q = values(&x[0]);
    q[7 * 4] = f64::NAN;
    let q = Tensor::from_vec(q, x[0].dims(), &CPU).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let [q, k, v] = [&q, &x[1], &x[2]].map(|x| x.to_dtype(dtype).unwrap());
        let y = values(&attention(&q, &k, &v, &NONE, &spec).unwrap());
        for (i, y) in y.iter().enumerate() {
            assert_eq!(y.is_nan(), i / 4 == 7, "element {i}");
        }
    }
}

#[test]
fn a_sequence_gets_the_same_bits_alone_and_in_a_batch() {
    let spec = AttentionSpec { scale: 0.3, causal: true, window: Some(9), softcap: None };
    let case = Case { b: 3, tq: 21, tk: 21, h: 2, g: 1, k: 8 };
    let x: Vec<Tensor> = inputs(&case).iter().map(|x| x.to_dtype(DType::F32).unwrap()).collect();
    let whole = attention(&x[0], &x[1], &x[2], &NONE, &spec).unwrap();
    for row in 0..3 {
        let [q, k, v] = [0, 1, 2].map(|i| x[i].narrow(0, row, 1).unwrap());
        let alone = attention(&q, &k, &v, &NONE, &spec).unwrap();
        assert_eq!(bits(&alone), bits(&whole.narrow(0, row, 1).unwrap()));
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    let q = random("q", &[2, 3, 4, 5]);
    let k = random("k", &[2, 3, 3, 5]);
    assert!(attention(&q, &k, &k, &NONE, &spec).is_err());
    let k = random("k", &[2, 3, 2, 5]);
    assert!(attention(&q, &k, &k, &NONE, &spec).is_ok());
    assert!(attention(&q, &k, &k.narrow(1, 0, 2).unwrap(), &NONE, &spec).is_err());
    let empty = AttentionSpec { window: Some(0), ..spec };
    assert!(attention(&q, &k, &k, &NONE, &empty).is_err());
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
                    let y = f(&x[0], &x[1], &x[2], &Extras { bias, ..NONE }, &spec)
                        .unwrap_or_else(|e| panic!("{name}: {e}"));
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

/// Odd lengths and widths: one block, one row more, one less.
const ODD: [Case; 9] = [
    Case { b: 1, tq: 1, tk: 1, h: 1, g: 1, k: 16 },
    Case { b: 2, tq: 15, tk: 15, h: 2, g: 2, k: 5 },
    Case { b: 1, tq: 16, tk: 16, h: 1, g: 1, k: 1 },
    Case { b: 1, tq: 17, tk: 17, h: 4, g: 2, k: 16 },
    Case { b: 1, tq: 33, tk: 33, h: 2, g: 1, k: 64 },
    Case { b: 2, tq: 33, tk: 70, h: 4, g: 4, k: 5 },
    Case { b: 1, tq: 9, tk: 4, h: 2, g: 2, k: 3 },
    Case { b: 1, tq: 1, tk: 40, h: 2, g: 1, k: 17 },
    Case { b: 1, tq: 300, tk: 300, h: 2, g: 1, k: 16 },
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Table {
    None,
    Constant,
    Learned,
}

const TABLES: [Table; 3] = [Table::None, Table::Constant, Table::Learned];

#[test]
#[expect(clippy::print_stdout, reason = "the worst error is worth knowing")]
fn all_features_crossed_equal_the_composed_form_and_finite_differences() {
    let mut worst = (0.0f64, String::new());
    let mut count = 0usize;
    for bias in TABLES {
        for null in [None, Some(Table::None), Some(Table::Constant), Some(Table::Learned)] {
            for p in [0.0, 0.3] {
                for spec in specs() {
                    // Every combination of features meets a few shapes, every shape most combinations.
                    count += 1;
                    for case in [&ODD[count % 8], &ODD[(count / 3 + 4) % 8]] {
                        let (error, name) = crossed(case, &spec, bias, null, p);
                        if error > worst.0 {
                            worst = (error, name);
                        }
                    }
                }
            }
        }
    }
    let spec = AttentionSpec { scale: 0.25, causal: true, window: None, softcap: None };
    for null in [None, Some(Table::Learned)] {
        let (error, name) = crossed(&ODD[8], &spec, Table::Learned, null, 0.1);
        if error > worst.0 {
            worst = (error, name);
        }
    }
    println!("worst error in f32: {:.1e} at {}", worst.0, worst.1);
}

/// The worst error in f32, and what it belongs to. `null` says where its logits come from, [`Table::None`] for zero.
fn crossed(case: &Case, spec: &AttentionSpec, bias: Table, null: Option<Table>, p: f64) -> (f64, String) {
    let name = format!(
        "{}×{} h{} g{} k{} {spec:?} bias {bias:?} null {null:?} p {p}",
        case.tq, case.tk, case.h, case.g, case.k
    );
    let first = -(case.tq as i64) - 2;
    let values = random("bias", &[case.h, case.tq + case.tk + 4]);
    let logits = random("null", &[case.h]);
    let mut inputs = inputs(case);
    inputs.extend((bias == Table::Learned).then(|| values.clone()));
    inputs.extend((null == Some(Table::Learned)).then(|| logits.clone()));
    let run = |composed: bool, x: &[Tensor]| {
        let mut learned = x[3..].iter();
        let values = if bias == Table::Learned { learned.next().unwrap() } else { &values };
        let logits = if null == Some(Table::Learned) { learned.next().unwrap() } else { &logits };
        let table = DistanceBias { values: values.clone(), first };
        let extras = Extras {
            bias: (bias != Table::None).then_some(&table),
            null: null.map(|null| if null == Table::None { Null::Zero } else { Null::Learned(logits) }),
            dropout: (p > 0.0).then_some(AttentionDropout { p, seed: 5 }),
        };
        let f = if composed { composed::attention } else { attention };
        f(&x[0], &x[1], &x[2], &extras, spec)
    };
    let learned = inputs.len() > 3;
    let check = if learned { check_on_tape } else { check };
    (check(&name, &|x| run(false, x), &|x| run(true, x), &inputs), name)
}

#[test]
fn a_null_option_takes_its_share_of_the_pattern() {
    let spec = AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None };
    // One key of value 1 and score 0 against a logit of ln 3.
    let x = Tensor::zeros((1, 1, 1, 1), DType::F32, &CPU).unwrap();
    let one = Tensor::ones((1, 1, 1, 1), DType::F32, &CPU).unwrap();
    let logits = Tensor::new(&[3f32.ln()], &CPU).unwrap();
    for (null, share) in [(Null::Zero, 0.5), (Null::Learned(&logits), 0.25)] {
        let extras = Extras { null: Some(null), ..NONE };
        let y = values(&attention(&x, &x, &one, &extras, &spec).unwrap());
        assert!((y[0] - share).abs() < 1e-6, "{y:?}");
    }
}

/// A copy of `x` `(1, T, 1, K)` with `value` in row `row`.
fn spoilt(x: &Tensor, row: usize, value: f64) -> Tensor {
    let mut elements = values(x);
    elements[row * x.dim(3).unwrap()] = value;
    Tensor::from_vec(elements, x.dims(), &CPU).unwrap()
}

#[test]
fn what_is_not_finite_comes_out_in_every_row_that_sees_it_and_in_no_other() {
    let case = Case { b: 1, tq: 40, tk: 40, h: 1, g: 1, k: 4 };
    let clean = inputs(&case);
    for spec in [
        AttentionSpec { scale: 1.0, causal: true, window: None, softcap: None },
        AttentionSpec { scale: 1.0, causal: true, window: Some(9), softcap: None },
        AttentionSpec { scale: 1.0, causal: false, window: Some(5), softcap: None },
    ] {
        for (which, bad) in
            [(0, f64::NAN), (1, f64::NAN), (1, f64::INFINITY), (2, f64::NAN), (2, f64::INFINITY)]
        {
            for row in [0, 7, 20, 39] {
                let name = format!("{spec:?} {bad} in row {row} of input {which}");
                let mut x = clean.clone();
                x[which] = spoilt(&x[which], row, bad);
                // Queries that see the row, and keys seen by the query.
                let sees = |i: usize, j: usize| {
                    let (begin, end) = spec.visible(i, 40, 40);
                    (begin..end).contains(&j)
                };
                let meets = |i: usize| if which == 0 { i == row } else { sees(i, row) };
                for dtype in [DType::F32, DType::F64] {
                    let run = |f: Form, x: &[Tensor]| {
                        let x: Vec<Var> = x
                            .iter()
                            .map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap())
                            .collect();
                        let y = f(&x[0], &x[1], &x[2], &NONE, &spec).unwrap();
                        let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                        let grads: Vec<_> = x.iter().map(|x| grads.get(x).unwrap().clone()).collect();
                        (y, grads)
                    };
                    let (y, grads) = run(attention, &x);
                    let (expected, expected_grads) = run(attention, &clean);
                    let (reference, reference_grads) = run(composed::attention, &x);
                    let spoilt_rows: Vec<bool> =
                        values(&y).chunks(4).map(|row| row.iter().any(|y| !y.is_finite())).collect();
                    let pairs = [(&y, &expected, &reference)].into_iter().chain(
                        grads.iter().zip(&expected_grads).zip(&reference_grads).map(|((a, b), c)| (a, b, c)),
                    );
                    for (at, (got, clean, reference)) in pairs.enumerate() {
                        let [got, clean, reference] = [got, clean, reference].map(values);
                        for (i, ((got, clean), reference)) in
                            got.iter().zip(&clean).zip(&reference).enumerate()
                        {
                            let i = i / 4;
                            // Rows of y and ∂q are queries; rows of ∂k and ∂v are keys, which the queries that
                            // met it see.
                            let met = if at < 2 { meets(i) } else { (0..40).any(|q| meets(q) && sees(q, i)) };
                            if !met {
                                assert_eq!(got, clean, "{name} {dtype:?}: result {at} row {i}");
                            } else if at >= 2 && !(0..40).any(|q| spoilt_rows[q] && sees(q, i)) {
                                // −∞ as a score is a weight of zero, and the queries stay finite. The composed form
                                // multiplies the zeros of others with what is not.
                            } else if reference.is_finite() {
                                assert!(
                                    (got - reference).abs() < 1e-4,
                                    "{name} {dtype:?}: result {at} row {i}"
                                );
                            } else {
                                assert!(!got.is_finite(), "{name} {dtype:?}: result {at} row {i} is {got}");
                            }
                        }
                    }
                }
            }
        }
    }
}

type Form = fn(&Tensor, &Tensor, &Tensor, &Extras<'_>, &AttentionSpec) -> attnlab_ops::Result<Tensor>;

#[test]
fn the_mask_of_dropout_is_fair_and_without_pattern() {
    let (b, h, t) = (2, 3, 256);
    for p in [0.1, 0.5] {
        let factors = |seed| {
            let dropout = AttentionDropout { p, seed };
            values(&dropout.factors((b, h, t, t), DType::F64, &CPU).unwrap())
        };
        let kept: Vec<f64> = factors(1).iter().map(|&x| if x == 0.0 { -(1.0 - p) } else { p }).collect();
        // Standard deviation of one element; a mean of n independent ones deviates by it over √n.
        let deviation = (p * (1.0 - p)).sqrt();
        let fair = |name: &str, values: &mut dyn Iterator<Item = f64>, unit: f64| {
            let (mut sum, mut count) = (0.0, 0.0f64);
            for value in values {
                sum += value;
                count += 1.0;
            }
            let z = sum / count / unit * count.sqrt();
            assert!(z.abs() < 5.0, "{name} at p {p}: {z} standard deviations");
            z
        };
        fair("the mean", &mut kept.iter().copied(), deviation);
        let square = p * (1.0 - p);
        // Neighbours along and across, the diagonal, the next head and the next example.
        for (name, shift) in [
            ("column", 1),
            ("row", t),
            ("diagonal", t + 1),
            ("antidiagonal", t - 1),
            ("head", t * t),
            ("example", h * t * t),
        ] {
            fair(name, &mut kept.iter().zip(&kept[shift..]).map(|(a, b)| a * b), square);
        }
        let other: Vec<f64> = factors(2).iter().map(|&x| if x == 0.0 { -(1.0 - p) } else { p }).collect();
        fair("seed", &mut kept.iter().zip(&other).map(|(a, b)| a * b), square);
        // The sums of rows, and of columns, scatter as independent elements would.
        let (mut rows, mut columns) = (0.0, 0.0);
        for head in kept.chunks_exact(t * t) {
            for i in 0..t {
                rows += head[i * t..(i + 1) * t].iter().sum::<f64>().powi(2);
                columns += head.iter().skip(i).step_by(t).sum::<f64>().powi(2);
            }
        }
        let expected = (b * h * t * t) as f64 * square;
        // A sum of n squares of normal deviates deviates by √(2/n).
        let five = 5.0 * (2.0 / (b * h * t) as f64).sqrt();
        assert!((rows / expected - 1.0).abs() < five, "rows {}", rows / expected);
        assert!((columns / expected - 1.0).abs() < five, "columns {}", columns / expected);
    }
}
