//! The largest singular value of a matrix, as a function of the matrix alone.
//!
//! ```text
//! v ← Wᵀu/‖Wᵀu‖,  u ← Wv/‖Wv‖,  …      σ = uᵀWv      ∂σ/∂W = u·vᵀ
//! ```
//! Zhai et al. (2023) keep u from step to step. Here the iteration begins with the same vector every time and goes on
//! until σ stands still: a model has no state besides its weights, so that a run that is resumed, or cut into
//! micro-batches in another way, computes the same.

use attnlab_ops::composed;
use candle_core::{DType, Device, Tensor};

use crate::error::Result;

/// σ changes less than this, relative, in the last iteration.
const STILL: f64 = 1e-6;
/// Iterations at most. Two singular values that are nearly one take long to tell apart: σ is right all the same, u and v,
/// and with them the gradient, are then a mixture of both.
const MOST: usize = 64;

/// σ(W) of W (Out, In), a number; u and v are constants to its gradient.
pub(crate) fn norm(weight: &Tensor) -> Result<Tensor> {
    let (u, v) = vectors(weight)?;
    let row = |x: Vec<f32>, shape: (usize, usize)| -> Result<Tensor> {
        Ok(Tensor::from_vec(x, shape, &Device::Cpu)?.to_dtype(weight.dtype())?.to_device(weight.device())?)
    };
    let (rows, columns) = weight.dims2()?;
    // uᵀWv; never 0, so that a matrix of zeros stays one.
    let sigma = row(u, (1, rows))?.matmul(weight)?.matmul(&row(v, (columns, 1))?)?.reshape(())?;
    Ok((composed::relu(&(sigma - LEAST)?)? + LEAST)?)
}

/// What is divided by at least.
const LEAST: f64 = 1e-12;

/// u (Out) and v (In) of the largest singular value.
fn vectors(weight: &Tensor) -> Result<(Vec<f32>, Vec<f32>)> {
    let (rows, columns) = weight.dims2()?;
    let w = weight.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    // No direction is left out, and none that a matrix is likely to be blind to is preferred.
    let mut u: Vec<f32> = (0..rows).map(|i| 1.0 + 0.5 * (1.7 * i as f32).sin()).collect();
    let mut v = vec![0f32; columns];
    normalise(&mut u);
    let mut sigma = 0.0;
    for _ in 0..MOST {
        v.fill(0.0);
        for (row, &u) in w.chunks_exact(columns.max(1)).zip(&u) {
            for (v, &w) in v.iter_mut().zip(row) {
                *v += u * w;
            }
        }
        normalise(&mut v);
        for (row, u) in w.chunks_exact(columns.max(1)).zip(&mut u) {
            *u = dot(row, &v);
        }
        let before = std::mem::replace(&mut sigma, normalise(&mut u));
        if (sigma - before).abs() <= STILL * sigma {
            break;
        }
    }
    Ok((u, v))
}

/// In sixteen sums that go side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (chunks, rest) = a.as_chunks::<16>();
    let (others, other_rest) = b.as_chunks::<16>();
    let mut sums = [0f32; 16];
    for (a, b) in chunks.iter().zip(others) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f32>()
}

/// Divides by the length, which is returned; zeros stay.
fn normalise(x: &mut [f32]) -> f64 {
    let length = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    length
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_norm_is_the_largest_singular_value_and_its_gradient_the_product_of_the_vectors() {
        // W = U diag(5, 3, 1) Vᵀ with a reflection on each side.
        let reflect = |n: usize, seed: f64| -> Vec<Vec<f64>> {
            let x: Vec<f64> = (0..n).map(|i| (seed + i as f64 * 0.9).sin()).collect();
            let square: f64 = x.iter().map(|x| x * x).sum();
            let entry = |i: usize, j: usize| f64::from(u8::from(i == j)) - 2.0 * x[i] * x[j] / square;
            (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect()
        };
        let (u, v) = (reflect(4, 0.3), reflect(3, 1.1));
        let singular = [5.0, 3.0, 1.0];
        let entry = |i: usize, j: usize| -> f64 { (0..3).map(|s| u[i][s] * singular[s] * v[j][s]).sum() };
        let w: Vec<f64> = (0..12).map(|at| entry(at / 3, at % 3)).collect();
        let w = Tensor::from_vec(w, (4, 3), &Device::Cpu).unwrap();
        let sigma = norm(&w).unwrap().to_scalar::<f64>().unwrap();
        assert!((sigma - 5.0).abs() < 1e-3, "{sigma}");
        let var = candle_core::Var::from_tensor(&w).unwrap();
        let gradient = norm(&var).unwrap().backward().unwrap();
        let gradient: Vec<f64> = gradient.get(&var).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        for (at, found) in gradient.iter().enumerate() {
            let slope = u[at / 3][0] * v[at % 3][0];
            assert!((found - slope).abs() < 2e-3, "{found} is not {slope}");
        }
        let zeros = norm(&w.zeros_like().unwrap()).unwrap().to_scalar::<f64>().unwrap();
        assert!(zeros > 0.0 && zeros < 1e-9);
    }
}
