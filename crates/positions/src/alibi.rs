//! Attention with linear biases: each head's scores fall linearly with the distance.
//!
//! Delétang et al.'s code (arXiv 2207.02098) is also symmetric but adds half a slope below the diagonal, so that left and
//! right differ. Here they do not: the symmetric bias tells a bidirectional model distances, not directions.

use attnlab_ops::DistanceBias;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, PositionError, Result};
use crate::memo::Memo;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of ALiBi.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether keys after the query are penalised too (−m·|i − j|). By default they are where the model sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "alibi",
        title: "linear biases (ALiBi)",
        formula: "score_ij − m_h·(i − j), symmetric −m_h·|i − j|; m_h = 2^(−8h/H) for H a power of two, \
                  else those of the next lower power of two, then every other one of twice that",
        enters: Enters::Scores,
        parameters: "none",
        source: "Press et al. 2021 (arXiv 2108.12409)",
        example: "kind = \"alibi\"\nsymmetric = true\n",
    };

    fn label(&self) -> String {
        match self.symmetric {
            None => "alibi",
            Some(true) => "alibi (symmetric)",
            Some(false) => "alibi (causal)",
        }
        .to_owned()
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if self.symmetric == Some(false) && !shape.causal {
            return Err(ConfigError::new(
                "symmetric",
                "false would reward keys the farther they lie ahead, and this model sees ahead; set it to true or leave it out",
            ));
        }
        if shape.n_heads == 0 {
            return Err(ConfigError::new("kind", "alibi needs at least one head"));
        }
        Ok(())
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Alibi {
            slopes: slopes(shape.n_heads),
            causal: shape.causal,
            symmetric: self.symmetric.unwrap_or(!shape.causal),
            last: Memo::new(),
        }))
    }
}

/// The slope of each head, as Press et al. and BLOOM give it for any number of heads.
///
/// For n a power of two `m_h = 2^(−8h/n)`, h = 1 … n. Otherwise n is the next lower power of two, and the
/// remaining heads take the first, third, fifth, … slope of 2n heads.
pub fn slopes(n_heads: usize) -> Vec<f64> {
    let power = 1usize << n_heads.max(1).ilog2();
    let slope = |h: usize, n: usize| (-8.0 * h as f64 / n as f64).exp2();
    let first = (1..=power).map(|h| slope(h, power));
    let rest = (0..).map(|i| slope(2 * i + 1, 2 * power));
    first.chain(rest).take(n_heads).collect()
}

struct Alibi {
    slopes: Vec<f64>,
    causal: bool,
    symmetric: bool,
    last: Memo<(Places, Places), Bias>,
}

impl Alibi {
    /// The bias of head slope `m` at distance i − j.
    fn at(&self, m: f64, distance: i64) -> f64 {
        -m * if self.symmetric { distance.abs() } else { distance } as f64
    }

    fn compute(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        let h = self.slopes.len();
        let (tq, tk) = (queries.len(), keys.len());
        let tensor = |values: Vec<f64>, dims: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
        };
        if let Some(first) = self.first_distance(queries, keys) {
            let count = tk as i64 - first;
            let values =
                self.slopes.iter().flat_map(|m| (first..tk as i64).map(|distance| self.at(*m, distance)));
            return Ok(Bias::Distance(DistanceBias {
                values: tensor(values.collect(), &[h, count as usize])?,
                first,
            }));
        }
        let rows = queries.n_rows().max(keys.n_rows());
        let mut values = Vec::with_capacity(rows * h * tq * tk);
        for row in 0..rows {
            for m in &self.slopes {
                for i in queries.row(row) {
                    values.extend(keys.row(row).iter().map(|j| self.at(*m, i64::from(*i) - i64::from(*j))));
                }
            }
        }
        Ok(Bias::Full(tensor(values, &[rows, h, tq, tk])?))
    }

    /// The least distance i − j that a query can see, if distances follow from indices alone: all positions
    /// count up by one and the queries are the last of the keys' positions.
    fn first_distance(&self, queries: &Places, keys: &Places) -> Option<i64> {
        let rows = queries.n_rows().max(keys.n_rows());
        let aligned = queries.len() <= keys.len()
            && !queries.is_empty()
            && queries.is_contiguous()
            && keys.is_contiguous()
            && (0..rows).all(|row| queries.row(row).last() == keys.row(row).last());
        aligned.then(|| if self.causal { 0 } else { 1 - queries.len() as i64 })
    }
}

