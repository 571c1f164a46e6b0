//! Comparing an operation with its reference: values, gradients, finite differences.

use attnlab_ops::{Gradients, Parameters, Result, Streams, Tape};
use candle_core::{DType, Device, Error, Tensor, Var};
use candle_nn::Init;
use rand::Rng as _;

pub const CPU: Device = Device::Cpu;

/// Reproducible normal-ish values.
pub fn random(name: &str, dims: &[usize]) -> Tensor {
    let mut rng = Streams::new(11).rng(name, dims.iter().map(|&d| d as u64).sum());
    let count = dims.iter().product();
    let values: Vec<f64> =
        (0..count).map(|_| (0..4).map(|_| rng.random::<f64>() - 0.5).sum::<f64>() * 1.7).collect();
    Tensor::from_vec(values, dims, &CPU).unwrap()
}

pub fn values(x: &Tensor) -> Vec<f64> {
    let x = x.to_dtype(DType::F64).unwrap();
    x.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn bits(x: &Tensor) -> Vec<u64> {
    values(x).into_iter().map(f64::to_bits).collect()
}

/// Largest difference relative to the largest element expected; NaN if there is one.
pub fn difference(got: &Tensor, expected: &Tensor) -> f64 {
    difference_at(got, expected, size(std::slice::from_ref(expected)))
}

fn size(tensors: &[Tensor]) -> f64 {
    let all = tensors.iter().flat_map(values);
    all.fold(1e-3, |m, x| m.max(x.abs()))
}

fn difference_at(got: &Tensor, expected: &Tensor, size: f64) -> f64 {
    assert_eq!(got.dims(), expected.dims());
    let (got, expected) = (values(got), values(expected));
    let errors = got.iter().zip(&expected).map(|(a, b)| (a - b).abs() / size);
    errors.fold(0.0, |m, e| if e <= m { m } else { e })
}

/// The result, and the gradient of `Σ weights · result` for each input.
fn run(f: &dyn Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor], dtype: DType) -> (Tensor, Vec<Tensor>) {
    let vars: Vec<Var> =
        inputs.iter().map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap()).collect();
    let args: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    let y = f(&args).unwrap();
    let grads = weighted(&y).backward().unwrap();
    let grads = vars.iter().map(|v| grads.get(v).expect("a gradient for every input").clone()).collect();
    (y, grads)
}

/// The gradients as [`run`] gives them, by a tape.
fn run_on_tape(f: &dyn Fn(&[Tensor]) -> Result<Tensor>, inputs: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let parameters = Parameters::new();
    let vb = parameters.seeded(Streams::new(0), dtype, &CPU);
    let named = inputs.iter().enumerate().map(|(i, x)| (format!("{i:03}"), x));
    let args: Vec<Tensor> = named
        .clone()
        .map(|(name, x)| vb.get_with_hints(x.dims(), &name, Init::Const(0.0)).unwrap())
        .collect();
    parameters.load(&named.map(|(name, x)| (name, x.clone())).collect()).unwrap();
    let mut sum = Gradients::none(&parameters).unwrap();
    Tape::new(&parameters).gradient(&mut sum, || Ok::<_, Error>(weighted(&f(&args)?))).unwrap();
    sum.tensors().to_vec()
}

fn weighted(y: &Tensor) -> Tensor {
    let weights = random("weights", y.dims()).to_dtype(y.dtype()).unwrap();
    (y * weights).unwrap().sum_all().unwrap()
}

