//! FIRE: a small network maps the distance, as a share of the query's position, to each head's bias.
//!
//! The paper is about causal models, where the distance is not negative and i is the query's position. In a model that
//! sees ahead the share keeps the distance's sign, and the later of both positions takes the place of i: that is ours.
//! While all positions are below L, everything is divided by ψ(L) and the bias is one by distance; beyond, one by pair.
//! The network's last bias is left out: added to all of a row's scores, softmax would not see it.

use attnlab_ops as ops;
use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::pairs::{Pairs, by_distance};
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// So that a share of nothing is 0.
const EPS: f64 = 1e-6;

/// Options of FIRE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Hidden units of the network.
    pub width: usize,
    /// The first value of c.
    pub c: f64,
    /// The first value of L. Queries before it divide by ψ(L): if all do, shares are small and tell no lengths apart.
    pub threshold: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { width: 32, c: 0.1, threshold: 512.0 }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "fire",
        title: "functional interpolation of distances (FIRE)",
        formula: "score_ij + f_h(ψ(i − j)/ψ(max(L, i))), ψ(x) = ln(|c|·x + 1), f(s) = W₂·relu(w₁·s + b₁)",
        enters: Enters::Scores,
        parameters: "c, L: 1 each; w1, b1: width each; W2: n_heads × width; in every block",
        source: "Li et al. 2023 (arXiv 2310.04418)",
        example: "kind = \"fire\"\nwidth = 16\nc = 0.5\nthreshold = 64\n",
    };

    fn label(&self) -> String {
        let plain = Self::default();
        let mut notes = Vec::new();
        if self.width != plain.width {
            notes.push(format!("width {}", self.width));
        }
        if self.c != plain.c {
            notes.push(format!("c {}", self.c));
        }
        if self.threshold != plain.threshold {
            notes.push(format!("L {}", self.threshold));
        }
        if notes.is_empty() { "fire".to_owned() } else { format!("fire ({})", notes.join(", ")) }
    }

    fn validate(&self, _: &Shape) -> std::result::Result<(), ConfigError> {
        if self.width == 0 || self.width > 1 << 16 {
            return Err(ConfigError::new("width", format!("{} is not between 1 and 65536", self.width)));
        }
        for (field, value) in [("c", self.c), ("threshold", self.threshold)] {
            if !(value.is_finite() && value > 0.0) {
                return Err(ConfigError::new(field, format!("{value} is not a finite number above 0")));
            }
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.width.saturating_mul(shape.n_heads.saturating_add(2)).saturating_add(2)
    }

    fn per_layer(&self) -> bool {
        true
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        // PyTorch's uniform distribution for linear layers, whose bound is 1/√(inputs).
        let within = |inputs: usize| {
            let bound = 1.0 / (inputs as f64).sqrt();
            Init::Uniform { lo: -bound, up: bound }
        };
        let down = vb.get_with_hints((shape.n_heads, self.width), "down.weight", within(self.width))?;
        Ok(Box::new(Fire {
            c: vb.get_with_hints(1, "c", Init::Const(self.c))?,
            // A multiple of the first L: a step of the optimizer is as large for L as for the others.
            threshold: vb.get_with_hints(1, "threshold", Init::Const(1.0))?,
            up: vb.get_with_hints(self.width, "up.weight", within(1))?,
            up_bias: vb.get_with_hints(self.width, "up.bias", within(1))?,
            down,
            unit: self.threshold,
            causal: shape.causal,
            last: Memo::new(),
        }))
    }
}

struct Fire {
    c: Tensor,         // (1)
    threshold: Tensor, // (1), times `unit`
    up: Tensor,        // (W)
    up_bias: Tensor,   // (W)
    down: Tensor,      // (H, W)
    unit: f64,
    causal: bool,
    last: Memo<(Places, Places), (Signed, Tensor)>,
}

/// Distances, their size and sign apart.
#[derive(Clone)]
struct Signed {
    size: Tensor,
    sign: Tensor,
}

impl Signed {
    fn new(distances: &[i64], shape: &[usize], dtype: DType, device: &Device) -> Result<Self> {
        let tensor = |of: fn(&i64) -> f64| table(distances.iter().map(of).collect(), shape, dtype, device);
        Ok(Self { size: tensor(|d| d.unsigned_abs() as f64)?, sign: tensor(|d| d.signum() as f64)? })
    }
}

fn table(values: Vec<f64>, shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
}

impl Fire {
    /// L, (1).
    fn limit(&self) -> Result<Tensor> {
        Ok((self.threshold.abs()? * self.unit)?)
    }

    /// ψ(x) = ln(|c|·x + 1).
    fn amplify(&self, x: &Tensor) -> Result<Tensor> {
        Ok((x.broadcast_mul(&self.c.abs()?)? + 1.0)?.log()?)
    }

