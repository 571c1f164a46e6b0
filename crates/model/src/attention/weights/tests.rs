use attnlab_ops::{Parameters, Streams};
use candle_core::Var;

use super::*;

fn built(name: &str, a: &Architecture, dtype: DType) -> (WeightsConfig, Box<dyn Weights>) {
    let config: WeightsConfig = serde_json::from_str(&format!("\"{name}\"")).unwrap();
    let vb = Parameters::new().seeded(Streams::new(2), dtype, &Device::Cpu);
    let weights = config.build(&Place { layer: 0, architecture: a }, vb).unwrap();
    (config, weights)
}

/// Rows that see nothing, one key, keys beyond what can be exponentiated, and equal ones.
fn extreme() -> Vec<f32> {
    let hidden = f32::NEG_INFINITY;
    [
        [hidden; 5],
        [hidden, -40.0, hidden, hidden, hidden],
        [1e4, -1e4, 300.0, -300.0, hidden],
        [1e30, 1e30, -1e30, 0.0, hidden],
        [0.0; 5],
        [-1e4, -1.1e4, hidden, -1e30, -1.2e4],
    ]
    .concat()
}

#[test]
fn extremes_give_numbers_and_what_is_hidden_has_no_weight() {
    let a = Architecture { n_heads: 1, ..Architecture::default() };
    let seen = [0, 1, 4, 4, 5, 4];
    for form in FORMS {
        let (config, weights) = built(form.name, &a, DType::F32);
        for training in [true, false] {
            let scores = Var::from_vec(extreme(), (1, 1, 6, 5), &Device::Cpu).unwrap();
            let parts = vec![scores.as_tensor().clone(); config.parts()];
            let rows = Rows { heads: &[0], seen: &seen, training };
            let found = weights.weigh(&parts, &rows).unwrap();
            let values: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
            assert!(values.iter().all(|weight| weight.is_finite()), "{}: {values:?}", form.name);
            for (score, weight) in extreme().iter().zip(&values) {
                assert!(*score > f32::NEG_INFINITY || *weight == 0.0, "{}: {values:?}", form.name);
            }
            let gradients = found.sum_all().unwrap().backward().unwrap();
            if let Some(gradient) = gradients.get(&scores) {
                let gradient: Vec<f32> = gradient.flatten_all().unwrap().to_vec1().unwrap();
                assert!(gradient.iter().all(|g| g.is_finite()), "{}: {gradient:?}", form.name);
            }
        }
    }
}

#[test]
fn a_form_is_fused_if_it_says_so() {
    for form in FORMS {
        let (config, weights) = built(form.name, &Architecture::default(), DType::F32);
        let softmaxes = weights.softmaxes().unwrap();
        assert_eq!(softmaxes.is_some(), form.fused, "{}", form.name);
        assert!(softmaxes.is_none_or(|softmaxes| softmaxes.len() == config.parts()));
    }
}

#[test]
fn gradients_of_weights_are_their_slopes() {
    let a = Architecture { n_heads: 1, ..Architecture::default() };
    let hidden = f64::NEG_INFINITY;
    let start = [[0.3, -0.9, 1.2, 0.7], [2.1, -0.2, hidden, 0.4], [0.15, 0.1, -0.1, 0.2]].concat();
    let toward = [0.9, -1.3, 0.4, 2.0];
    for form in FORMS {
        let (config, weights) = built(form.name, &a, DType::F64);
        let rows = Rows { heads: &[0], seen: &[4, 3, 4], training: false };
        let value = |scores: &Tensor| -> Tensor {
            let parts: Vec<Tensor> =
                (0..config.parts()).map(|part| (scores * (1.0 - 0.4 * part as f64)).unwrap()).collect();
            let toward = Tensor::new(&toward, &Device::Cpu).unwrap();
            weights.weigh(&parts, &rows).unwrap().broadcast_mul(&toward).unwrap().sum_all().unwrap()
        };
        let at = |scores: &[f64]| Var::from_slice(scores, (1, 1, 3, 4), &Device::Cpu).unwrap();
        let scores = at(&start);
        let gradient = value(&scores).backward().unwrap();
        let gradient: Vec<f64> = gradient.get(&scores).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (j, found) in gradient.iter().enumerate().filter(|(j, _)| start[*j] > hidden) {
            let moved = |by: f64| {
                let mut moved = start.clone();
                moved[j] += by;
                value(&at(&moved)).to_scalar::<f64>().unwrap()
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - found).abs() < 1e-7, "{} {j}: {found} is not {slope}", form.name);
        }
    }
}
