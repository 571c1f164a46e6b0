//! Sliding-window attention, with another encoding or none: keys farther away than the window are hidden.
//!
//! A control: what a model still solves under it needs near tokens only, and L blocks reach L times as far. The window
//! counts positions, as the other encoding's bias does: where those are drawn at random with gaps, fewer tokens are
//! within it.

use attnlab_ops::DistanceBias;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::PositionConfig;
use crate::error::{ConfigError, Result};
use crate::none;
use crate::over;
use crate::pairs::Pairs;
use crate::places::Places;
use crate::position::{Bias, Position};
use crate::registry::{Encoding, Enters, Info, Part, Shape};

/// Options of the window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The largest distance at which a key is seen; at 0 a token sees itself alone.
    pub window: usize,
    /// The encoding that acts within the window.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { window: 16, over: Box::new(PositionConfig::None(none::Config::default())) }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "windowed",
        title: "a sliding window around another encoding, or none",
        formula: "score_ij − ∞ where |i − j| > window",
        enters: Enters::Another,
        parameters: "those of the other encoding",
        source: "Beltagy et al. 2020 (arXiv 2004.05150), which counts the keys; here the largest distance is given",
        example: "kind = \"windowed\"\nwindow = 4\nover = { kind = \"rope\" }\n",
    };

    fn label(&self) -> String {
        over::label(self, &[self.window.to_string()])
    }

    fn over(&self) -> Option<&PositionConfig> {
        Some(&self.over)
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        over::validate(self, shape)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        self.build_part(Part::Whole, shape, vb)
    }

    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Windowed {
            window: i64::try_from(self.window).unwrap_or(i64::MAX),
            heads: shape.n_heads,
            causal: shape.causal,
            over: self.over.build(part, shape, vb.pp("over"))?,
        }))
    }
}

struct Windowed {
    window: i64,
    heads: usize,
    causal: bool,
    over: Box<dyn Position>,
}

impl Windowed {
    /// 0 within the window, −∞ beyond it.
    fn at(&self, distance: i64) -> f64 {
        if distance.abs() > self.window { f64::NEG_INFINITY } else { 0.0 }
    }

    /// The window over `count` distances from `first` on, (1, count).
    fn by_distance(&self, first: i64, count: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let values: Vec<f64> = (first..).take(count).map(|distance| self.at(distance)).collect();
        Ok(Tensor::from_vec(values, (1, count), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }

    /// The window over all pairs, (1 or B, 1, Tq, Tk).
    fn by_pair(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Tensor> {
        let pairs = Pairs::new(queries, keys)?;
        let values: Vec<f64> = pairs.distances.iter().map(|distance| self.at(*distance)).collect();
        let shape = (pairs.rows, 1, pairs.queries, pairs.keys);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

impl Position for Windowed {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn bias(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Bias> {
        match self.over.bias(queries, keys, dtype, device)? {
            // The kernel is exact with −∞: such a key's weight and its gradient are zero.
            Bias::Distance(DistanceBias { values, first }) => {
                let window = self.by_distance(first, values.dim(1)?, dtype, device)?;
                Ok(Bias::Distance(DistanceBias { values: values.broadcast_add(&window)?, first }))
            }
            Bias::Full(bias) => {
                Ok(Bias::Full(bias.broadcast_add(&self.by_pair(queries, keys, dtype, device)?)?))
            }
            Bias::None => match Places::first_distance(queries, keys, self.causal) {
                Some(first) => {
                    let count = (keys.len() as i64 - first) as usize;
                    let window = self.by_distance(first, count, dtype, device)?;
                    let values = window.broadcast_as((self.heads, count))?.contiguous()?;
                    Ok(Bias::Distance(DistanceBias { values, first }))
                }
                None => Ok(Bias::Full(self.by_pair(queries, keys, dtype, device)?)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::alibi;

    const HIDDEN: f64 = f64::NEG_INFINITY;

    fn built(over: PositionConfig, window: usize, causal: bool) -> Box<dyn Position> {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal };
        let config = Config { window, over: Box::new(over) };
        config.validate(&shape).unwrap();
        config.build(&shape, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap()
    }

    fn none() -> PositionConfig {
        PositionConfig::None(none::Config::default())
    }

    fn bias(position: &dyn Position, queries: &Places, keys: &Places) -> Bias {
        position.bias(queries, keys, DType::F64, &Device::Cpu).unwrap()
    }

    #[test]
    fn keys_beyond_the_window_are_hidden_on_both_sides_and_those_within_are_not() {
        let places = Places::range(3, 4);
        let Bias::Distance(found) = bias(&*built(none(), 1, false), &places, &places) else { panic!() };
        assert_eq!(found.first, -3);
        let expected = [HIDDEN, HIDDEN, 0.0, 0.0, 0.0, HIDDEN, HIDDEN];
        assert_eq!(found.values.to_vec2::<f64>().unwrap(), [expected, expected]);
        let Bias::Distance(found) =
            bias(&*built(none(), 0, true), &Places::range(5, 1), &Places::range(3, 3))
        else {
            panic!()
        };
        assert_eq!(
            (found.first, found.values.to_vec2::<f64>().unwrap()[0].clone()),
            (0, vec![0.0, HIDDEN, HIDDEN])
        );
    }

    #[test]
    fn within_the_window_the_other_encodings_bias_is_what_it_was() {
        let alibi = || PositionConfig::Alibi(alibi::Config::default());
        let places = Places::range(0, 3);
        let Bias::Distance(found) = bias(&*built(alibi(), 1, true), &places, &places) else { panic!() };
        assert_eq!(found.values.to_vec2::<f64>().unwrap()[0], [0.0, -0.0625, HIDDEN]);
        let rows = Places::rows(vec![vec![0, 2], vec![4, 5]]).unwrap();
        let Bias::Full(found) = bias(&*built(alibi(), 1, true), &rows, &rows) else { panic!() };
        assert_eq!(found.dims(), [2, 2, 2, 2]);
        let last = |b: usize| found.get(b).unwrap().get(0).unwrap().get(1).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!((last(0), last(1)), (vec![HIDDEN, 0.0], vec![-0.0625, 0.0]));
        let Bias::Full(found) = bias(&*built(none(), 1, true), &rows, &rows) else { panic!() };
        assert_eq!(found.dims(), [2, 1, 2, 2]);
    }

    #[test]
    fn a_window_in_a_window_is_refused_and_an_error_below_names_its_table() {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: true };
        let twice = Config { window: 3, over: Box::new(PositionConfig::Windowed(Config::default())) };
        assert_eq!(twice.validate(&shape).unwrap_err().path(), "over");
        let alibi = alibi::Config { max_bias: 0.0, ..alibi::Config::default() };
        let below = Config { window: 3, over: Box::new(PositionConfig::Alibi(alibi)) };
        let error = below.validate(&shape).unwrap_err();
        assert_eq!(error.path(), "over.max_bias");
        assert!(error.to_string().starts_with("position.over.max_bias: 0 is not"), "{error}");
    }
}
