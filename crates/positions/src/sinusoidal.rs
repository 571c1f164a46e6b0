//! Fixed sines and cosines of the position, counted from the start or from the end.
//!
//! Columns alternate sine and cosine as in the paper. Delétang et al.'s code puts all sines first: a permutation of
//! columns, which embeddings drawn alike do not notice and pretrained ones do.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::places::Places;
use crate::position::Position;
use crate::registry::{Encoding, Enters, Info, Shape};

/// Where the index of the first token counts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Align {
    /// The index is the position: 0, 1, …, n − 1.
    #[default]
    Start,
    /// The index counts down to the end: n, n − 1, …, 1 (as Delétang et al. and Ruoss et al. run it).
    End,
}

/// Which columns hold sines and cosines, and their wavelengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Columns {
    /// Sine and cosine alternate, rates base^(−2j/D) (the paper).
    #[default]
    Alternate,
    /// All sines, then all cosines, rates base^(−j/(D/2 − 1)): the longest wavelength is 2π · base (tensor2tensor, XGLM).
    Halves,
}

impl Columns {
    fn is_alternate(&self) -> bool {
        *self == Self::Alternate
    }
}

fn is_zero(offset: &u32) -> bool {
    *offset == 0
}

/// Options of the sinusoidal encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the index counts from.
    pub align: Align,
    /// The base of the wavelengths, which run from 2π to 2π · base.
    pub base: f64,
    /// The factor with which the table is added to the embeddings.
    pub scale: f64,
    /// Which columns hold what.
    #[serde(skip_serializing_if = "Columns::is_alternate")]
    pub columns: Columns,
    /// Added to the index: XGLM counts from 2.
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u32,
    /// The index, counted with the offset, whose vector is zero: XGLM leaves out that of its padding's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zeroed: Option<u32>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            align: Align::Start,
            base: 10_000.0,
            scale: 1.0,
            columns: Columns::Alternate,
            offset: 0,
            zeroed: None,
        }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "sinusoidal",
        title: "fixed sines and cosines",
        formula: "x_i + scale·p(i), p(i)[2j] = sin(i·base^(−2j/D)), p(i)[2j+1] = cos(i·base^(−2j/D)); \
                  align = \"end\": p(n − i) in place of p(i)",
        enters: Enters::Embeddings,
        parameters: "none",
        source: "Vaswani et al. 2017 (arXiv 1706.03762); counted from the end: Delétang et al. 2022 (arXiv 2207.02098), code",
        example: "kind = \"sinusoidal\"\nalign = \"end\"\nbase = 10000\nscale = 1.0\n",
    };

    fn label(&self) -> String {
        let mut notes = Vec::new();
        let plain = Self::default();
        if self.align == Align::End {
            notes.push("end".to_owned());
        }
        if self.base != plain.base {
            notes.push(format!("base {}", self.base));
        }
        if self.scale != plain.scale {
            notes.push(format!("scale {}", self.scale));
        }
        if self.columns != plain.columns {
            notes.push("halves".to_owned());
        }
        if self.offset != plain.offset {
            notes.push(format!("from {}", self.offset));
        }
        if let Some(zeroed) = self.zeroed {
            notes.push(format!("{zeroed} zeroed"));
        }
        if notes.is_empty() { "sinusoidal".to_owned() } else { format!("sinusoidal ({})", notes.join(", ")) }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if shape.d_model == 0 || !shape.d_model.is_multiple_of(2) {
            return Err(ConfigError::new(
                "kind",
                format!(
                    "sinusoidal needs an even d_model for its pairs of sine and cosine; it is {}",
                    shape.d_model
                ),
            ));
        }
        if !(self.base.is_finite() && self.base > 1.0) {
            return Err(ConfigError::new("base", format!("{} is not a finite number above 1", self.base)));
        }
        if !(self.scale.is_finite() && self.scale != 0.0) {
            return Err(ConfigError::new(
                "scale",
                format!(
                    "{} is not a finite number other than 0; for no encoding use kind = \"none\"",
                    self.scale
                ),
            ));
        }
        Ok(())
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Sinusoidal { config: self.clone(), d_model: shape.d_model, table: Memo::new() }))
    }
}

struct Sinusoidal {
    config: Config,
    d_model: usize,
    table: Memo<Places, Tensor>,
}