    /// f of distances as shares of `whole`, which is one number or as many: (…, H).
    fn network(&self, distances: &Signed, whole: &Tensor) -> Result<Tensor> {
        let sizes = self.amplify(&distances.size)?;
        let shares = (sizes.broadcast_div(&(self.amplify(whole)? + EPS)?)? * &distances.sign)?;
        let shares = shares.unsqueeze(shares.rank())?; // (…, 1)
        let hidden = shares.broadcast_mul(&self.up)?.broadcast_add(&self.up_bias)?.relu()?; // (…, W)
        Ok(ops::linear(&hidden, &self.down, None)?)
    }

    /// The distances of all pairs and the later of both positions, each (rows, Tq, Tk).
    fn pairs(
        &self,
        queries: &Places,
        keys: &Places,
        dtype: DType,
        device: &Device,
    ) -> Result<(Signed, Tensor)> {
        let pairs = Pairs::new(queries, keys)?;
        let shape = [pairs.rows, pairs.queries, pairs.keys];
        let mut far = Vec::with_capacity(pairs.distances.len());
        for row in 0..pairs.rows {
            for i in queries.row(row) {
                far.extend(keys.row(row).iter().map(|j| f64::from(*i.max(j))));
            }
        }
        Ok((Signed::new(&pairs.distances, &shape, dtype, device)?, table(far, &shape, dtype, device)?))
    }
}

impl Position for Fire {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        let (own, limit) = (self.c.dtype(), self.limit()?);
        let farthest = queries.ids().iter().chain(keys.ids()).max().map_or(0.0, |last| f64::from(*last));
        if limit.to_dtype(DType::F64)?.to_vec1::<f64>()?.iter().all(|limit| farthest < *limit) {
            // Everything is divided by ψ(L): the distance alone counts.
            return by_distance(queries, keys, self.causal, |distances| {
                let distances = Signed::new(distances, &[distances.len()], own, device)?;
                Ok(self.network(&distances, &limit)?.t()?.contiguous()?.to_dtype(dtype)?) // (H, n)
            });
        }
        let key = (queries.clone(), keys.clone());
        let (distances, far) = self.last.get(&key, own, device, || self.pairs(queries, keys, own, device))?;
        let bias = self.network(&distances, &far.broadcast_maximum(&limit)?)?; // (rows, Tq, Tk, H)
        Ok(Bias::Full(bias.permute((0, 3, 1, 2))?.contiguous()?.to_dtype(dtype)?)) // (rows, H, Tq, Tk)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};

    use super::*;
    use crate::testing::{bias_at, values};

    #[test]
    fn the_bias_is_the_network_of_the_share_at_every_pair() {
        for causal in [true, false] {
            let shape = Shape { d_model: 4, n_heads: 3, head_dim: 2, max_len: 8, causal };
            let config = Config { width: 5, c: 0.3, threshold: 6.0 };
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(3), DType::F64, &Device::Cpu);
            let position = config.build(&shape, vb).unwrap();
            let (up, up_bias) = (values(&parameters, "up.weight"), values(&parameters, "up.bias"));
            let down = values(&parameters, "down.weight"); // (H, W)
            let rows = Places::rows(vec![vec![0, 4, 9, 70], vec![2, 3, 4, 5]]).unwrap();
            let below = Places::range(1, 5); // of L = 6
            for (places, rows) in [(below.clone(), 1), (Places::range(4, 5), 1), (rows, 2)] {
                let bias = position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap();
                assert_eq!(matches!(bias, Bias::Distance(_)), places == below);
                for row in 0..rows {
                    for (n, &i) in places.row(row).iter().enumerate() {
                        for (m, &j) in places.row(row).iter().enumerate() {
                            if causal && j > i {
                                continue; // hidden
                            }
                            let psi = |x: f64| (0.3 * x + 1.0).ln();
                            let far = f64::from(i.max(j)).max(6.0);
                            let size = psi(f64::from(i.abs_diff(j))) / (psi(far) + 1e-6);
                            let share = if j > i { -size } else { size };
                            for h in 0..3 {
                                let unit = |w: usize| down[5 * h + w] * (up[w] * share + up_bias[w]).max(0.0);
                                let expected: f64 = (0..5).map(unit).sum();
                                let found = bias_at(&bias, row, h, n, m);
                                assert!((found - expected).abs() < 1e-12, "{i} {j}: {found} {expected}");
                            }
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn values_that_give_no_share_are_refused() {
        let shape = Shape { d_model: 4, n_heads: 3, head_dim: 2, max_len: 8, causal: true };
        for (config, field) in [
            (Config { width: 0, ..Config::default() }, "width"),
            (Config { c: 0.0, ..Config::default() }, "c"),
            (Config { threshold: f64::NAN, ..Config::default() }, "threshold"),
        ] {
            assert_eq!(config.validate(&shape).unwrap_err().field, field);
        }
    }
}
