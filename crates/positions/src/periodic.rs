//! A wave of a given period: the positive control of periodic tasks. If one of them fails with it, the setup is at
//! fault.
//!
//! In every column the wave is a constant that a LayerNorm subtracts: a model that begins with one does not see it.
//! Bhattamishra et al.'s models have their norms after the first attention.

use std::f64::consts::TAU;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::places::Places;
use crate::position::Position;
use crate::registry::{Encoding, Enters, Info, Shape};

/// Which columns of the embeddings get the wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// The first gets the cosine, the second the sine: together they tell every position of a period from the others.
    #[default]
    First,
    /// Each gets the cosine (with period 2, Bhattamishra et al.'s `cosine_npi`).
    All,
}

/// Options of the periodic encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The period p, in tokens.
    pub period: u32,
    /// Which columns get the wave.
    pub columns: Columns,
}

impl Default for Config {
    fn default() -> Self {
        Self { period: 2, columns: Columns::First }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "periodic",
        title: "a wave of a given period",
        formula: "x_i[0] + cos(2πi/p), x_i[1] + sin(2πi/p); columns = \"all\": x_i[j] + cos(2πi/p) for every j",
        enters: Enters::Embeddings,
        parameters: "none",
        source: "Bhattamishra et al. 2020 (arXiv 2009.11264), code: cos(πi) in every column",
        example: "kind = \"periodic\"\nperiod = 3\ncolumns = \"first\"\n",
    };

    fn label(&self) -> String {
        let mut notes = Vec::new();
        if self.period != Self::default().period {
            notes.push(self.period.to_string());
        }
        if self.columns == Columns::All {
            notes.push("all columns".to_owned());
        }
        if notes.is_empty() { "periodic".to_owned() } else { format!("periodic ({})", notes.join(", ")) }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if self.period == 0 {
            return Err(ConfigError::new("period", "0 is no period; set it to at least 1"));
        }
        if self.columns == Columns::First && shape.d_model < 2 {
            let problem = format!(
                "\"first\" are two columns, but d_model is {}; make it 2 or more, or set columns to \"all\"",
                shape.d_model
            );
            return Err(ConfigError::new("columns", problem));
        }
        Ok(())
    }

    fn build(&self, _: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Periodic { config: self.clone(), table: Memo::new() }))
    }
}

struct Periodic {
    config: Config,
    table: Memo<Places, Tensor>,
}

impl Periodic {
    /// The wave, (rows, T, D) with D `width`, computed in f64.
    fn table(&self, at: &Places, width: usize, dtype: DType, device: &Device) -> Result<Tensor> {
        let period = self.config.period;
        let mut values = vec![0f64; at.ids().len() * width];
        for (row, &place) in values.chunks_mut(width.max(1)).zip(at.ids()) {
            // The remainder first, so that the wave is exactly the same after each period.
            let angle = TAU * f64::from(place % period) / f64::from(period);
            match self.config.columns {
                Columns::First => {
                    row.iter_mut().zip([angle.cos(), angle.sin()]).for_each(|(column, wave)| *column = wave);
                }
                Columns::All => row.fill(angle.cos()),
            }
        }
        let shape = (at.n_rows(), at.len(), width);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

impl Position for Periodic {
    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, d) = x.dims3()?;
        at.fit("embed", b, t)?;
        let (dtype, device) = (x.dtype(), x.device());
        let table = self.table.get(at, dtype, device, || self.table(at, d, dtype, device))?;
        Ok(x.broadcast_add(&table)?) // (B, T, D)
    }

    fn embeds(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn embedded(config: &Config, at: &Places) -> Vec<Vec<f64>> {
        let shape = Shape { d_model: 4, n_heads: 1, head_dim: 4, max_len: 8, causal: true };
        config.validate(&shape).unwrap();
        let position = config.build(&shape, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap();
        let x = Tensor::zeros((1, at.len(), 4), DType::F64, &Device::Cpu).unwrap();
        position.embed(&x, at).unwrap().squeeze(0).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn the_wave_tells_the_positions_of_a_period_apart_and_comes_back_after_it() {
        for period in 1..8 {
            let config = Config { period, ..Config::default() };
            let rows = embedded(&config, &Places::range(5, 3 * period as usize));
            for (n, a) in rows.iter().enumerate() {
                for (m, b) in rows.iter().enumerate() {
                    assert_eq!(a == b, n.abs_diff(m) % period as usize == 0, "period {period}: {n} and {m}");
                }
            }
        }
        let rows = embedded(&Config { period: 3, ..Config::default() }, &Places::range(1, 1));
        assert!((rows[0][0] + 0.5).abs() < 1e-15 && (rows[0][1] - 0.75f64.sqrt()).abs() < 1e-15);
        assert_eq!(rows[0][2..], [0.0, 0.0]);
    }

    #[test]
    fn in_all_columns_period_two_alternates_between_one_and_minus_one() {
        let config = Config { columns: Columns::All, ..Config::default() };
        let rows = embedded(&config, &Places::range(0, 4));
        assert_eq!(rows, [[1.0; 4], [-1.0; 4], [1.0; 4], [-1.0; 4]]);
        assert_eq!(config.label(), "periodic (all columns)");
    }

    #[test]
    fn a_period_of_nothing_and_a_single_column_are_refused() {
        let narrow = Shape { d_model: 1, n_heads: 1, head_dim: 1, max_len: 8, causal: true };
        let error = Config { period: 0, ..Config::default() }.validate(&narrow).unwrap_err();
        assert_eq!(error.field, "period");
        assert_eq!(Config::default().validate(&narrow).unwrap_err().field, "columns");
        assert!(Config { columns: Columns::All, ..Config::default() }.validate(&narrow).is_ok());
    }
}
