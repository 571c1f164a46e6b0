//! Kerple: each head's scores fall with the logarithm or with a power of the distance, and learn how fast.
//!
//! The authors keep r₁ and r₂ in their range by clamping them (at least 0.01; the exponent at most 2) after each step.
//! Here the range is part of the function, so that a gradient never ends at its edge: a positive number is |ρ|, an
//! exponent between 0 and 2 is 2·σ(ρ). Both start with the authors' distribution: U(0, 2) for r₁ of the logarithm and
//! for the exponent (σ of a normal number with deviation 1.702 is nearly uniform), U(0, 1) for the others.

use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::pairs::by_distance;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// How the score falls with the distance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// −r₁·ln(1 + r₂·|i − j|).
    #[default]
    Log,
    /// −r₁·|i − j|^r₂, 0 < r₂ < 2.
    Power,
}

/// Options of Kerple.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How the score falls with the distance.
    pub form: Form,
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "kerple",
        title: "kernelised distances (Kerple)",
        formula: "score_ij − r₁·ln(1 + r₂·|i − j|); form = \"power\": score_ij − r₁·|i − j|^r₂, r₂ < 2; \
                  r₁, r₂ > 0 of each head are learned",
        enters: Enters::Scores,
        parameters: "r1, r2: n_heads each, shared by the blocks",
        source: "Chi et al. 2022 (arXiv 2205.09921), and its code",
        example: "kind = \"kerple\"\nform = \"power\"\n",
    };

    fn label(&self) -> String {
        match self.form {
            Form::Log => "kerple",
            Form::Power => "kerple (power)",
        }
        .to_owned()
    }

    fn validate(&self, _: &Shape) -> std::result::Result<(), ConfigError> {
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        shape.n_heads.saturating_mul(2)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let below = |up| Init::Uniform { lo: 0.0, up };
        let (first, second) = match self.form {
            Form::Log => (below(2.0), below(1.0)),
            Form::Power => (below(1.0), Init::Randn { mean: 0.0, stdev: 1.702 }),
        };
        Ok(Box::new(Kerple {
            r1: vb.get_with_hints(shape.n_heads, "r1", first)?,
            r2: vb.get_with_hints(shape.n_heads, "r2", second)?,
            form: self.form,
            causal: shape.causal,
        }))
    }
}

struct Kerple {
    r1: Tensor, // (H), |r1| counts
    r2: Tensor, // (H), |r2| or 2·σ(r2) counts
    form: Form,
    causal: bool,
}

impl Kerple {
    /// (H, n) for n distances.
    fn values(&self, distances: &[i64], dtype: DType, device: &Device) -> Result<Tensor> {
        let table = |f: fn(f64) -> f64| -> Result<Tensor> {
            let values: Vec<f64> =
                distances.iter().map(|distance| f(distance.unsigned_abs() as f64)).collect();
            let shape = (1, distances.len());
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.r1.dtype())?.to_device(device)?)
        };
        let (r1, r2) = (self.r1.abs()?.unsqueeze(1)?, self.r2.unsqueeze(1)?); // (H, 1)
        let fall = match self.form {
            Form::Log => (r2.abs()?.broadcast_mul(&table(|d| d)?)? + 1.0)?.log()?,
            Form::Power => {
                let exponent = (candle_nn::ops::sigmoid(&r2)? * 2.0)?;
                // d^r = exp(r·ln d), and 0^r = 0, whose logarithm must not be taken.
                let power = exponent.broadcast_mul(&table(|d| d.max(1.0).ln())?)?.exp()?;
                power.broadcast_mul(&table(|d| d.min(1.0))?)?
            }
        };
        Ok(r1.broadcast_mul(&fall)?.neg()?.to_dtype(dtype)?)
    }
}

impl Position for Kerple {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        by_distance(queries, keys, self.causal, |distances| self.values(distances, dtype, device))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};

    use super::*;
    use crate::testing::{bias_at, set};

    const SHAPE: Shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: false };
    const R1: [f64; 2] = [0.7, -1.3];
    const R2: [f64; 2] = [-0.4, 0.9];

    /// The bias of head h at a distance.
    fn expected(form: Form, h: usize, distance: i64) -> f64 {
        let (r1, d) = (R1[h].abs(), distance.abs() as f64);
        match form {
            Form::Log => -r1 * (1.0 + R2[h].abs() * d).ln(),
            Form::Power => -r1 * d.powf(2.0 / (1.0 + (-R2[h]).exp())),
        }
    }

    #[test]
    fn both_forms_are_their_equation_at_every_pair() {
        for form in [Form::Log, Form::Power] {
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(0), DType::F64, &Device::Cpu);
            let position = Config { form }.build(&SHAPE, vb).unwrap();
            set(&parameters, "r1", &R1);
            set(&parameters, "r2", &R2);
            let rows = Places::rows(vec![vec![3, 4, 9, 1], vec![0, 1, 2, 3]]).unwrap();
            for (places, rows) in [(Places::range(2, 4), 1), (rows, 2)] {
                let bias = position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap();
                assert_eq!(matches!(bias, Bias::Distance(_)), rows == 1);
                for row in 0..rows {
                    for (n, i) in places.row(row).iter().enumerate() {
                        for (m, j) in places.row(row).iter().enumerate() {
                            for h in 0..2 {
                                let expected = expected(form, h, i64::from(*i) - i64::from(*j));
                                let found = bias_at(&bias, row, h, n, m);
                                assert!((found - expected).abs() < 1e-12, "{form:?} {i} {j}: {found}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn the_first_exponents_are_spread_evenly_below_two() {
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(0), DType::F64, &Device::Cpu);
        Config { form: Form::Power }.build(&Shape { n_heads: 4000, ..SHAPE }, vb).unwrap();
        let (name, r2) = parameters.vars().remove(1);
        assert_eq!(name, "r2");
        let mut quarters = [0; 4];
        for rho in r2.to_vec1::<f64>().unwrap() {
            quarters[(4.0 / (1.0 + (-rho).exp())) as usize] += 1;
        }
        // 1000 are expected in each, standard deviation 27.
        assert!(quarters.iter().all(|count| (880..=1120).contains(count)), "{quarters:?}");
    }
}
