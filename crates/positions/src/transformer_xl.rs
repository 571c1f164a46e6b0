//! Transformer-XL's relative positions: a query also meets the projected sinusoid of the distance, and two learned
//! vectors take the query's place where it should not matter.
//!
//! Delétang et al.'s "relative" is the same, without a causal mask too: distances may be negative. In their causal form
//! the distance of a token to itself is 1; here, as in the paper, it is 0.

use attnlab_ops as ops;
use candle_core::{DType, Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::pairs::{Pairs, by_head, pick};
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Shape};
use crate::sinusoidal::inverse_wavelengths;

/// Options of Transformer-XL's relative positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The base of the wavelengths, which run from 2π to 2π · base.
    pub base: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { base: 10_000.0 }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "transformer_xl",
        title: "relative sinusoids (Transformer-XL)",
        formula: "scale·((q_i + u)·k_j + (q_i + v)·W r(i − j)); \
                  r(d)[j] = sin(d·base^(−2j/D)), r(d)[D/2 + j] = cos(d·base^(−2j/D))",
        enters: Enters::Scores,
        parameters: "W: n_heads·head_dim × d_model; u, v: n_heads × head_dim; in every block",
        source: "Dai et al. 2019 (arXiv 1901.02860); bidirectional: Delétang et al. 2022 (arXiv 2207.02098), code",
        example: "kind = \"transformer_xl\"\nbase = 1000\n",
    };

    fn label(&self) -> String {
        if *self == Self::default() {
            return "transformer_xl".to_owned();
        }
        format!("transformer_xl (base {})", self.base)
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if !(self.base.is_finite() && self.base > 1.0) {
            return Err(ConfigError::new("base", format!("{} is not a finite number above 1", self.base)));
        }
        if shape.d_model == 0 || !shape.d_model.is_multiple_of(2) {
            let problem = format!(
                "transformer_xl needs an even d_model, a sine and a cosine for each wavelength; it is {}",
                shape.d_model
            );
            return Err(ConfigError::new("kind", problem));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        shape.n_heads.saturating_mul(shape.head_dim).saturating_mul(shape.d_model.saturating_add(2))
    }

    fn per_layer(&self) -> bool {
        true
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let (h, k, d) = (shape.n_heads, shape.head_dim, shape.d_model);
        // W as a linear layer (Delétang et al.): its outputs are about as large as the sinusoids.
        let normal = |stdev| Init::Randn { mean: 0.0, stdev };
        Ok(Box::new(TransformerXl {
            u: vb.get_with_hints((h, k), "u", normal(0.02))?,
            v: vb.get_with_hints((h, k), "v", normal(0.02))?,
            weight: vb.get_with_hints((h * k, d), "weight", normal(1.0 / (d as f64).sqrt()))?,
            rates: inverse_wavelengths(self.base, d),
            causal: shape.causal,
            last: Memo::new(),
        }))
    }
}

struct TransformerXl {
    u: Tensor,       // (H, K)
    v: Tensor,       // (H, K)
    weight: Tensor,  // (H·K, D)
    rates: Vec<f64>, // D/2
    causal: bool,
    last: Memo<(Places, Places), (Tensor, Tensor)>,
}

impl TransformerXl {
    /// The sinusoids of the distances there are, (N, D), and which of them each pair has, (rows, 1, Tq, Tk).
    fn sinusoids(
        &self,
        queries: &Places,
        keys: &Places,
        dtype: DType,
        device: &Device,
    ) -> Result<(Tensor, Tensor)> {
        // Hidden keys need no distance of their own.
        let kind = |distance: i64| if self.causal { distance.max(0) } else { distance };
        let (distances, index) = Pairs::new(queries, keys)?.distinct(kind, device)?;
        let mut values = Vec::with_capacity(distances.len() * 2 * self.rates.len());
        for distance in &distances {
            let angles = self.rates.iter().map(|rate| *distance as f64 * rate);
            values.extend(angles.clone().map(f64::sin));
            values.extend(angles.map(f64::cos));
        }
        let shape = (distances.len(), 2 * self.rates.len());
        let sinusoids = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
        Ok((sinusoids, index))
    }
}

