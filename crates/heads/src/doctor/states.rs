//! What is kept of the residual stream at one place: numbers of a matrix X (T, D) of states.

use candle_core::{DType, Device, Tensor};

/// Numbers of the states of one text at one place of the stream, in f64.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct States {
    /// ‖h_t‖ of each position.
    pub(super) norms: Vec<f64>,
    /// ‖X − 1x̄ᵀ‖_F / ‖X‖_F of the states scaled to unit length, the first position left out: how far they are from all
    /// pointing one way (Dong et al. 2021, arXiv 2103.03404, eq. 1, whose states are not scaled). Massive activations at
    /// single positions would hide the others.
    pub(super) residual: Option<f64>,
    /// The mean cosine of two of those states.
    pub(super) cosine: Option<f64>,
    /// The largest |h|, its position and channel.
    pub(super) largest: (f64, usize, usize),
    /// The median of |h| over all entries.
    pub(super) median: f64,
}

impl States {
    /// Of states (T, D).
    pub(super) fn of(x: &Tensor) -> candle_core::Result<Self> {
        let (_, d) = x.dims2()?;
        let x = x.to_device(&Device::Cpu)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let norms: Vec<f64> = x.iter().map(|h| h.iter().map(|h| h * h).sum::<f64>().sqrt()).collect();
        let mut mean = vec![0.0; d];
        let mut count = 0.0;
        for (h, norm) in x.iter().zip(&norms).skip(1).filter(|(_, norm)| **norm > 0.0) {
            count += 1.0;
            mean.iter_mut().zip(h).for_each(|(sum, h)| *sum += h / norm);
        }
        // ‖Σ x̂‖²; each ‖x̂‖ is 1.
        let together: f64 = mean.iter().map(|sum| sum * sum).sum();
        let pairs = count * (count - 1.0);
        let mut largest = (0.0, 0, 0);
        let mut sizes = Vec::with_capacity(x.len() * d);
        for (position, h) in x.iter().enumerate() {
            for (channel, h) in h.iter().enumerate() {
                sizes.push(h.abs());
                if h.abs() > largest.0 {
                    largest = (h.abs(), position, channel);
                }
            }
        }
        let middle = sizes.len() / 2;
        let median = match sizes.is_empty() {
            true => 0.0,
            false => *sizes.select_nth_unstable_by(middle, f64::total_cmp).1,
        };
        Ok(Self {
            norms,
            residual: (count > 0.0).then(|| (1.0 - together / (count * count)).max(0.0).sqrt()),
            cosine: (pairs > 0.0).then(|| (together - count) / pairs),
            largest,
            median,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_of_states_are_those_of_the_definitions() {
        let x: Vec<Vec<f64>> =
            (0..7).map(|t| (0..5).map(|c| (1.3 * f64::from(t * 5 + c)).sin() + 0.4).collect()).collect();
        let found = States::of(&Tensor::new(x.clone(), &Device::Cpu).unwrap()).unwrap();
        let unit: Vec<Vec<f64>> = x
            .iter()
            .skip(1)
            .map(|h| {
                let norm = h.iter().map(|h| h * h).sum::<f64>().sqrt();
                h.iter().map(|h| h / norm).collect()
            })
            .collect();
        let mut cosines = Vec::new();
        for (i, a) in unit.iter().enumerate() {
            for b in &unit[..i] {
                cosines.push(a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>());
            }
        }
        let cosine = cosines.iter().sum::<f64>() / cosines.len() as f64;
        assert!((found.cosine.unwrap() - cosine).abs() < 1e-12);
        let mut square = 0.0;
        for c in 0..5 {
            let mean = unit.iter().map(|h| h[c]).sum::<f64>() / 6.0;
            square += unit.iter().map(|h| (h[c] - mean).powi(2)).sum::<f64>();
        }
        assert!((found.residual.unwrap() - (square / 6.0).sqrt()).abs() < 1e-12);
        let (size, position, channel) = found.largest;
        assert_eq!(size, x[position][channel].abs());
        let mut all: Vec<f64> = x.concat().iter().map(|h| h.abs()).collect();
        all.sort_by(f64::total_cmp);
        assert_eq!((found.median, size), (all[17], all[34]));
    }

    #[test]
    fn equal_states_have_no_residual_and_one_state_has_no_pairs() {
        let same = States::of(&Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert!(same.residual.unwrap() < 1e-7 && (same.cosine.unwrap() - 1.0).abs() < 1e-12);
        let one = States::of(&Tensor::ones((1, 3), DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!((one.residual, one.cosine, one.median), (None, None, 1.0));
    }
}
