//! Against numbers computed elsewhere: see `tests/golden/README.md`.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;

use attnlab_positions::{
    Bias, Content, Encoding, Part, Places, Position, PositionConfig, Shape, alibi, cope, fire, kerple, path,
    rope, shaw, sinusoidal, transformer_xl,
};
use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;

/// The positions the golden tensors hold.
const PLACES: [u32; 6] = [0, 1, 2, 17, 38, 39];

fn load(name: &str) -> HashMap<String, Tensor> {
    let path = format!("{}/tests/golden/{name}.safetensors", env!("CARGO_MANIFEST_DIR"));
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn build(config: &impl Encoding, shape: Shape) -> Box<dyn Position> {
    config.validate(&shape).unwrap();
    config.build(&shape, VarBuilder::zeros(DType::F32, &Device::Cpu)).unwrap()
}

fn shape(d_model: usize, n_heads: usize, head_dim: usize) -> Shape {
    Shape { d_model, n_heads, head_dim, max_len: 40, causal: true }
}

fn largest_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let difference = (a.contiguous().unwrap() - b.contiguous().unwrap()).unwrap().abs().unwrap();
    difference.flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

#[test]
fn sinusoidal_is_the_equation_of_the_paper() {
    let golden = load("sinusoidal");
    let places = Places::rows(vec![PLACES.to_vec()]).unwrap();
    for d in [16, 64] {
        let position = build(&sinusoidal::Config::default(), shape(d, 1, d));
        let x = Tensor::zeros((1, PLACES.len(), d), DType::F32, &Device::Cpu).unwrap();
        let table = position.embed(&x, &places).unwrap().squeeze(0).unwrap();
        // Both are f64 rounded once; powers may differ in their last bit.
        assert!(largest_difference(&table, &golden[&format!("vaswani.d{d}")]) <= 1e-7, "d {d}");
    }
}

#[test]
fn rope_turns_as_transformers_does() {
    let golden = load("rope");
    let places = Places::rows(vec![PLACES.to_vec()]).unwrap();
    for (name, head_dim, base, fraction) in [
        ("default_d8", 8, 1e4, 1.0),
        ("default_d64", 64, 1e4, 1.0),
        ("default_d64_theta500000", 64, 5e5, 1.0),
        ("partial_half_d64", 64, 1e4, 0.5),
    ] {
        for (layout, suffix) in [(rope::Layout::Half, "half"), (rope::Layout::Interleaved, "interleaved")] {
            let position = build(
                &rope::Config { base, fraction, layout, ..rope::Config::default() },
                shape(2 * head_dim, 2, head_dim),
            );
            let get =
                |part: &str| golden[&format!("{name}.{part}")].transpose(0, 1).unwrap().unsqueeze(0).unwrap();
            let turning = get("x"); // (1, T, H, R)
            let r = turning.dim(D::Minus1).unwrap();
            // Dimensions beyond the turning ones, which must pass.
            let rest = Tensor::full(7f32, (1, PLACES.len(), 2, head_dim - r), &Device::Cpu).unwrap();
            let x = Tensor::cat(&[&turning, &rest], 3).unwrap();
            let y = position.rotate(&x, &places).unwrap();
            // f32 angles near 39 are off by up to 2e-6 in the reference, times inputs of up to 4.
            assert!(largest_difference(&y.narrow(3, 0, r).unwrap(), &get(suffix)) < 2e-5, "{name} {suffix}");
            assert!(
                r == head_dim || largest_difference(&y.narrow(3, r, head_dim - r).unwrap(), &rest) == 0.0
            );
        }
    }
}

#[test]
fn alibi_has_blooms_slopes_for_every_number_of_heads() {
    let golden = load("alibi");
    let mut checked = 0;
    for n_heads in 1..=20 {
        let Some(expected) = golden.get(&format!("bloom.h{n_heads}.slopes")) else { continue };
        let slopes: Vec<f32> = alibi::slopes(n_heads, 8.0).into_iter().map(|m| m as f32).collect();
        for (found, expected) in slopes.iter().zip(expected.to_vec1::<f32>().unwrap()) {
            assert!((found / expected - 1.0).abs() < 1e-6, "{n_heads} heads: {found} {expected}");
        }
        checked += 1;
    }
    assert_eq!(checked, 9);
}

#[test]
fn alibi_adds_the_papers_causal_bias() {
    let golden = load("alibi");
    for n_heads in [1, 3, 8] {
        let position = build(&alibi::Config::default(), shape(n_heads, n_heads, 1));
        let places = Places::range(0, 12);
        let Bias::Distance(bias) = position.bias(&places, &places, DType::F32, &Device::Cpu).unwrap() else {
            panic!("a run of positions has a bias per distance")
        };
        let values: Vec<Vec<f32>> = bias.values.to_vec2().unwrap();
        let expected: Vec<Vec<Vec<f32>>> =
            golden[&format!("press.h{n_heads}.causal_bias")].to_vec3().unwrap();
        for h in 0..n_heads {
            for i in 0..12 {
                for j in 0..=i {
                    let found = values[h][((i - j) as i64 - bias.first) as usize];
                    assert!((found - expected[h][i][j]).abs() < 1e-5, "head {h}, {i} to {j}: {found}");
                }
            }
        }
    }
}

/// The encodings whose biases `relative.safetensors` holds: the name there, and whether the model is causal.
fn relative() -> [(&'static str, PositionConfig, bool); 7] {
    let kerple = |form| PositionConfig::Kerple(kerple::Config { form });
    let fire = fire::Config { width: 5, threshold: 3.0, ..fire::Config::default() };
    [
        ("kerple_log", kerple(kerple::Form::Log), false),
        ("kerple_power", kerple(kerple::Form::Power), false),
        ("fire", PositionConfig::Fire(fire), true),
        ("shaw", PositionConfig::Shaw(shaw::Config { clip: 2 }), false),
        ("transformer_xl", PositionConfig::TransformerXl(transformer_xl::Config::default()), false),
        ("cope", PositionConfig::Cope(cope::Config { max_positions: Some(4) }), true),
        ("path", PositionConfig::Path(path::Config { rank: 4, ..path::Config::default() }), true),
    ]
}

#[test]
fn relative_biases_are_what_python_finds_by_another_way() {
    let golden = load("relative");
    let (x, q, k) = (&golden["x"], &golden["q"], &golden["k"]);
    let (batch, time, n_heads, head_dim) = q.dims4().unwrap();
    let d_model = x.dim(2).unwrap();
    let places = Places::range(0, time);
    for (name, config, causal) in relative() {
        let prefix = format!("{name}.parameter.");
        let own = |(key, tensor): (&String, &Tensor)| {
            key.strip_prefix(&prefix).map(|key| (key.to_owned(), tensor.clone()))
        };
        let vb = VarBuilder::from_tensors(golden.iter().filter_map(own).collect(), DType::F64, &Device::Cpu);
        let shape = Shape { d_model, n_heads, head_dim, max_len: time, causal };
        let position = config.build(Part::Whole, &shape, vb).unwrap();
        let of = Content { x, q, k, scale: (head_dim as f64).sqrt().recip() };
        let content = position.content_bias(&of, (&places, &places)).unwrap();
        let bias = position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap();
        let (found, by_distance) = match (content, bias) {
            (Some(bias), Bias::None) | (None, Bias::Full(bias)) => (bias, None),
            (None, Bias::Distance(bias)) => (bias.values, Some(bias.first)),
            other => panic!("{name}: {other:?}"),
        };
        // Python's has no batch where the tokens do not matter.
        let expected = &golden[&format!("{name}.bias")];
        let expected = expected.broadcast_as((batch, n_heads, time, time)).unwrap();
        let found = match by_distance {
            None => found.broadcast_as(expected.shape()).unwrap(),
            Some(first) => {
                let column = |(i, j): (usize, usize)| (i as i64 - j as i64 - first) as u32;
                let columns: Vec<u32> = (0..time * time).map(|n| column((n / time, n % time))).collect();
                let columns = Tensor::new(columns, &Device::Cpu).unwrap();
                let pairs = found.index_select(&columns, 1).unwrap().reshape((n_heads, time, time)).unwrap();
                pairs.broadcast_as(expected.shape()).unwrap()
            }
        };
        let flat = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let mut largest = 0f64;
        for (n, (found, expected)) in flat(&found).into_iter().zip(flat(&expected)).enumerate() {
            if !causal || n % time <= n / time % time {
                assert!((found - expected).abs() < 1e-12, "{name}[{n}]: {found} is not {expected}");
                largest = largest.max(expected.abs());
            }
        }
        assert!(largest > 0.1, "{name}: nothing was compared");
    }
}
