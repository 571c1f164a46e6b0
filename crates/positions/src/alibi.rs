//! Attention with linear biases: each head's scores fall linearly with the distance.
//!
//! The symmetric bias tells a bidirectional model distances, not directions. Delétang et al.'s code (arXiv 2207.02098) adds
//! half a slope below the diagonal, so that left and right differ: `tilt = 0.5`.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::pairs::by_distance;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of ALiBi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether keys after the query are penalised too (−m·|i − j|). By default they are where the model sees them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symmetric: Option<bool>,
    /// The share of a slope that keys before the query get added, so that they differ from those after it. Only for a
    /// model that sees ahead: in a causal one it would tell the query's own key from all others.
    #[serde(skip_serializing_if = "is_zero")]
    pub tilt: f64,
    /// The steepest exponent: slopes reach down to 2^−max_bias.
    #[serde(skip_serializing_if = "is_eight")]
    pub max_bias: f64,
    /// The slopes of a number of heads that is no power of two.
    #[serde(skip_serializing_if = "is_press")]
    pub slopes: Slopes,
    /// The bias as Falcon rounds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub falcon: Option<Falcon>,
}

impl Default for Config {
    fn default() -> Self {
        Self { symmetric: None, tilt: 0.0, max_bias: 8.0, slopes: Slopes::Press, falcon: None }
    }
}

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_eight(value: &f64) -> bool {
    *value == 8.0
}

fn is_press(value: &Slopes) -> bool {
    *value == Slopes::Press
}

/// Which slopes heads have whose number is no power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slopes {
    /// Those of the next lower power of two, then every other one of twice that (Press et al., BLOOM).
    Press,
    /// Every other one of the next higher power of two, from the second on, then those between (MPT).
    Mpt,
}

/// Falcon computes slope·j for key j in bfloat16, where rounding makes it more than a function of the distance, and
/// scales it with the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Falcon {
    /// The factor on the bias: that on q·k.
    pub scale: f64,
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "alibi",
        title: "linear biases (ALiBi)",
        formula: "score_ij − m_h·(i − j), symmetric −m_h·|i − j|, + tilt·m_h where j < i; m_h = 2^(−8h/H) for H a power of two, \
                  else those of the next lower power of two, then every other one of twice that",
        enters: Enters::Scores,
        parameters: "none",
        source: "Press et al. 2021 (arXiv 2108.12409); tilt: Delétang et al. 2022 (arXiv 2207.02098), code: 0.5",
        example: "kind = \"alibi\"\nsymmetric = true\n",
    };

    fn label(&self) -> String {
        let mut notes = Vec::new();
        match self.symmetric {
            None => {}
            Some(true) => notes.push("symmetric".to_owned()),
            Some(false) => notes.push("causal".to_owned()),
        }
        if self.tilt != 0.0 {
            notes.push(format!("tilt {}", self.tilt));
        }
        if self.max_bias != Self::default().max_bias {
            notes.push(format!("max {}", self.max_bias));
        }
        if self.slopes == Slopes::Mpt {
            notes.push("mpt".to_owned());
        }
        if self.falcon.is_some() {
            notes.push("falcon".to_owned());
        }
        if notes.is_empty() { "alibi".to_owned() } else { format!("alibi ({})", notes.join(", ")) }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if self.symmetric == Some(false) && !shape.causal {
            return Err(ConfigError::new(
                "symmetric",
                "false would reward keys the farther they lie ahead, and this model sees ahead; set it to true or leave it out",
            ));
        }
        if !self.tilt.is_finite() || self.tilt != 0.0 && shape.causal {
            let problem = if shape.causal {
                format!("{} would tilt what a causal model does not see; leave it out", self.tilt)
            } else {
                format!("{} is not a finite number", self.tilt)
            };
            return Err(ConfigError::new("tilt", problem));
        }
        if !(self.max_bias.is_finite() && self.max_bias > 0.0) {
            return Err(ConfigError::new(
                "max_bias",
                format!("{} is not a finite number above 0", self.max_bias),
            ));
        }
        if self.falcon.is_some() && (!shape.causal || self.symmetric == Some(true)) {
            return Err(ConfigError::new(
                "falcon",
                "Falcon's bias grows with the key's position: it needs a causal model",
            ));
        }
        if shape.n_heads == 0 {
            return Err(ConfigError::new("kind", "alibi needs at least one head"));
        }
        Ok(())
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Alibi {
            slopes: match self.slopes {
                Slopes::Press => slopes(shape.n_heads, self.max_bias),
                Slopes::Mpt => mpt_slopes(shape.n_heads, self.max_bias),
            },
            falcon: self.falcon,
            causal: shape.causal,
            tilt: self.tilt,
            symmetric: self.symmetric.unwrap_or(!shape.causal),
            last: Memo::new(),
        }))
    }
}