/// Checks `fused` against `reference` in f64 and f32, and its gradients against central
/// differences in f64. Returns the worst error in f32.
pub fn check(
    name: &str,
    fused: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    reference: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
) -> f64 {
    let mut worst = 0.0f64;
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let (y, grads) = run(fused, inputs, dtype);
        // The reference always in f64: an error in f32 is then the error of the operation.
        let (expected, expected_grads) = run(reference, inputs, DType::F64);
        let error = difference(&y, &expected);
        assert!(error <= tolerance, "{name} {dtype:?}: value off by {error}");
        worst = error;
        // A gradient may cancel to zero (attention to a single key): what is left of it is
        // measured against the gradients it travels with.
        let size = size(&expected_grads);
        for (i, (got, expected)) in grads.iter().zip(&expected_grads).enumerate() {
            let error = difference_at(got, expected, size);
            assert!(error <= tolerance, "{name} {dtype:?}: gradient {i} off by {error}");
            worst = worst.max(error);
        }
        for (i, (got, expected)) in run_on_tape(fused, inputs, dtype).iter().zip(&grads).enumerate() {
            assert_eq!(values(got), values(expected), "{name} {dtype:?}: gradient {i} differs on a tape");
        }
        let again = run(fused, inputs, dtype);
        assert_eq!(bits(&y), bits(&again.0), "{name}: two runs differ");
    }
    let (_, grads) = run(fused, inputs, DType::F64);
    report(name, worst, finite_differences(name, fused, inputs, &grads));
    worst
}

/// [`check`] for an operation with more inputs than Candle's autograd takes, whose kernels run on a tape only.
pub fn check_on_tape(
    name: &str,
    fused: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    reference: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
) -> f64 {
    let mut worst = 0.0f64;
    let (expected, expected_grads) = run(reference, inputs, DType::F64);
    let size = size(&expected_grads);
    for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
        let args: Vec<Tensor> = inputs.iter().map(|x| x.to_dtype(dtype).unwrap()).collect();
        worst = difference(&fused(&args).unwrap(), &expected);
        assert!(worst <= tolerance, "{name} {dtype:?}: value off by {worst}");
        for (i, (got, expected)) in run_on_tape(fused, inputs, dtype).iter().zip(&expected_grads).enumerate()
        {
            let error = difference_at(got, expected, size);
            assert!(error <= tolerance, "{name} {dtype:?}: gradient {i} off by {error}");
            worst = worst.max(error);
        }
    }
    report(name, worst, finite_differences(name, fused, inputs, &run_on_tape(fused, inputs, DType::F64)));
    worst
}

/// A line for the table of errors in docs/performance.md, shown by `--nocapture`.
#[expect(clippy::print_stdout, reason = "how far the errors are from the bounds is worth knowing")]
fn report(name: &str, composed: f64, difference: f64) {
    println!("error | {name} | {composed:.1e} | {difference:.1e}");
}

/// Central differences at some coordinates; the worst error, relative to the largest element of the gradient.
fn finite_differences(
    name: &str,
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    inputs: &[Tensor],
    grads: &[Tensor],
) -> f64 {
    let mut worst = 0.0f64;
    let step = 1e-6;
    // Rounding of the terms of `weighted` is all that a difference sees of a gradient that cancels.
    let y = f(inputs).unwrap();
    let weights = random("weights", y.dims());
    let noise = 1e-15 / step * values(&(y * weights).unwrap()).iter().map(|x| x.abs()).sum::<f64>();
    for (which, grad) in grads.iter().enumerate() {
        let base = values(&inputs[which]);
        let grad = values(grad);
        let size = grad.iter().fold(1e-3f64, |m, g| m.max(g.abs()));
        // A handful of coordinates spread over the tensor.
        let stride = (base.len() / 12).max(1);
        for at in (0..base.len()).step_by(stride) {
            let moved = |by: f64| {
                let mut shifted = base.clone();
                shifted[at] += by;
                let mut args = inputs.to_vec();
                args[which] = Tensor::from_vec(shifted, inputs[which].dims(), &CPU).unwrap();
                weighted(&f(&args).unwrap()).to_scalar::<f64>().unwrap()
            };
            let numeric = (moved(step) - moved(-step)) / (2.0 * step);
            let error = (numeric - grad[at]).abs();
            assert!(
                error < 1e-6 * size + noise,
                "{name}: input {which} element {at}: {} by formula, {numeric} by difference",
                grad[at]
            );
            worst = worst.max(error / size);
        }
    }
    worst
}
