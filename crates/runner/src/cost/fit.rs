//! t = a·N² + b·N + c with a, b, c ≥ 0, by least squares of relative errors.
//!
//! ```text
//! min Σ ((a·N² + b·N + c − t)/t)²,   a, b, c ≥ 0
//! ```
//! Weights 1/t²: timings scatter in proportion to themselves, and short inputs would count for nothing otherwise.

use attnlab_report::cost::Fit;

use super::bootstrap::Draws;

/// The fit to samples at ascending lengths; none with fewer than four of them, which three numbers fit anyhow.
pub(super) fn fit(lengths: &[f64], samples: &[&[f64]], draws: &Draws) -> Option<Fit> {
    if lengths.len() < 4 {
        return None;
    }
    let medians = draws.medians(samples);
    let [a, b, c] = quadratic(lengths, &medians);
    let resampled: Vec<[f64; 3]> = draws.resampled(samples).map(|times| quadratic(lengths, &times)).collect();
    let estimate = |at: usize, value| Draws::estimated(value, resampled.iter().map(|fit| fit[at]).collect());
    let errors = lengths.iter().zip(&medians).map(|(n, t)| ((a * n + b) * n + c) / t - 1.0);
    let residual = (errors.map(|e| e * e).sum::<f64>() / lengths.len() as f64).sqrt();
    let quadratic_from = (a > 0.0).then(|| (b + (b * b + 4.0 * a * c).sqrt()) / (2.0 * a));
    Some(Fit { a: estimate(0, a), b: estimate(1, b), c: estimate(2, c), residual, quadratic_from })
}

/// [a, b, c] of one set of times.
fn quadratic(lengths: &[f64], times: &[f64]) -> [f64; 3] {
    let column = |power: i32| lengths.iter().zip(times).map(|(n, t)| n.powi(power) / t).collect();
    non_negative(&[column(2), column(1), column(0)], &vec![1.0; times.len()])
}

/// The x ≥ 0 that minimises ‖Σ_c x_c·columns_c − y‖². Of its positive entries it is the plain least-squares solution
/// (Karush, Kuhn and Tucker), so the best of the feasible solutions over all sets of columns is it.
fn non_negative<const C: usize>(columns: &[Vec<f64>; C], y: &[f64]) -> [f64; C] {
    let mut best = ([0.0; C], y.iter().map(|y| y * y).sum::<f64>());
    for set in 1..1u32 << C {
        let chosen: Vec<usize> = (0..C).filter(|c| set >> c & 1 == 1).collect();
        let of_set: Vec<&[f64]> = chosen.iter().map(|&c| columns[c].as_slice()).collect();
        let Some(solution) = least_squares(&of_set, y) else { continue };
        if solution.iter().any(|x| *x < 0.0) {
            continue;
        }
        let mut x = [0.0; C];
        for (&c, value) in chosen.iter().zip(solution) {
            x[c] = value;
        }
        let error = |row: usize| (0..C).map(|c| x[c] * columns[c][row]).sum::<f64>() - y[row];
        let residual = (0..y.len()).map(|row| error(row).powi(2)).sum::<f64>();
        if residual < best.1 {
            best = (x, residual);
        }
    }
    best.0
}