impl Position for Alibi {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        let (rq, rk) = (queries.n_rows(), keys.n_rows());
        if rq != rk && rq != 1 && rk != 1 {
            let (batch, time) = (rk, keys.len());
            return Err(PositionError::Misfit { moment: "bias", rows: rq, len: queries.len(), batch, time });
        }
        let key = (queries.clone(), keys.clone());
        self.last.get(&key, dtype, device, || self.compute(queries, keys, dtype, device))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn built(symmetric: Option<bool>, causal: bool) -> Box<dyn Position> {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal };
        let config = Config { symmetric };
        config.validate(&shape).unwrap();
        config.build(&shape, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap()
    }

    fn bias(position: &dyn Position, queries: &Places, keys: &Places) -> Bias {
        position.bias(queries, keys, DType::F64, &Device::Cpu).unwrap()
    }

    fn distance(bias: Bias) -> (Vec<Vec<f64>>, i64) {
        let Bias::Distance(by_distance) = bias else {
            panic!("expected a value per distance, found {bias:?}")
        };
        (by_distance.values.to_vec2().unwrap(), by_distance.first)
    }

    #[test]
    fn eight_heads_have_slopes_from_a_half_to_a_256th() {
        assert_eq!(slopes(8), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        assert_eq!(slopes(3), [1.0 / 16.0, 1.0 / 256.0, 0.25]);
        assert_eq!(slopes(1), [1.0 / 256.0]);
        assert!((1..200).all(|n| slopes(n).len() == n));
    }

    #[test]
    fn a_causal_bias_is_zero_on_the_diagonal_and_falls_with_the_distance() {
        let places = Places::range(0, 3);
        let (values, first) = distance(bias(&*built(None, true), &places, &places));
        assert_eq!(first, 0);
        assert_eq!(values, [[0.0, -0.0625, -0.125], [0.0, -0.00390625, -0.0078125]]);
    }

    #[test]
    fn a_model_that_sees_ahead_gets_the_symmetric_bias() {
        let places = Places::range(0, 3);
        let (values, first) = distance(bias(&*built(None, false), &places, &places));
        assert_eq!(first, -2);
        assert_eq!(values[0], [-0.125, -0.0625, 0.0, -0.0625, -0.125]);
        let one_sided = Config { symmetric: Some(false) };
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: false };
        assert_eq!(one_sided.validate(&shape).unwrap_err().field, "symmetric");
    }

    #[test]
    fn with_cached_keys_the_distances_reach_back_to_the_first() {
        let (values, first) = distance(bias(&*built(None, true), &Places::range(3, 1), &Places::range(0, 4)));
        assert_eq!((values[0].len(), first), (4, 0));
        // Rows that start elsewhere have the same distances.
        let rows = Places::rows(vec![vec![2, 3], vec![7, 8]]).unwrap();
        assert_eq!(distance(bias(&*built(None, true), &rows, &rows)).0[1], [0.0, -0.00390625]);
    }

    #[test]
    fn positions_that_do_not_count_up_get_a_value_per_pair() {
        let rows = Places::rows(vec![vec![0, 4], vec![1, 2]]).unwrap();
        let Bias::Full(full) = bias(&*built(None, true), &rows, &rows) else {
            panic!("expected a full bias")
        };
        assert_eq!(full.dims(), [2, 2, 2, 2]);
        let value = |b: usize, h: usize, i: usize, j: usize| -> f64 {
            full.get(b).unwrap().get(h).unwrap().get(i).unwrap().get(j).unwrap().to_scalar().unwrap()
        };
        assert_eq!(value(0, 0, 1, 0), -4.0 / 16.0);
        assert_eq!(value(1, 1, 1, 0), -1.0 / 256.0);
        assert_eq!(value(1, 0, 0, 0), 0.0);
        // Queries that are not the last of the keys' positions: distances are not what indices say.
        let early = bias(&*built(None, false), &Places::range(0, 2), &Places::range(0, 4));
        assert!(matches!(early, Bias::Full(_)));
        let three = Places::rows(vec![vec![0, 4]; 3]).unwrap();
        assert!(built(None, true).bias(&rows, &three, DType::F64, &Device::Cpu).is_err());
    }
}
