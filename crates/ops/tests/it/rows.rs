//! Norms, the linear map, embedding and rotation.

use crate::check::{CPU, bits, check, random, values};
use attnlab_ops::{
    Activation, RotaryLayout, add, composed, embedding, gated, layer_norm, linear, rms_norm, rotate,
};
use candle_core::{DType, IndexOp, Tensor, Var};

#[test]
fn norms_equal_their_composed_forms() {
    for dims in [vec![1, 3], vec![2, 3, 16], vec![5, 37], vec![2, 2, 130]] {
        let d = *dims.last().unwrap();
        let x = ((random("x", &dims) * 2.0).unwrap() + 0.7).unwrap();
        let (w, b) = (random("w", &[d]), random("b", &[d]));
        check(
            "layer_norm",
            &|x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5),
            &|x| composed::layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5),
            &[x.clone(), w.clone(), b],
        );
        check(
            "layer_norm without bias",
            &|x| layer_norm(&x[0], &x[1], None, 1e-5),
            &|x| composed::layer_norm(&x[0], &x[1], None, 1e-5),
            &[x.clone(), w.clone()],
        );
        check(
            "rms_norm",
            &|x| rms_norm(&x[0], &x[1], 1e-6),
            &|x| composed::rms_norm(&x[0], &x[1], 1e-6),
            &[x, w],
        );
    }
}

#[test]
fn norms_keep_their_precision_far_from_zero_and_pass_nan() {
    // Variance as mean of squares minus square of mean would lose every digit here.
    let x = (random("offset", &[4, 64]) + 1000.0).unwrap();
    let (w, b) = (Tensor::ones(64, DType::F64, &CPU).unwrap(), random("b", &[64]));
    let exact = values(&composed::layer_norm(&x, &w, Some(&b), 1e-5).unwrap());
    let f = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let got = values(&layer_norm(&f(&x), &f(&w), Some(&f(&b)), 1e-5).unwrap());
    let worst = got.iter().zip(&exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-3, "{worst}");
    let broken = Tensor::new(&[[1f32, f32::NAN, 2.0], [1.0, 2.0, 3.0]], &CPU).unwrap();
    let w = Tensor::ones(3, DType::F32, &CPU).unwrap();
    for y in [layer_norm(&broken, &w, None, 1e-5), rms_norm(&broken, &w, 1e-5)] {
        let y = values(&y.unwrap());
        assert!(y[..3].iter().all(|y| y.is_nan()) && y[3..].iter().all(|y| y.is_finite()));
    }
}

#[test]
fn norms_and_linear_refuse_weights_of_another_length() {
    let x = random("x", &[2, 5]);
    let w = random("w", &[4]);
    assert!(layer_norm(&x, &w, None, 1e-5).is_err());
    assert!(rms_norm(&x, &w, 1e-5).is_err());
    let error = linear(&x, &random("w", &[3, 4]), None).unwrap_err().to_string();
    assert!(error.contains("(…, 4)") && error.contains("[2, 5]"), "{error}");
    assert!(linear(&x, &random("w", &[3, 5]), Some(&w)).is_err());
}

#[test]
fn linear_equals_its_composed_form_at_every_edge_of_its_blocks() {
    for (rows, inner, out) in
        [(1, 1, 1), (3, 7, 5), (4, 16, 16), (65, 33, 17), (130, 8, 31), (2, 300, 20), (300, 5, 270)]
    {
        let x = random("x", &[rows, inner]);
        let (w, b) = (random("w", &[out, inner]), random("b", &[out]));
        let name = format!("linear {rows}×{inner}→{out}");
        check(
            &name,
            &|x| linear(&x[0], &x[1], Some(&x[2])),
            &|x| composed::linear(&x[0], &x[1], Some(&x[2])),
            &[x.clone(), w.clone(), b],
        );
        check(&name, &|x| linear(&x[0], &x[1], None), &|x| composed::linear(&x[0], &x[1], None), &[x, w]);
    }
}

#[test]
fn linear_of_no_rows_or_to_no_outputs_is_empty_with_zero_gradients() {
    // Inner dimensions beyond one pass too, where the second begins past the end of what is empty.
    for (rows, inner, out) in [(0, 5, 3), (0, 300, 3), (0, 5, 600), (4, 5, 0), (4, 300, 0), (0, 300, 0)] {
        for dtype in [DType::F32, DType::F64] {
            let var = |name, dims: &[usize]| {
                Var::from_tensor(&random(name, dims).to_dtype(dtype).unwrap()).unwrap()
            };
            let (x, w, b) = (var("x", &[2, rows, inner]), var("w", &[out, inner]), var("b", &[out]));
            for bias in [None, Some(b.as_tensor())] {
                let y = linear(&x, &w, bias).unwrap();
                assert_eq!(y.dims(), [2, rows, out]);
                let grads = y.sum_all().unwrap().backward().unwrap();
                for v in [&x, &w, &b].into_iter().take(if bias.is_some() { 3 } else { 2 }) {
                    let grad = grads.get(v).unwrap();
                    assert_eq!(grad.dims(), v.dims());
                    assert!(values(grad).iter().all(|&g| g == 0.0), "{rows} {inner} {out}");
                }
            }
        }
    }
}

