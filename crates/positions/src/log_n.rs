//! Scores that grow with the logarithm of the length, so that one key among n can keep its weight however large n gets.
//!
//! Without it bounded scores give every key a weight near 1/n in the end. n is the number of keys that a query sees:
//! all of them, or, in a causal model, those up to its own place. What another encoding adds by content is multiplied
//! like q·k; what it adds by position alone is not.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::PositionConfig;
use crate::error::{ConfigError, Result};
use crate::none;
use crate::over;
use crate::places::Places;
use crate::position::{Content, Position};
use crate::registry::{Encoding, Enters, Info, Part, Shape};

/// Options of the scaled scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The encoding that is used besides.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { over: Box::new(PositionConfig::None(none::Config::default())) }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "log_n",
        title: "scores times log n, with another encoding or none",
        formula: "score_ij = ln n · scale·q_i·k_j; n: the keys that query i sees, i + 1 in a causal model",
        enters: Enters::Another,
        parameters: "those of the other encoding",
        source: "Chiang and Cholak 2022 (arXiv 2202.12172), there of an encoder",
        example: "kind = \"log_n\"\nover = { kind = \"sinusoidal\" }\n",
    };

    fn label(&self) -> String {
        over::label(self, &[])
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
        let over = self.over.build(part, shape, vb.pp("over"))?;
        Ok(Box::new(LogN { causal: shape.causal, over }))
    }
}

struct LogN {
    causal: bool,
    over: Box<dyn Position>,
}

impl LogN {
    /// ln n of each query, the queries being the last of the keys: (Tq).
    fn factors(&self, queries: &Places, keys: &Places, dtype: DType, device: &Device) -> Result<Tensor> {
        let (tq, tk) = (queries.len(), keys.len());
        let seen = |row: usize| if self.causal { (row + 1 + tk).saturating_sub(tq) } else { tk };
        let factors: Vec<f64> = (0..tq).map(|row| (seen(row).max(1) as f64).ln()).collect();
        Ok(Tensor::from_vec(factors, tq, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

impl Position for LogN {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn scale_queries(&self, q: &Tensor, (queries, keys): (&Places, &Places)) -> Result<Tensor> {
        let q = self.over.scale_queries(q, (queries, keys))?;
        let factors = self.factors(queries, keys, q.dtype(), q.device())?;
        Ok(q.broadcast_mul(&factors.reshape((1, queries.len(), 1, 1))?)?)
    }

    fn content_bias(&self, of: &Content<'_>, (queries, keys): (&Places, &Places)) -> Result<Option<Tensor>> {
        let Some(bias) = self.over.content_bias(of, (queries, keys))? else { return Ok(None) };
        let factors = self.factors(queries, keys, bias.dtype(), bias.device())?;
        Ok(Some(bias.broadcast_mul(&factors.reshape((1, 1, queries.len(), 1))?)?))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};

    use super::*;
    use crate::disentangled;

    /// The same parameters for the same names.
    fn drawn() -> VarBuilder<'static> {
        Parameters::new().seeded(Streams::new(1), DType::F64, &Device::Cpu)
    }

    fn built(over: PositionConfig, causal: bool) -> Box<dyn Position> {
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal };
        let config = Config { over: Box::new(over) };
        config.validate(&shape).unwrap();
        config.build(&shape, drawn()).unwrap()
    }

    fn scaled(causal: bool, queries: &Places, keys: &Places) -> Vec<f64> {
        let position = built(PositionConfig::None(none::Config::default()), causal);
        let q = Tensor::ones((1, queries.len(), 2, 2), DType::F64, &Device::Cpu).unwrap();
        let q = position.scale_queries(&q, (queries, keys)).unwrap();
        q.squeeze(0).unwrap().get_on_dim(1, 0).unwrap().get_on_dim(1, 0).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn the_factor_is_the_logarithm_of_the_keys_that_a_query_sees() {
        let ln = |n: &[f64]| -> Vec<f64> { n.iter().map(|n| n.ln()).collect() };
        let places = Places::range(0, 3);
        assert_eq!(scaled(true, &places, &places), ln(&[1.0, 2.0, 3.0]));
        assert_eq!(scaled(false, &places, &places), ln(&[3.0, 3.0, 3.0]));
        // With cached keys, and wherever the tokens stand.
        assert_eq!(scaled(true, &Places::range(3, 2), &Places::range(0, 5)), ln(&[4.0, 5.0]));
        assert_eq!(scaled(true, &Places::range(70, 2), &Places::range(70, 2)), ln(&[1.0, 2.0]));
    }

    #[test]
    fn what_is_added_by_content_is_multiplied_too() {
        let other = || PositionConfig::Disentangled(disentangled::Config::default());
        let (plain, scaled) = (other(), built(other(), true));
        let shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: true };
        let plain = plain.build(Part::Whole, &shape, drawn().pp("over")).unwrap();
        let x = Tensor::ones((1, 3, 4), DType::F64, &Device::Cpu).unwrap();
        let q = x.reshape((1, 3, 2, 2)).unwrap();
        let of = Content { x: &x, q: &q, k: &q, scale: 0.7 };
        let places = Places::range(0, 3);
        let bias = |position: &dyn Position| -> Vec<Vec<f64>> {
            let bias = position.content_bias(&of, (&places, &places)).unwrap().unwrap();
            bias.get(0).unwrap().get(1).unwrap().to_vec2().unwrap()
        };
        for (i, (plain, scaled)) in bias(&*plain).iter().zip(bias(&*scaled)).enumerate() {
            for (plain, scaled) in plain.iter().zip(scaled) {
                assert!((scaled - plain * (i as f64 + 1.0).ln()).abs() < 1e-12 && *plain != 0.0);
            }
        }
    }
}
