//! Every encoding's gradients against finite differences in f64: those of its parameters, and of what it acts on.

#![allow(clippy::unwrap_used)]

use attnlab_ops::{Parameters, Streams};
use attnlab_positions::{Bias, Content, Part, Places, PositionConfig, Shape, registry};
use candle_core::{DType, Device, Tensor, Var};
use rand::Rng as _;

use crate::registry::config;

/// Numbers between −1 and 1, others for each `seed`.
fn numbers(shape: &[usize], seed: u64) -> Tensor {
    let mut rng = Streams::new(seed).rng("numbers", 0);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// Σ of a number each times the elements of `x`.
fn weighed(x: &Tensor, seed: u64) -> Tensor {
    (x * numbers(x.dims(), seed)).unwrap().sum_all().unwrap()
}

/// Checks some elements of every gradient of a loss through all that the encoding does.
fn check(config: &PositionConfig, shape: &Shape, places: &Places) {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(0), DType::F64, &Device::Cpu);
    let position = config.build(Part::Whole, shape, vb).unwrap();
    let (d, h, k) = (shape.d_model, shape.n_heads, shape.head_dim);
    let given = |size: &[usize], seed| Var::from_tensor(&numbers(size, seed)).unwrap();
    let (x, q) = (given(&[2, 4, d], 1), given(&[2, 4, h, k], 2));
    let key = given(&[2, 4, 1, k], 3); // shared by the heads
    let mut all = parameters.vars();
    for (seed, (_, var)) in all.iter().enumerate() {
        // Away from the first values, some of which are zero.
        let moved = (var.as_tensor() + (numbers(var.dims(), 10 + seed as u64) * 0.3).unwrap()).unwrap();
        var.set(&moved).unwrap();
    }
    all.extend([("x".to_owned(), x.clone()), ("q".to_owned(), q.clone()), ("k".to_owned(), key.clone())]);
    let loss = || {
        let (q, k) = (position.rotate(&q, places).unwrap(), position.rotate(&key, places).unwrap());
        let mut sum = weighed(&position.embed(&x, places).unwrap(), 4);
        sum = (sum + weighed(&position.scale_queries(&q, (places, places)).unwrap(), 5)).unwrap();
        sum = (sum + weighed(&k, 6)).unwrap();
        let of = Content { x: &x, q: &q, k: &k, scale: 0.4 };
        let biases = [
            match position.bias(places, places, DType::F64, &Device::Cpu).unwrap() {
                Bias::None => None,
                Bias::Distance(bias) => Some(bias.values),
                Bias::Full(bias) => Some(bias),
            },
            position.content_bias(&of, (places, places)).unwrap(),
        ];
        for bias in biases.into_iter().flatten() {
            // What is hidden stays so: exp(−∞) is 0.
            sum = (sum + weighed(&bias.exp().unwrap(), 7)).unwrap();
        }
        sum
    };
    let grads = loss().backward().unwrap();
    for (name, var) in all {
        let before: Vec<f64> = var.flatten_all().unwrap().to_vec1().unwrap();
        let gradient = grads.get(&var).map(|grad| grad.flatten_all().unwrap().to_vec1::<f64>().unwrap());
        let gradient = gradient.unwrap_or_else(|| panic!("no gradient reaches {name}: {config:?}"));
        for i in (0..before.len()).step_by(before.len().div_ceil(5)) {
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

#[test]
fn every_gradient_agrees_with_finite_differences() {
    let rows = Places::rows(vec![vec![0, 2, 5, 6], vec![3, 4, 5, 6]]).unwrap();
    for info in registry() {
        for text in [format!("kind = \"{}\"", info.kind), info.example.to_owned()] {
            let config = config(&text).unwrap();
            let mut checked = 0;
            for causal in [true, false] {
                let shape = Shape { d_model: 8, n_heads: 2, head_dim: 8, max_len: 64, causal };
                if config.validate(&shape).is_err() {
                    continue;
                }
                for places in [Places::range(1, 4), rows.clone()] {
                    check(&config, &shape, &places);
                }
                checked += 1;
            }
            assert!(checked > 0, "{text}");
        }
    }
}