impl Position for TransformerXl {
    fn content_bias(&self, of: &Content<'_>, (queries, keys): (&Places, &Places)) -> Result<Option<Tensor>> {
        let (h, k) = self.u.dims2()?;
        let (dtype, device) = (of.q.dtype(), of.q.device());
        let key = (queries.clone(), keys.clone());
        let (sinusoids, index) =
            self.last.get(&key, dtype, device, || self.sinusoids(queries, keys, dtype, device))?;
        let n = sinusoids.dim(0)?;
        let projected = ops::linear(&sinusoids, &self.weight, None)?.reshape((1, n, h, k))?;
        let projected = projected.permute((0, 2, 3, 1))?.contiguous()?; // (1, H, K, N)
        let queries = by_head(of.q, h)?.broadcast_add(&self.v.unsqueeze(1)?)?; // (B, H, Tq, K)
        let by_distance = pick(&queries.broadcast_matmul(&projected)?, &index)?; // (B, H, Tq, Tk)
        let by_key = by_head(of.k, h)?.broadcast_mul(&self.u.unsqueeze(1)?)?.sum(3)?.unsqueeze(2)?; // (B, H, 1, Tk)
        Ok(Some((by_distance.broadcast_add(&by_key)? * of.scale)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};

    use super::*;
    use crate::testing::{at, grid, numbers, values};

    #[test]
    fn the_bias_is_the_papers_three_further_terms_at_every_pair() {
        let (h, k, d) = (4, 3, 6);
        for causal in [true, false] {
            let shape = Shape { d_model: d, n_heads: h, head_dim: k, max_len: 8, causal };
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(3), DType::F64, &Device::Cpu);
            let config = Config { base: 50.0 };
            let position = config.build(&shape, vb).unwrap();
            assert_eq!(parameters.count(), config.parameter_count(&shape));
            let parameter = |name| values(&parameters, name);
            let (u, v, weight) = (parameter("u"), parameter("v"), parameter("weight"));
            let rows = Places::rows(vec![vec![0, 1, 9, 10, 30], vec![5, 6, 7, 8, 9]]).unwrap();
            for keys in [Places::range(3, 5), rows] {
                let queries = Places::rows((0..2).map(|row| keys.row(row)[2..].to_vec()).collect()).unwrap();
                let (q, key) = (numbers((2, 3, h, k), 1), numbers((2, 5, 2, k), 2)); // two heads share a key
                let of = Content { x: &q, q: &q, k: &key, scale: 0.7 };
                let bias = position.content_bias(&of, (&queries, &keys)).unwrap().unwrap();
                for (b, head, n, m) in grid([2, h, 3, 5]) {
                    let distance = f64::from(queries.row(b)[n]) - f64::from(keys.row(b)[m]);
                    if causal && distance < 0.0 {
                        continue; // hidden
                    }
                    let sinusoid: Vec<f64> = (0..d)
                        .map(|c| {
                            let angle = distance / 50f64.powf((c % 3) as f64 * 2.0 / d as f64);
                            if c < 3 { angle.sin() } else { angle.cos() }
                        })
                        .collect();
                    let mut expected = 0.0;
                    for c in 0..k {
                        let row = head * k + c;
                        let wr: f64 = (0..d).map(|e| weight[row * d + e] * sinusoid[e]).sum();
                        expected += (at(&q, [b, n, head, c]) + v[row]) * wr;
                        expected += u[row] * at(&key, [b, m, head / 2, c]);
                    }
                    let found = at(&bias, [b, head, n, m]);
                    assert!((found - 0.7 * expected).abs() < 1e-12, "{distance}: {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn a_senseless_base_or_an_odd_width_is_refused() {
        let shape = Shape { d_model: 6, n_heads: 2, head_dim: 3, max_len: 8, causal: true };
        assert_eq!(Config { base: 1.0 }.validate(&shape).unwrap_err().field, "base");
        assert_eq!(Config::default().validate(&Shape { d_model: 5, ..shape }).unwrap_err().field, "kind");
    }
}
