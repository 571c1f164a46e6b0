//! Ways to stretch rotary positions beyond the length a model was first trained on.
//!
//! Each changes the rates θ_j = base^(−2j/R) of the turning pairs, and some the length of the turned vectors.

use std::f64::consts::TAU;

use serde::{Deserialize, Serialize};

/// How the rates of a rotary encoding are stretched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// θ_j/factor: positions are interpolated (Chen et al. 2023, arXiv 2306.15595).
    Linear {
        /// How much longer sequences get.
        factor: f64,
    },
    /// base·factor^(R/(R−2)): the slowest pair is stretched in full, the fastest not at all ("NTK-aware", fixed;
    /// Peng et al. 2023, arXiv 2309.00071).
    Ntk {
        /// How much longer sequences get.
        factor: f64,
    },
    /// base·(factor·n/original − factor + 1)^(R/(R−2)) for sequences of n > original tokens ("NTK-aware", dynamic).
    Dynamic {
        /// How much longer sequences get.
        factor: f64,
        /// The length of training.
        original: usize,
    },
    /// θ_j for short wavelengths, θ_j/factor for long ones, a ramp over wavelengths in between (Llama 3.1).
    Llama3 {
        /// How much longer sequences get.
        factor: f64,
        /// Wavelengths above original/low_freq_factor are stretched in full.
        low_freq_factor: f64,
        /// Wavelengths below original/high_freq_factor are left alone.
        high_freq_factor: f64,
        /// The length of training.
        original: usize,
    },
    /// θ_j for fast pairs, θ_j/factor for slow ones, a ramp over pairs in between (Peng et al. 2023, arXiv 2309.00071).
    Yarn {
        /// How much longer sequences get.
        factor: f64,
        /// Pairs that turn more often than this over `original` tokens are left alone.
        beta_fast: f64,
        /// Pairs that turn less often than this are stretched in full.
        beta_slow: f64,
        /// The length of training.
        original: usize,
        /// Whether the ramp begins and ends at whole pairs.
        truncate: bool,
        /// The length of turned vectors.
        attention_factor: f64,
    },
    /// θ_j/short_j up to `original` tokens, θ_j/long_j beyond (Ding et al. 2024, arXiv 2402.13753).
    Longrope {
        /// A divisor for each pair, for short sequences.
        short: Vec<f64>,
        /// A divisor for each pair, for long sequences.
        long: Vec<f64>,
        /// The length of training.
        original: usize,
        /// The length of turned vectors.
        attention_factor: f64,
    },
}

impl Scaling {
    /// What is wrong with it for R turning dimensions, if anything.
    pub(super) fn problem(&self, turning: usize) -> Option<String> {
        let positive = |name: &str, value: f64| {
            (!(value.is_finite() && value > 0.0))
                .then(|| format!("{name} {value} is not a finite number above 0"))
        };
        match self {
            Self::Linear { factor } => positive("factor", *factor),
            Self::Ntk { factor } => positive("factor", *factor)
                .or_else(|| (turning <= 2).then(|| "ntk needs more than two turning dimensions".to_owned())),
            Self::Dynamic { factor, original } => {
                positive("factor", *factor).or_else(|| positive("original", *original as f64)).or_else(|| {
                    (turning <= 2).then(|| "dynamic needs more than two turning dimensions".to_owned())
                })
            }
            Self::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original } => {
                positive("factor", *factor).or_else(|| positive("original", *original as f64)).or_else(|| {
                    let ordered = *low > 0.0 && high > low && high.is_finite();
                    (!ordered).then(|| format!("low_freq_factor {low} is not below high_freq_factor {high}"))
                })
            }
            Self::Yarn { factor, beta_fast, beta_slow, original, attention_factor, .. } => {
                positive("factor", *factor)
                    .or_else(|| positive("beta_fast", *beta_fast))
                    .or_else(|| positive("beta_slow", *beta_slow))
                    .or_else(|| positive("original", *original as f64))
                    .or_else(|| positive("attention_factor", *attention_factor))
            }
            Self::Longrope { short, long, original, attention_factor } => {
                let pairs = turning / 2;
                for (name, list) in [("short", short), ("long", long)] {
                    if list.len() != pairs {
                        return Some(format!("{name} has {} divisors for {pairs} turning pairs", list.len()));
                    }
                    if let Some(problem) = list.iter().find_map(|&divisor| positive(name, divisor)) {
                        return Some(problem);
                    }
                }
                positive("original", *original as f64)
                    .or_else(|| positive("attention_factor", *attention_factor))
            }
        }
    }

    /// Whether the rates depend on the length of the sequence.
    pub(super) fn depends_on_length(&self) -> bool {
        matches!(self, Self::Dynamic { .. } | Self::Longrope { .. })
    }

    /// The rates for a sequence of `len` tokens, from those without scaling.
    pub(super) fn rates(&self, plain: &[f64], base: f64, len: usize) -> Vec<f64> {
        match self {
            Self::Linear { factor } => plain.iter().map(|rate| rate / factor).collect(),
            Self::Ntk { factor } => {
                let r = 2.0 * plain.len() as f64;
                crate::sinusoidal::inverse_wavelengths(base * factor.powf(r / (r - 2.0)), 2 * plain.len())
            }
            Self::Dynamic { factor, original } => {
                let r = 2.0 * plain.len() as f64;
                let n = len.max(*original) as f64;
                let base = base * (factor * n / *original as f64 - (factor - 1.0)).powf(r / (r - 2.0));
                crate::sinusoidal::inverse_wavelengths(base, 2 * plain.len())
            }
            Self::Llama3 { factor, low_freq_factor: low, high_freq_factor: high, original } => {
                let original = *original as f64;
                let stretched = |rate: &f64| {
                    let wavelength = TAU / rate;
                    if wavelength > original / low {
                        rate / factor
                    } else if wavelength < original / high {
                        *rate
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        (1.0 - smooth) * rate / factor + smooth * rate
                    }
                };
                plain.iter().map(stretched).collect()
            }
            Self::Yarn { factor, beta_fast, beta_slow, original, truncate, .. } => {
                let r = 2.0 * plain.len() as f64;
                // The pair that turns `turns` times over the original length.
                let pair = |turns: f64| r * (*original as f64 / (turns * TAU)).ln() / (2.0 * base.ln());
                let (mut low, mut high) = (pair(*beta_fast), pair(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                (low, high) = (low.max(0.0), high.min(r - 1.0));
                if low == high {
                    high += 0.001; // no division by zero
                }
                let ramp = |j: usize| ((j as f64 - low) / (high - low)).clamp(0.0, 1.0);
                let stretched = |(j, rate): (usize, &f64)| rate / factor * ramp(j) + rate * (1.0 - ramp(j));
                plain.iter().enumerate().map(stretched).collect()
            }
            Self::Longrope { short, long, original, .. } => {
                let divisors = if len > *original { long } else { short };
                plain.iter().zip(divisors).map(|(rate, divisor)| rate / divisor).collect()
            }
        }
    }

    /// The factor on cosines and sines.
    pub(super) fn length(&self) -> f64 {
        match self {
            Self::Linear { .. } | Self::Ntk { .. } | Self::Dynamic { .. } | Self::Llama3 { .. } => 1.0,
            Self::Yarn { attention_factor, .. } | Self::Longrope { attention_factor, .. } => {
                *attention_factor
            }
        }
    }
}
