//! What the encodings' tests share.
#![allow(clippy::unwrap_used)]

use attnlab_ops::{Parameters, Streams};
use candle_core::{Device, Shape, Tensor};
use rand::Rng as _;

use crate::position::Bias;

/// Numbers between −1 and 1 in f64, others for each `seed`.
pub(crate) fn numbers(shape: impl Into<Shape>, seed: u64) -> Tensor {
    let shape = shape.into();
    let mut rng = Streams::new(seed).rng("numbers", 0);
    let values: Vec<f64> = (0..shape.elem_count()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The values of a parameter, flat.
pub(crate) fn values(parameters: &Parameters, name: &str) -> Vec<f64> {
    let var = parameters.vars().into_iter().find(|(other, _)| other == name).unwrap().1;
    var.flatten_all().unwrap().to_vec1().unwrap()
}

/// Gives a parameter other values.
pub(crate) fn set(parameters: &Parameters, name: &str, values: &[f64]) {
    let var = parameters.vars().into_iter().find(|(other, _)| other == name).unwrap().1;
    var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
}

/// One number of a tensor of four dimensions; a dimension of 1 is shared.
pub(crate) fn at(x: &Tensor, index: [usize; 4]) -> f64 {
    let mut x = x.clone();
    for i in index {
        let i = if x.dims()[0] == 1 { 0 } else { i };
        x = x.get(i).unwrap();
    }
    x.to_scalar().unwrap()
}

/// The bias of head `h` for query `i` and key `j`, of as many queries as keys.
pub(crate) fn bias_at(bias: &Bias, row: usize, h: usize, i: usize, j: usize) -> f64 {
    match bias {
        Bias::None => 0.0,
        Bias::Full(full) => at(full, [row, h, i, j]),
        Bias::Distance(bias) => {
            let column = i as i64 - j as i64 - bias.first;
            bias.values.get(h).unwrap().get(column as usize).unwrap().to_scalar().unwrap()
        }
    }
}

/// Every index of four dimensions.
pub(crate) fn grid([a, b, c, d]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    (0..a * b * c * d).map(move |n| (n / (b * c * d), n / (c * d) % b, n / d % c, n % d))
}
