//! Eigenvalues of small dense matrices, row by row in a slice, in f64.

use std::ops::{Add, Mul, Sub};

use super::error::{AnalysisError, Result};

/// L with L·Lᵀ = A, of a symmetric A (n × n) that is positive semidefinite: a direction without length gets a column of
/// zeros.
pub(super) fn cholesky(a: &[f64], n: usize) -> Vec<f64> {
    let mut l = a.to_vec();
    let largest = (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    for j in 0..n {
        let pivot = l[j * n + j] - (0..j).map(|k| l[j * n + k].powi(2)).sum::<f64>();
        // What rounding leaves of a zero.
        let flat = pivot <= 1e-14 * largest;
        let root = if flat { 0.0 } else { pivot.sqrt() };
        l[j * n + j] = root;
        for i in 0..n {
            if i < j {
                l[i * n + j] = 0.0;
            } else if i > j {
                let rest = l[i * n + j] - (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum::<f64>();
                l[i * n + j] = if flat { 0.0 } else { rest / root };
            }
        }
    }
    l
}

/// The eigenvalues of a symmetric matrix (n × n), largest first, by Jacobi's rotations (1846): each makes one pair of
/// off-diagonal elements zero; what is left of the others shrinks quadratically in the end.
pub(super) fn symmetric_eigenvalues(mut a: Vec<f64>, n: usize) -> Result<Vec<f64>> {
    const SWEEPS: usize = 60;
    // A product that is symmetric in exact arithmetic is so up to rounding only.
    for i in 0..n {
        for j in 0..i {
            let mean = 0.5 * (a[i * n + j] + a[j * n + i]);
            (a[i * n + j], a[j * n + i]) = (mean, mean);
        }
    }
    let rounding = (f64::EPSILON * n as f64).powi(2);
    let size: f64 = a.iter().map(|x| x * x).sum();
    let mut done = false;
    for _ in 0..SWEEPS {
        let off: f64 =
            (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        done = off <= rounding * size;
        if done {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let apq = a[p * n + q];
                if apq == 0.0 {
                    continue;
                }
                // tan of the angle: the smaller root of t² + 2θt − 1 = 0, θ = (a_qq − a_pp)/(2·a_pq).
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let c = t.hypot(1.0).recip();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                }
                for row in a.chunks_exact_mut(n) {
                    let (x, y) = (row[p], row[q]);
                    (row[p], row[q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    if !done {
        return Err(AnalysisError::NotConverged { what: "the eigenvalues of a symmetric matrix" });
    }
    let mut values: Vec<f64> = (0..n).map(|i| a[i * n + i]).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(values)
}

/// A complex number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

impl Complex {
    const ZERO: Self = Self::real(0.0);

    const fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    pub(super) fn abs(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn conjugate(self) -> Self {
        Self { im: -self.im, ..self }
    }

    fn scaled(self, by: f64) -> Self {
        Self { re: self.re * by, im: self.im * by }
    }

    /// The root with a real part of at least 0.
    fn sqrt(self) -> Self {
        let abs = self.abs();
        let re = (0.5 * (abs + self.re)).max(0.0).sqrt();
        let im = (0.5 * (abs - self.re)).max(0.0).sqrt();
        Self { re, im: if self.im < 0.0 { -im } else { im } }
    }
}

impl Add for Complex {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }
}

impl Sub for Complex {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let re = self.re * other.re - self.im * other.im;
        Self { re, im: self.re * other.im + self.im * other.re }
    }
}

/// The eigenvalues of any real matrix (n × n), in no order: reduced to Hessenberg form, then by QR steps with
/// Wilkinson's shift, in complex numbers, each of which splits off the last row in two or three steps.
pub(super) fn eigenvalues(a: Vec<f64>, n: usize) -> Result<Vec<Complex>> {
    const STEPS: usize = 60;
    let mut h: Vec<Complex> = hessenberg(a, n).into_iter().map(Complex::real).collect();
    let mut values = vec![Complex::ZERO; n];
    let mut end = n; // rows below it are done
    let mut steps = 0;
    while end > 0 {
        let last = end - 1;
        // The largest block at the end that no zero below the diagonal cuts.
        let mut start = last;
        while start > 0 {
            let beside = h[start * n + start].abs() + h[(start - 1) * n + start - 1].abs();
            let below = &mut h[start * n + start - 1];
            if below.abs() <= f64::EPSILON * beside {
                *below = Complex::ZERO;
                break;
            }
            start -= 1;
        }
        if start == last {
            values[last] = h[last * n + last];
            (end, steps) = (last, 0);
            continue;
        }
        steps += 1;
        if steps > STEPS {
            return Err(AnalysisError::NotConverged { what: "the eigenvalues of a head's circuit" });
        }
        let shift = match steps % 10 {
            // A shift out of line, should the others go round in a circle.
            0 => h[last * n + last] + Complex::real(h[last * n + last - 1].abs()),
            _ => wilkinson(&h, n, last),
        };
        step(&mut h, n, start, last, shift);
    }
    Ok(values)
}

/// The eigenvalue of the last two rows and columns that is nearer to the last element.
fn wilkinson(h: &[Complex], n: usize, last: usize) -> Complex {
    let at = |i: usize, j: usize| h[i * n + j];
    let (a, b) = (at(last - 1, last - 1), at(last - 1, last));
    let (c, d) = (at(last, last - 1), at(last, last));
    let half = (a - d).scaled(0.5);
    let root = (half * half + b * c).sqrt();
    let middle = (a + d).scaled(0.5);
    let (x, y) = (middle + root, middle - root);
    if (x - d).abs() < (y - d).abs() { x } else { y }
}

/// H − σ = QR, then RQ + σ, of rows and columns `start..=last`.
fn step(h: &mut [Complex], n: usize, start: usize, last: usize, shift: Complex) {
    (start..=last).for_each(|i| h[i * n + i] = h[i * n + i] - shift);
    let mut turns = Vec::with_capacity(last - start);
    for k in start..last {
        // [c s; −s̄ c] takes (x, y) to (r, 0).
        let (x, y) = (h[k * n + k], h[(k + 1) * n + k]);
        let length = x.abs().hypot(y.abs());
        let (c, s) = match (x.abs(), length) {
            (_, 0.0) => (1.0, Complex::ZERO),
            (0.0, _) => (0.0, y.conjugate().scaled(length.recip())),
            (size, _) => (size / length, (x * y.conjugate()).scaled((size * length).recip())),
        };
        for j in k..=last {
            let (x, y) = (h[k * n + j], h[(k + 1) * n + j]);
            h[k * n + j] = x.scaled(c) + s * y;
            h[(k + 1) * n + j] = y.scaled(c) - s.conjugate() * x;
        }
        turns.push((c, s));
    }
    for (k, (c, s)) in (start..last).zip(turns) {
        for i in start..=(k + 1).min(last) {
            let (x, y) = (h[i * n + k], h[i * n + k + 1]);
            h[i * n + k] = x.scaled(c) + s.conjugate() * y;
            h[i * n + k + 1] = y.scaled(c) - s * x;
        }
    }
    (start..=last).for_each(|i| h[i * n + i] = h[i * n + i] + shift);
}

/// A similar matrix with zeros below the first subdiagonal, by Householder's reflections.
fn hessenberg(mut a: Vec<f64>, n: usize) -> Vec<f64> {
    for k in 0..n.saturating_sub(2) {
        let mut v: Vec<f64> = (k + 1..n).map(|i| a[i * n + k]).collect();
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        if length == 0.0 {
            continue;
        }
        v[0] += if v[0] < 0.0 { -length } else { length };
        let twice = 2.0 / v.iter().map(|x| x * x).sum::<f64>();
        for j in 0..n {
            let dot: f64 = v.iter().enumerate().map(|(i, v)| v * a[(k + 1 + i) * n + j]).sum();
            v.iter().enumerate().for_each(|(i, v)| a[(k + 1 + i) * n + j] -= twice * dot * v);
        }
        for row in a.chunks_exact_mut(n) {
            let row = &mut row[k + 1..];
            let dot: f64 = row.iter().zip(&v).map(|(a, v)| a * v).sum();
            row.iter_mut().zip(&v).for_each(|(a, v)| *a -= twice * dot * v);
        }
        (k + 2..n).for_each(|i| a[i * n + k] = 0.0);
    }
    a
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn noise(count: usize, seed: f64) -> Vec<f64> {
        (0..count)
            .map(|i| ((i as f64 + seed) * 12.9898).sin() * 43.758)
            .map(|x| x - x.floor() - 0.5)
            .collect()
    }

    fn product(a: &[f64], b: &[f64], n: usize) -> Vec<f64> {
        let cell = |i: usize| (0..n).map(|k| a[i / n * n + k] * b[k * n + i % n]).sum();
        (0..n * n).map(cell).collect()
    }

    fn transposed(a: &[f64], n: usize) -> Vec<f64> {
        (0..n * n).map(|i| a[i % n * n + i / n]).collect()
    }

    /// Q·M·Qᵀ for some rotation Q.
    fn rotated(m: &[f64], n: usize) -> Vec<f64> {
        let mut m = m.to_vec();
        for (at, v) in [noise(n, 3.0), noise(n, 8.0)].iter().enumerate() {
            let square: f64 = v.iter().map(|x| x * x).sum();
            let unit = |i: usize| f64::from(u8::from(i / n == i % n));
            let q: Vec<f64> = (0..n * n).map(|i| unit(i) - 2.0 * v[i / n] * v[i % n] / square).collect();
            assert!(at < 2);
            m = product(&product(&q, &m, n), &transposed(&q, n), n);
        }
        m
    }

    #[test]
    fn cholesky_gives_back_its_matrix_even_without_full_rank() {
        for (n, rank) in [(1, 1), (5, 5), (9, 4)] {
            let mut factor = noise(n * n, 1.0);
            factor.iter_mut().enumerate().for_each(|(i, x)| *x *= f64::from(u8::from(i % n < rank)));
            let a = product(&factor, &transposed(&factor, n), n);
            let l = cholesky(&a, n);
            let back = product(&l, &transposed(&l, n), n);
            assert!(a.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-6), "{n} {rank}");
            assert!((0..n).all(|i| (i + 1..n).all(|j| l[i * n + j] == 0.0)));
        }
    }

    #[test]
    fn the_eigenvalues_of_a_symmetric_matrix_are_those_it_was_made_of() {
        for n in [1, 2, 7, 40, 128] {
            let values: Vec<f64> = (0..n).map(|i| (i as f64 - 3.0) * 0.7).collect();
            let diagonal: Vec<f64> =
                (0..n * n).map(|i| if i / n == i % n { values[i % n] } else { 0.0 }).collect();
            let found = symmetric_eigenvalues(rotated(&diagonal, n), n).unwrap();
            assert!(
                found.iter().zip(values.iter().rev()).all(|(a, b)| (a - b).abs() < 1e-11 * n as f64),
                "{found:?}"
            );
        }
        assert!(symmetric_eigenvalues(vec![1.0, f64::NAN, f64::NAN, 1.0], 2).is_err());
    }

    #[test]
    fn the_eigenvalues_of_any_matrix_are_those_it_was_made_of() {
        for n in [1, 2, 3, 8, 40] {
            // Blocks [a b; −b a] have eigenvalues a ± ib; above them anything.
            let mut m = vec![0.0; n * n];
            let mut expected = Vec::new();
            let above = noise(n * n, 5.0);
            (0..n * n).filter(|i| i % n > i / n).for_each(|i| m[i] = above[i]);
            let mut i = 0;
            while i < n {
                let (a, b) = (1.0 + i as f64 * 0.3, 0.5 + i as f64 * 0.1);
                m[i * n + i] = a;
                if i + 1 < n && i % 4 == 0 {
                    (m[i * n + i + 1], m[(i + 1) * n + i], m[(i + 1) * n + i + 1]) = (b, -b, a);
                    expected.extend([Complex { re: a, im: b }, Complex { re: a, im: -b }]);
                    i += 2;
                } else {
                    expected.push(Complex::real(a));
                    i += 1;
                }
            }
            let mut found = eigenvalues(rotated(&m, n), n).unwrap();
            for value in expected {
                let nearest = (0..found.len())
                    .min_by(|&a, &b| (found[a] - value).abs().total_cmp(&(found[b] - value).abs()));
                let nearest = found.swap_remove(nearest.unwrap());
                assert!((nearest - value).abs() < 1e-7, "{n}: {nearest:?} {value:?}");
            }
        }
        assert!(eigenvalues(vec![f64::NAN; 9], 3).is_err());
        // A permutation, on which unshifted steps stand still.
        let turn = eigenvalues(vec![0., 1., 0., 0., 0., 1., 1., 0., 0.], 3).unwrap();
        assert!(turn.iter().all(|value| (value.abs() - 1.0).abs() < 1e-12), "{turn:?}");
    }
}
