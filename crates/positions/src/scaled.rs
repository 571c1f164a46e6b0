//! The position as a share of a length, in a column of its own.
//!
//! As in Yao et al.'s code the last column of the embeddings holds the share and nothing else: a token's embedding has
//! D − 1 columns, and what is learned for its last one is never read. Their length is the table's, 6000, whatever the
//! sequence's is; `per_sequence` divides by the sequence's own.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::places::Places;
use crate::position::Position;
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of the scaled position.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The length n; by default the model's longest sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u32>,
    /// Whether n is each sequence's own length, its last position + 1.
    pub per_sequence: bool,
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "scaled",
        title: "the position as a share of a length",
        formula: "x_i[D − 1] = i/n in place of what the token has there; n: a fixed length, or the sequence's own",
        enters: Enters::Embeddings,
        parameters: "none",
        source: "Yao et al. 2021 (arXiv 2105.11115), code: `p`, with n = 6000",
        example: "kind = \"scaled\"\nlength = 6000\nper_sequence = false\n",
    };

    fn label(&self) -> String {
        match (self.per_sequence, self.length) {
            (true, _) => "scaled (per sequence)".to_owned(),
            (false, Some(length)) => format!("scaled ({length})"),
            (false, None) => "scaled".to_owned(),
        }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if self.length == Some(0) {
            return Err(ConfigError::new("length", "0 is no length; set it to at least 1 or leave it out"));
        }
        if self.length.is_some() && self.per_sequence {
            let problem = "a fixed length and each sequence's own exclude each other; leave one of them out";
            return Err(ConfigError::new("length", problem));
        }
        if shape.d_model < 2 {
            let problem = format!(
                "scaled takes a column of its own, but d_model is {}; make it 2 or more",
                shape.d_model
            );
            return Err(ConfigError::new("kind", problem));
        }
        Ok(())
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        let length = match (self.per_sequence, self.length) {
            (true, _) => None,
            (false, Some(length)) => Some(f64::from(length)),
            (false, None) => Some(shape.max_len.max(1) as f64),
        };
        Ok(Box::new(Scaled { length, table: Memo::new() }))
    }
}

struct Scaled {
    /// None: each sequence's own.
    length: Option<f64>,
    table: Memo<Places, Tensor>,
}

impl Scaled {
    /// The shares, (rows, T, 1).
    fn table(&self, at: &Places, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut values = Vec::with_capacity(at.ids().len());
        for row in 0..at.n_rows() {
            let places = at.row(row);
            let own = places.iter().max().map_or(1.0, |last| f64::from(*last) + 1.0);
            let length = self.length.unwrap_or(own);
            values.extend(places.iter().map(|place| f64::from(*place) / length));
        }
        let shape = (at.n_rows(), at.len(), 1);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

impl Position for Scaled {
    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        at.fit("embed", b, t)?;
        let (dtype, device) = (x.dtype(), x.device());
        let table = self.table.get(at, dtype, device, || self.table(at, dtype, device))?;
        let rest = x.narrow(2, 0, d.saturating_sub(1))?;
        Ok(Tensor::cat(&[rest, table.broadcast_as((b, t, 1))?], 2)?) // (B, T, D)
    }

    fn embeds(&self) -> bool {
        true
    }

    fn is_incremental(&self) -> bool {
        // Divided by its own length, every token's share shrinks when one is appended.
        self.length.is_some()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHAPE: Shape = Shape { d_model: 3, n_heads: 1, head_dim: 3, max_len: 8, causal: true };

    fn embedded(config: &Config, at: &Places) -> Vec<Vec<Vec<f64>>> {
        config.validate(&SHAPE).unwrap();
        let position = config.build(&SHAPE, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap();
        let x = Tensor::full(7f64, (at.n_rows(), at.len(), 3), &Device::Cpu).unwrap();
        position.embed(&x, at).unwrap().to_vec3().unwrap()
    }

    #[test]
    fn the_last_column_is_the_share_and_the_others_are_the_tokens() {
        let rows = embedded(&Config::default(), &Places::range(1, 3));
        assert_eq!(rows, [[[7.0, 7.0, 0.125], [7.0, 7.0, 0.25], [7.0, 7.0, 0.375]]]);
        let fixed = Config { length: Some(4), ..Config::default() };
        assert_eq!(embedded(&fixed, &Places::range(1, 1))[0][0][2], 0.25);
    }

    #[test]
    fn per_sequence_each_row_is_divided_by_its_own_length() {
        let own = Config { per_sequence: true, ..Config::default() };
        let places = Places::rows(vec![vec![0, 1, 3], vec![0, 1, 4]]).unwrap();
        let rows = embedded(&own, &places);
        let shares: Vec<f64> = rows.iter().flatten().map(|row| row[2]).collect();
        assert_eq!(shares, [0.0, 0.25, 0.75, 0.0, 0.2, 0.8]);
        let vb = VarBuilder::zeros(DType::F64, &Device::Cpu);
        assert!(!own.build(&SHAPE, vb).unwrap().is_incremental());
    }

    #[test]
    fn two_lengths_none_or_a_model_of_one_column_are_refused() {
        let both = Config { length: Some(5), per_sequence: true };
        assert_eq!(both.validate(&SHAPE).unwrap_err().field, "length");
        let none = Config { length: Some(0), per_sequence: false };
        assert_eq!(none.validate(&SHAPE).unwrap_err().field, "length");
        assert!(Config::default().validate(&Shape { d_model: 1, ..SHAPE }).is_err());
    }
}
