//! Relative position representations: a query also meets a learned vector of the distance.
//!
//! Shaw et al. add one to the keys and another to the values. Here are the keys' alone, shared by the heads.

use attnlab_ops as ops;
use candle_core::{Device, Tensor};
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::pairs::{Pairs, by_head, pick};
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of relative position representations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Distances up to this one have a vector each; farther ones share its vector.
    pub clip: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { clip: 16 }
    }
}

impl Config {
    /// The row of the table for the distance i − j: from 0 in a causal model, else from −clip on.
    fn row(&self, distance: i64, causal: bool) -> u32 {
        let clip = i64::from(self.clip);
        let first = if causal { 0 } else { -clip };
        (distance.clamp(first, clip) - first) as u32
    }

    fn rows(&self, causal: bool) -> usize {
        self.row(i64::MAX, causal) as usize + 1
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "shaw",
        title: "relative position representations of keys (Shaw)",
        formula: "score_ij + scale·q_i·a[clip(i − j)], clip(d) = max(−c, min(c, d)); nothing is added to the values",
        enters: Enters::Scores,
        parameters: "a: (c + 1) × head_dim in a causal model, else (2c + 1) × head_dim; in every block",
        source: "Shaw et al. 2018 (arXiv 1803.02155)",
        example: "kind = \"shaw\"\nclip = 8\n",
    };

    fn label(&self) -> String {
        if *self == Self::default() { "shaw".to_owned() } else { format!("shaw (clip {})", self.clip) }
    }

    fn validate(&self, _: &Shape) -> std::result::Result<(), ConfigError> {
        if self.clip == 0 || self.clip > 1 << 20 {
            let problem = format!("{} is not between 1 and 1048576", self.clip);
            return Err(ConfigError::new("clip", problem));
        }
        Ok(())
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.rows(shape.causal).saturating_mul(shape.head_dim)
    }

    fn per_layer(&self) -> bool {
        true
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let size = (self.rows(shape.causal), shape.head_dim);
        let table = vb.get_with_hints(size, "weight", Init::Randn { mean: 0.0, stdev: 0.02 })?;
        let (config, heads, causal) = (self.clone(), shape.n_heads, shape.causal);
        Ok(Box::new(Shaw { config, heads, causal, table }))
    }
}

struct Shaw {
    config: Config,
    heads: usize,
    causal: bool,
    table: Tensor, // (rows of distances, K)
}

impl Shaw {
    /// The row of the table for each pair, (rows, 1, Tq, Tk).
    fn index(&self, queries: &Places, keys: &Places, device: &Device) -> Result<Tensor> {
        Pairs::new(queries, keys)?.index(|distance| self.config.row(distance, self.causal), device)
    }
}

impl Position for Shaw {
    fn content_bias(&self, of: &Content<'_>, (queries, keys): (&Places, &Places)) -> Result<Option<Tensor>> {
        let all = ops::linear(&by_head(of.q, self.heads)?, &self.table, None)?; // (B, H, Tq, rows)
        let bias = pick(&all, &self.index(queries, keys, of.q.device())?)?; // (B, H, Tq, Tk)
        Ok(Some((bias * of.scale)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};
    use candle_core::DType;

    use super::*;
    use crate::testing::{at, numbers, values};

    #[test]
    fn the_bias_is_the_query_times_the_vector_of_the_clipped_distance() {
        let (h, k) = (4, 3);
        for causal in [true, false] {
            let shape = Shape { d_model: 12, n_heads: h, head_dim: k, max_len: 8, causal };
            let parameters = Parameters::new();
            let vb = parameters.seeded(Streams::new(3), DType::F64, &Device::Cpu);
            let config = Config { clip: 2 };
            let position = config.build(&shape, vb).unwrap();
            assert_eq!(parameters.count(), config.parameter_count(&shape));
            let table = values(&parameters, "weight");
            let rows = Places::rows(vec![vec![0, 1, 9, 10, 11], vec![5, 6, 7, 8, 9]]).unwrap();
            for keys in [Places::range(3, 5), rows] {
                let queries = Places::rows((0..2).map(|row| keys.row(row)[2..].to_vec()).collect()).unwrap();
                let (q, key) = (numbers((2, 3, h, k), 1), numbers((2, 5, 2, k), 2));
                let of = Content { x: &q, q: &q, k: &key, scale: 0.7 };
                let bias = position.content_bias(&of, (&queries, &keys)).unwrap().unwrap();
                assert_eq!(bias.dims(), [2, h, 3, 5]);
                for (b, head, n, m) in crate::testing::grid([2, h, 3, 5]) {
                    let distance = i64::from(queries.row(b)[n]) - i64::from(keys.row(b)[m]);
                    if causal && distance < 0 {
                        continue; // hidden
                    }
                    let row = if causal { distance.min(2) } else { distance.clamp(-2, 2) + 2 } as usize;
                    let product: f64 = (0..k).map(|c| at(&q, [b, n, head, c]) * table[row * k + c]).sum();
                    assert!((at(&bias, [b, head, n, m]) - 0.7 * product).abs() < 1e-12);
                }
            }
        }
    }
}