/// The x that minimises ‖Σ_c x_c·columns_c − y‖², by modified Gram–Schmidt; none if a column depends on the others.
fn least_squares(columns: &[&[f64]], y: &[f64]) -> Option<Vec<f64>> {
    let count = columns.len();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut q: Vec<Vec<f64>> = columns.iter().map(|column| column.to_vec()).collect();
    let mut rest = y.to_vec();
    // Upper triangle of R, and Qᵀy.
    let (mut r, mut projected) = (vec![vec![0.0; count]; count], vec![0.0; count]);
    for c in 0..count {
        let length = dot(&q[c], &q[c]).sqrt();
        // Against what the column was before the others were taken out of it.
        if length <= 1e-12 * dot(columns[c], columns[c]).sqrt() || !length.is_finite() {
            return None;
        }
        r[c][c] = length;
        let unit: Vec<f64> = q[c].iter().map(|x| x / length).collect();
        for later in c + 1..count {
            r[c][later] = dot(&unit, &q[later]);
            let share = r[c][later];
            q[later].iter_mut().zip(&unit).for_each(|(x, u)| *x -= share * u);
        }
        projected[c] = dot(&unit, &rest);
        let share = projected[c];
        rest.iter_mut().zip(&unit).for_each(|(x, u)| *x -= share * u);
    }
    let mut x = vec![0.0; count];
    for c in (0..count).rev() {
        let known: f64 = (c + 1..count).map(|later| r[c][later] * x[later]).sum();
        x[c] = (projected[c] - known) / r[c][c];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LENGTHS: [f64; 7] = [64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0];

    fn times(a: f64, b: f64, c: f64) -> Vec<f64> {
        LENGTHS.iter().map(|n| a * n * n + b * n + c).collect()
    }

    #[test]
    fn an_exact_quadratic_is_found_again() {
        for (a, b, c) in [(1e-6, 2e-3, 0.1), (3e-5, 0.0, 0.0), (0.0, 7e-3, 0.5), (2e-6, 0.0, 1.0)] {
            let found = quadratic(&LENGTHS, &times(a, b, c));
            for (found, expected) in found.into_iter().zip([a, b, c]) {
                assert!((found - expected).abs() <= 1e-9 * expected.max(1e-6), "{found} is not {expected}");
            }
        }
    }

    #[test]
    fn what_would_be_negative_is_zero_and_the_rest_fits_best() {
        // Times that bend downwards: the free solution has a < 0.
        let times: Vec<f64> = LENGTHS.iter().map(|n| n.powf(0.8)).collect();
        let best = quadratic(&LENGTHS, &times);
        assert_eq!(best[0], 0.0);
        let cost = |[a, b, c]: [f64; 3]| {
            let errors = LENGTHS.iter().zip(&times).map(|(n, t)| (a * n * n + b * n + c) / t - 1.0);
            errors.map(|e| e * e).sum::<f64>()
        };
        // No small feasible step from there is better.
        for (at, step) in (0..3).flat_map(|at| [1e-3, -1e-3].map(|step| (at, step))) {
            let mut other = best;
            other[at] = (other[at] + step * [1e-4, 1e-1, 1.0][at]).max(0.0);
            assert!(cost(other) >= cost(best), "{other:?} is better than {best:?}");
        }
    }

    #[test]
    fn dependent_columns_are_told_and_do_not_divide_by_zero() {
        let column = vec![1.0, 2.0, 3.0];
        assert_eq!(least_squares(&[&column, &column], &[1.0, 2.0, 3.0]), None);
        let x = non_negative(&[column.clone(), column], &[2.0, 4.0, 6.0]);
        assert!((x[0] + x[1] - 2.0).abs() < 1e-12, "{x:?}");
    }

    #[test]
    fn the_quadratic_part_overtakes_where_it_equals_the_rest() {
        let samples: Vec<Vec<f64>> = times(1e-6, 1e-3, 0.2).into_iter().map(|t| vec![t; 5]).collect();
        let samples: Vec<&[f64]> = samples.iter().map(Vec::as_slice).collect();
        let fit = fit(&LENGTHS, &samples, &Draws::new(5, 1)).unwrap();
        let n = fit.quadratic_from.unwrap();
        assert!((1e-6 * n * n - (1e-3 * n + 0.2)).abs() < 1e-6, "{n}");
        assert!(fit.residual < 1e-9 && fit.a.low == fit.a.high, "{fit:?}");
        assert!(super::fit(&LENGTHS[..3], &samples[..3], &Draws::new(5, 1)).is_none());
    }
}
