//! Means over texts, with an interval.

use serde::{Deserialize, Serialize};

/// A mean over texts, each of which counts the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean; none if no text had a row for which the statistic is defined.
    pub mean: Option<f64>,
    /// The 95 % confidence interval is the mean ± this (Student's t); none for fewer than two texts.
    pub half_width: Option<f64>,
    /// Texts with a value.
    pub texts: usize,
}

/// Welford's running mean and variance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    count: usize,
    mean: f64,
    squares: f64,
}

impl Running {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
    }

    pub(crate) fn estimate(&self) -> Estimate {
        let n = self.count as f64;
        Estimate {
            mean: (self.count > 0).then_some(self.mean),
            half_width: (self.count > 1)
                .then(|| student(self.count - 1) * (self.squares / (n - 1.0) / n).max(0.0).sqrt()),
            texts: self.count,
        }
    }
}

/// The 97.5 % point of Student's t: from the table up to ten degrees of freedom, by the expansion of Cornish and
/// Fisher beyond, within 5e-4.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706_205, 4.302_653, 3.182_446, 2.776_445, 2.570_582, 2.446_912, 2.364_624, 2.306_004, 2.262_157,
        2.228_139,
    ];
    if let Some(&t) = freedom.checked_sub(1).and_then(|at| TABLE.get(at)) {
        return t;
    }
    let (z, n) = (1.959_963_985f64, freedom as f64);
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_interval_is_students() {
        let mut running = Running::default();
        assert_eq!(running.estimate(), Estimate { mean: None, half_width: None, texts: 0 });
        running.add(1.0);
        assert_eq!(running.estimate().half_width, None);
        [2.0, 3.0, 4.0].into_iter().for_each(|x| running.add(x));
        let found = running.estimate();
        assert_eq!((found.mean, found.texts), (Some(2.5), 4));
        // s = √(5/3), t₃ = 3.182
        assert!((found.half_width.unwrap() - 3.182_446 * (5.0f64 / 3.0).sqrt() / 2.0).abs() < 1e-12);
        for (freedom, exact) in [(10, 2.228_139), (11, 2.200_985), (30, 2.042_272), (1000, 1.962_339)] {
            assert!((student(freedom) - exact).abs() < 5e-4, "{freedom}");
        }
    }
}