/// The slope of each head, as Press et al. and BLOOM give it for any number of heads.
///
/// For n a power of two `m_h = 2^(−max_bias·h/n)`, h = 1 … n; max_bias is 8. Otherwise n is the next lower power of two, and the
/// remaining heads take the first, third, fifth, … slope of 2n heads.
pub fn slopes(n_heads: usize, max_bias: f64) -> Vec<f64> {
    let power = 1usize << n_heads.max(1).ilog2();
    let slope = |h: usize, n: usize| (-max_bias * h as f64 / n as f64).exp2();
    let first = (1..=power).map(|h| slope(h, power));
    let rest = (0..).map(|i| slope(2 * i + 1, 2 * power));
    first.chain(rest).take(n_heads).collect()
}

/// The slope of each head as MPT gives it: of the next higher power of two, those with even h first.
fn mpt_slopes(n_heads: usize, max_bias: f64) -> Vec<f64> {
    let power = n_heads.max(1).next_power_of_two();
    let slope = |h: usize| (-max_bias * h as f64 / power as f64).exp2();
    if power == n_heads {
        return (1..=power).map(slope).collect();
    }
    let (even, odd) = ((2..=power).step_by(2), (1..=power).step_by(2));
    even.chain(odd).take(n_heads).map(slope).collect()
}

/// `x` as bfloat16 holds it: the upper half of an f32, rounded to even.
fn bf16(x: f64) -> f64 {
    let bits = (x as f32).to_bits();
    f64::from(f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000))
}

struct Alibi {
    slopes: Vec<f64>,
    falcon: Option<Falcon>,
    causal: bool,
    symmetric: bool,
    tilt: f64,
    last: Memo<(Places, Places), Bias>,
}

impl Alibi {
    /// The bias of head slope `m` at distance i − j.
    fn at(&self, m: f64, distance: i64) -> f64 {
        let away = if self.symmetric { distance.abs() } else { distance } as f64;
        m * if distance > 0 { self.tilt - away } else { -away }
    }

    fn compute(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        let h = self.slopes.len();
        let tk = keys.len();
        let tensor = |values: Vec<f64>, dims: &[usize]| -> Result<Tensor> {
            Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
        };
        if let Some(Falcon { scale }) = self.falcon {
            let rows = keys.n_rows();
            let of_row = |row: usize| {
                let keys = keys.row(row).iter();
                self.slopes
                    .iter()
                    .flat_map(move |m| keys.clone().map(move |&j| scale * bf16(bf16(*m) * f64::from(j))))
            };
            return Ok(Bias::Full(tensor((0..rows).flat_map(of_row).collect(), &[rows, h, 1, tk])?));
        }
        by_distance(queries, keys, self.causal, |distances| {
            let each = |m| distances.iter().map(move |distance| self.at(m, *distance));
            tensor(self.slopes.iter().copied().flat_map(each).collect(), &[h, distances.len()])
        })
    }
}

impl Position for Alibi {
    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        Places::common_rows(queries, keys)?;
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
        let config = Config { symmetric, ..Config::default() };
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
        assert_eq!(slopes(8, 8.0), [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625, 0.0078125, 0.00390625]);
        assert_eq!(slopes(3, 8.0), [1.0 / 16.0, 1.0 / 256.0, 0.25]);
        assert_eq!(slopes(1, 8.0), [1.0 / 256.0]);
        assert!((1..200).all(|n| slopes(n, 8.0).len() == n));
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
        let one_sided = Config { symmetric: Some(false), ..Config::default() };
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: false };
        assert_eq!(one_sided.validate(&shape).unwrap_err().field, "symmetric");
    }

    #[test]
    fn a_tilt_of_half_a_slope_is_the_bias_of_deletang_et_al() {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: false };
        let config = Config { tilt: 0.5, ..Config::default() };
        config.validate(&shape).unwrap();
        assert_eq!(config.label(), "alibi (tilt 0.5)");
        let tilted = config.build(&shape, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap();
        let (values, first) = distance(bias(&*tilted, &Places::range(0, 3), &Places::range(0, 3)));
        assert_eq!(first, -2);
        assert_eq!(values[0], [-2.0, -1.0, 0.0, -0.5, -1.5].map(|x| x / 16.0));
        assert_eq!(config.validate(&Shape { causal: true, ..shape }).unwrap_err().field, "tilt");
        let endless = Config { tilt: f64::INFINITY, ..config };
        assert_eq!(endless.validate(&shape).unwrap_err().field, "tilt");
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