#[test]
fn linear_reads_views_and_keeps_leading_dimensions() {
    let x = random("x", &[2, 9, 3]);
    let w = random("w", &[6, 4]);
    check(
        "linear on views",
        &|x| linear(&x[0].transpose(1, 2)?, &x[1].i((.., 1..3))?.contiguous()?.matmul(&x[2])?, None),
        &|x| {
            let w = x[1].i((.., 1..3))?.contiguous()?.matmul(&x[2])?;
            composed::linear(&x[0].transpose(1, 2)?.contiguous()?, &w, None)
        },
        &[x, w, random("v", &[2, 9])],
    );
    let nan = Tensor::new(&[[f32::NAN, 0.0], [1.0, 1.0]], &CPU).unwrap();
    let y = linear(&nan, &Tensor::zeros((3, 2), DType::F32, &CPU).unwrap(), None).unwrap();
    let y = values(&y);
    assert!(y[..3].iter().all(|y| y.is_nan()) && y[3..] == [0.0; 3]);
}

#[test]
fn embedding_gathers_rows_and_sums_the_gradients_of_repeated_ids() {
    let table = random("table", &[7, 5]);
    let ids = Tensor::new(&[[3u32, 0, 3], [6, 3, 0]], &CPU).unwrap();
    let i = ids.clone();
    check(
        "embedding",
        &|t| embedding(&ids, &t[0]),
        &|t| composed::embedding(&i, &t[0]),
        std::slice::from_ref(&table),
    );
    assert_eq!(embedding(&ids, &table).unwrap().dims(), [2, 3, 5]);
    assert!(embedding(&Tensor::new(&[7u32], &CPU).unwrap(), &table).is_err());
    assert!(embedding(&Tensor::new(&[1i64], &CPU).unwrap(), &table).is_err());
    // An id view that is not contiguous.
    let turned = embedding(&ids.t().unwrap(), &table).unwrap();
    let expected = embedding(&ids, &table).unwrap().transpose(0, 1).unwrap();
    assert_eq!(bits(&turned), bits(&expected.contiguous().unwrap()));
}

#[test]
fn rotation_equals_its_composed_form_whole_partial_and_by_row() {
    for layout in [RotaryLayout::HalfSplit, RotaryLayout::Interleaved] {
        for (b, t, h, k, half, rows) in [(1, 1, 1, 2, 1, 1), (2, 5, 3, 8, 4, 1), (2, 5, 3, 9, 3, 2)] {
            let x = random("x", &[b, t, h, k]);
            let angle = random("angle", &[rows, t, half]);
            let (cos, sin) = (angle.cos().unwrap(), angle.sin().unwrap());
            let table = |t: &Tensor, x: &Tensor| t.to_dtype(x.dtype());
            check(
                "rotate",
                &|x| rotate(&x[0], &table(&cos, &x[0])?, &table(&sin, &x[0])?, layout),
                &|x| composed::rotate(&x[0], &cos, &sin, layout),
                &[x],
            );
        }
    }
}

#[test]
fn rotation_reads_a_slice_of_a_wider_tensor_and_keeps_lengths() {
    let wide = random("wide", &[2, 5, 3, 12]);
    let angle = random("angle", &[1, 5, 2]);
    let (cos, sin) = (angle.cos().unwrap(), angle.sin().unwrap());
    let layout = RotaryLayout::HalfSplit;
    check(
        "rotate a slice",
        &|x| rotate(&x[0].narrow(3, 4, 4)?, &cos, &sin, layout),
        &|x| composed::rotate(&x[0].narrow(3, 4, 4)?.contiguous()?, &cos, &sin, layout),
        std::slice::from_ref(&wide),
    );
    let x = wide.narrow(3, 4, 4).unwrap();
    let y = rotate(&x, &cos, &sin, layout).unwrap();
    let length = |x: &Tensor| values(&x.sqr().unwrap().sum_all().unwrap())[0];
    assert!((length(&x) - length(&y)).abs() < 1e-12);
    assert!(rotate(&x, &cos.narrow(1, 0, 4).unwrap(), &sin, layout).is_err());
}

#[test]
fn learned_angles_get_a_gradient() {
    let x = random("x", &[1, 4, 1, 4]);
    let cos = Var::from_tensor(&random("cos", &[1, 4, 2])).unwrap();
    let y = rotate(&x, &cos, &random("sin", &[1, 4, 2]), RotaryLayout::Interleaved).unwrap();
    assert!(y.sum_all().unwrap().backward().unwrap().get(&cos).is_some());
}

#[test]
fn what_is_not_finite_stays_in_its_row_and_is_not_swallowed() {
    let broken = |bad: f32| Tensor::new(&[[1f32, bad, 2.0, 4.0], [1.0, 2.0, 3.0, 5.0]], &CPU).unwrap();
    let fine = Tensor::new(&[[0.5f32, 1.5, 0.25, 0.75], [1.0, 0.5, 2.0, 1.5]], &CPU).unwrap();
    let heads = |x: &Tensor| x.reshape((1, 2, 1, 4)).unwrap();
    let angles = Tensor::full(0.6f32, (1, 2, 2), &CPU).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = broken(bad);
        let rotated = rotate(&heads(&x), &angles, &angles, RotaryLayout::HalfSplit).unwrap();
        for (name, y) in [
            ("add", add(&x, &fine).unwrap()),
            ("gated", gated(&fine, &x, Activation::Silu).unwrap()),
            ("rotate", rotated.reshape((2, 4)).unwrap()),
            ("embedding", embedding(&Tensor::new(&[0u32, 1], &CPU).unwrap(), &x).unwrap()),
        ] {
            let y = values(&y);
            assert!(y[..4].iter().any(|y| !y.is_finite()), "{name} swallows {bad}");
            assert!(y[4..].iter().all(|y| y.is_finite()), "{name} spreads {bad}");
        }
    }
}