impl Sinusoidal {
    /// scale·p, (rows, T, D), computed in f64.
    fn table(&self, at: &Places, dtype: DType, device: &Device) -> Result<Tensor> {
        let half = self.d_model / 2;
        let rates = match self.config.columns {
            Columns::Alternate => inverse_wavelengths(self.config.base, self.d_model),
            Columns::Halves => {
                let last = half.saturating_sub(1).max(1) as f64;
                (0..half).map(|j| self.config.base.powf(-(j as f64) / last)).collect()
            }
        };
        let mut values = Vec::with_capacity(at.ids().len() * self.d_model);
        for row in 0..at.n_rows() {
            let places = at.row(row);
            let end = places.iter().max().map_or(0.0, |last| f64::from(*last) + 1.0);
            for place in places {
                let index = match self.config.align {
                    Align::Start => f64::from(*place),
                    Align::End => end - f64::from(*place),
                } + f64::from(self.config.offset);
                let waves = rates.iter().map(|rate| (index * rate).sin_cos());
                let zeroed = self.config.zeroed.is_some_and(|zeroed| index == f64::from(zeroed));
                let scale = if zeroed { 0.0 } else { self.config.scale };
                match self.config.columns {
                    Columns::Alternate => {
                        values.extend(waves.flat_map(|(sin, cos)| [scale * sin, scale * cos]))
                    }
                    Columns::Halves => {
                        values.extend(waves.clone().map(|(sin, _)| scale * sin));
                        values.extend(waves.map(|(_, cos)| scale * cos));
                    }
                }
            }
        }
        let shape = (at.n_rows(), at.len(), self.d_model);
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
    }
}

/// `base^(−2j/d)` for j = 0 .. d/2.
pub(crate) fn inverse_wavelengths(base: f64, d: usize) -> Vec<f64> {
    (0..d / 2).map(|j| base.powf(-2.0 * j as f64 / d as f64)).collect()
}

impl Position for Sinusoidal {
    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        at.fit("embed", b, t)?;
        let table = self.table.get(at, x.dtype(), x.device(), || self.table(at, x.dtype(), x.device()))?;
        Ok(x.broadcast_add(&table)?)
    }

    fn embeds(&self) -> bool {
        true
    }

    fn is_incremental(&self) -> bool {
        // Counted from the end, every token's index moves when one is appended.
        self.config.align == Align::Start
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHAPE: Shape = Shape { d_model: 4, n_heads: 1, head_dim: 4, max_len: 8, causal: true };

    fn embedded(config: &Config, at: &Places) -> Vec<Vec<Vec<f64>>> {
        let vb = VarBuilder::zeros(DType::F64, &Device::Cpu);
        let position = config.build(&SHAPE, vb).unwrap();
        let x = Tensor::zeros((at.n_rows(), at.len(), 4), DType::F64, &Device::Cpu).unwrap();
        position.embed(&x, at).unwrap().to_vec3().unwrap()
    }

    #[test]
    fn counted_from_the_end_the_index_runs_from_the_length_down_to_one() {
        let end = Config { align: Align::End, ..Config::default() };
        let from_end = embedded(&end, &Places::range(0, 3));
        let from_start = embedded(&Config::default(), &Places::rows(vec![vec![3, 2, 1]]).unwrap());
        assert_eq!(from_end, from_start);
        // The last token's index is 1 wherever the run begins.
        assert_eq!(embedded(&end, &Places::range(5, 3)), from_end);
    }

    #[test]
    fn the_scale_multiplies_the_table() {
        let places = Places::range(0, 2);
        let double = embedded(&Config { scale: 2.0, ..Config::default() }, &places);
        assert_eq!(
            double[0][1],
            [2.0 * 1f64.sin(), 2.0 * 1f64.cos(), 2.0 * 0.01f64.sin(), 2.0 * 0.01f64.cos()]
        );
    }

    #[test]
    fn a_zeroed_index_is_counted_with_the_offset() {
        let config = Config { offset: 2, zeroed: Some(3), ..Config::default() };
        let rows = embedded(&config, &Places::range(0, 3));
        assert_eq!(rows[0][1], [0.0; 4]);
        assert_eq!((rows[0][0][0], rows[0][2][0]), (2f64.sin(), 4f64.sin()));
    }

    #[test]
    fn an_odd_width_or_a_senseless_base_is_refused() {
        assert!(Config::default().validate(&Shape { d_model: 5, ..SHAPE }).is_err());
        for base in [0.0, 1.0, -3.0, f64::NAN, f64::INFINITY] {
            let error = Config { base, ..Config::default() }.validate(&SHAPE).unwrap_err();
            assert_eq!(error.field, "base");
        }
        assert!(Config { scale: 0.0, ..Config::default() }.validate(&SHAPE).is_err());
    }

    #[test]
    fn the_label_names_what_differs_from_the_paper() {
        assert_eq!(Config::default().label(), "sinusoidal");
        assert_eq!(Config { align: Align::End, ..Config::default() }.label(), "sinusoidal (end)");
        let other = Config { align: Align::End, base: 100.0, scale: 0.5, ..Config::default() };
        assert_eq!(other.label(), "sinusoidal (end, base 100, scale 0.5)");
    }
}
