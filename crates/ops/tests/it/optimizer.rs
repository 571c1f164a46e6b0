//! AdamW against the published formula, and resuming.

use crate::check::{CPU, bits, values};
use attnlab_ops::{AdamW, AdamWConfig, Gradients, Parameters, Streams};
use candle_core::{DType, Tensor};
use candle_nn::Init;

fn parameters(dtype: DType) -> Parameters {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(4), dtype, &CPU);
    let init = Init::Uniform { lo: -1.0, up: 1.0 };
    vb.get_with_hints(7, "bias", init).unwrap();
    vb.get_with_hints((5, 7), "weight", init).unwrap();
    parameters
}

/// The gradients of a loss that differs from step to step.
fn gradients(parameters: &Parameters, step: usize) -> Gradients {
    let mut total: Option<Tensor> = None;
    for (_, var) in parameters.vars() {
        let shifted = (var.as_tensor() + (step as f64).sin()).unwrap();
        let loss = (shifted.sqr().unwrap().sqr().unwrap()).sum_all().unwrap();
        total = Some(match total {
            None => loss,
            Some(sum) => (sum + loss).unwrap(),
        });
    }
    Gradients::collect(parameters, &total.unwrap().backward().unwrap()).unwrap()
}

/// `torch.optim.AdamW`, single tensor, written out for one scalar (Loshchilov & Hutter, 2019).
struct Reference {
    mean: f64,
    square: f64,
}

impl Reference {
    fn step(&mut self, p: &mut f64, g: f64, t: i32, lr: f64, decay: f64, c: &AdamWConfig) {
        *p -= lr * decay * *p;
        self.mean += (g - self.mean) * (1.0 - c.beta1);
        self.square = self.square * c.beta2 + (1.0 - c.beta2) * g * g;
        let step_size = lr / (1.0 - c.beta1.powi(t));
        let denominator = self.square.sqrt() / (1.0 - c.beta2.powi(t)).sqrt() + c.eps;
        *p -= step_size * self.mean / denominator;
    }
}

#[test]
fn adamw_follows_the_published_formula() {
    for decay_vectors in [true, false] {
        for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 2e-6)] {
            let config = AdamWConfig { weight_decay: 0.1, decay_vectors, ..Default::default() };
            let parameters = parameters(dtype);
            let mut adamw = AdamW::new(&parameters, config).unwrap();
            let mut expected: Vec<Vec<f64>> = parameters.vars().iter().map(|(_, v)| values(v)).collect();
            let mut state: Vec<Vec<Reference>> = expected
                .iter()
                .map(|p| p.iter().map(|_| Reference { mean: 0.0, square: 0.0 }).collect())
                .collect();
            for step in 0..20 {
                let lr = 0.05 / (1.0 + step as f64);
                let gradients = gradients(&parameters, step);
                adamw.step(&gradients, lr).unwrap();
                for (i, (name, _)) in parameters.vars().iter().enumerate() {
                    let decay = if name == "bias" && !decay_vectors { 0.0 } else { 0.1 };
                    let g = values(&gradients.tensors()[i]);
                    for ((p, s), g) in expected[i].iter_mut().zip(&mut state[i]).zip(g) {
                        s.step(p, g, step as i32 + 1, lr, decay, &config);
                    }
                }
            }
            assert_eq!(adamw.step_count(), 20);
            for ((_, var), expected) in parameters.vars().iter().zip(&expected) {
                for (got, expected) in values(var).iter().zip(expected) {
                    assert!((got - expected).abs() < tolerance, "{got} and {expected}");
                }
            }
        }
    }
}

#[test]
fn a_resumed_optimizer_continues_bit_for_bit() {
    let run = |interrupted: bool| {
        let parameters = parameters(DType::F32);
        let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
        for step in 0..10 {
            if interrupted && step == 6 {
                let state = adamw.state().unwrap();
                adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
                adamw.restore(&state).unwrap();
            }
            adamw.step(&gradients(&parameters, step), 0.01).unwrap();
        }
        let state = adamw.state().unwrap();
        assert_eq!(state["step"].to_vec1::<i64>().unwrap(), [10]);
        let vars = parameters.vars();
        let mut all: Vec<Vec<u64>> = vars.iter().map(|(_, v)| bits(v)).collect();
        all.push(bits(&state["exp_avg.weight"]));
        all.push(bits(&state["exp_avg_sq.bias"]));
        all
    };
    assert_eq!(run(false), run(true));
}

#[test]
fn a_state_is_a_copy_and_one_that_does_not_fit_is_refused_whole() {
    let parameters = parameters(DType::F32);
    let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    adamw.step(&gradients(&parameters, 0), 0.01).unwrap();
    let state = adamw.state().unwrap();
    let before = bits(&state["exp_avg.bias"]);
    adamw.step(&gradients(&parameters, 1), 0.01).unwrap();
    assert_eq!(bits(&state["exp_avg.bias"]), before);

    let now = bits(&adamw.state().unwrap()["exp_avg.bias"]);
    let mut missing = state.clone();
    missing.remove("exp_avg_sq.weight");
    let mut surplus = state.clone();
    surplus.insert("exp_avg.other".into(), state["step"].clone());
    let mut reshaped = state.clone();
    reshaped.insert("exp_avg_sq.weight".into(), state["exp_avg_sq.weight"].t().unwrap());
    let mut negative = state.clone();
    negative.insert("step".into(), Tensor::new(&[-1i64], &CPU).unwrap());
    for wrong in [missing, surplus, reshaped, negative] {
        assert!(adamw.restore(&wrong).is_err());
        assert_eq!(adamw.step_count(), 2);
        assert_eq!(bits(&adamw.state().unwrap()["exp_avg.bias"]), now);
    }
}

#[test]
fn a_nan_gradient_shows_in_the_parameter() {
    let parameters = parameters(DType::F32);
    let mut adamw = AdamW::new(&parameters, AdamWConfig::default()).unwrap();
    let mut g = gradients(&parameters, 0);
    g.scale(f64::NAN).unwrap();
    adamw.step(&g, 0.01).unwrap();
    assert!(parameters.vars().iter().all(|(_, v)| values(v).iter().all(|x| x.is_nan())));
}

#[test]
fn constants_out_of_range_are_refused() {
    let parameters = parameters(DType::F32);
    for config in [
        AdamWConfig { beta1: 1.0, ..Default::default() },
        AdamWConfig { beta2: -0.1, ..Default::default() },
        AdamWConfig { eps: f64::NAN, ..Default::default() },
        AdamWConfig { weight_decay: f64::INFINITY, ..Default::default() },
    ] {
        assert!(AdamW::new(&parameters, config).is_err());
    }
}
