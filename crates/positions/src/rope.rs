//! Rotary positions: pairs of dimensions of queries and keys turn by an angle proportional to the position,
//! so that their product depends on the distance only.

mod scaling;

use attnlab_ops::{RotaryLayout, rotate};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::memo::Memo;
use crate::places::Places;
use crate::position::Position;
use crate::registry::{Encoding, Enters, Info, Shape};
use crate::sinusoidal::inverse_wavelengths;

pub use scaling::Scaling;

/// Which dimensions form a turning pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Dimension j with j + R/2 (GPT-NeoX, Llama in Hugging Face's order).
    #[default]
    Half,
    /// Dimension 2j with 2j + 1 (the paper, GPT-J).
    Interleaved,
}

impl From<Layout> for RotaryLayout {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Half => Self::HalfSplit,
            Layout::Interleaved => Self::Interleaved,
        }
    }
}

/// Options of the rotary encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The base of the wavelengths, which run from 2π to 2π · base.
    pub base: f64,
    /// The share of each head's dimensions that turns; the first ones do. 1 turns all.
    pub fraction: f64,
    /// The share of the turning pairs, the fastest ones, that do turn; the others stand still (p-RoPE). 1 turns all.
    #[serde(skip_serializing_if = "is_one")]
    pub keep: f64,
    /// Which dimensions form a pair. It permutes dimensions only: a trained model must keep its own.
    pub layout: Layout,
    /// How the rates are stretched for sequences longer than those of training; by default not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
}

impl Default for Config {
    fn default() -> Self {
        Self { base: 10_000.0, fraction: 1.0, keep: 1.0, layout: Layout::Half, scaling: None }
    }
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

impl Config {
    /// R, the number of turning dimensions.
    fn turning(&self, shape: &Shape) -> usize {
        // 0.29 · 100 is 28.999…: a hair is added before rounding down.
        (self.fraction * shape.head_dim as f64 + 1e-9) as usize
    }

    /// The number of pairs that do turn.
    fn kept(&self, shape: &Shape) -> usize {
        (self.keep * (self.turning(shape) / 2) as f64 + 1e-9) as usize
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "rope",
        title: "rotary positions (RoPE)",
        formula: "each pair j of the first R = fraction·K dimensions of q_i and k_i turns by i·base^(−2j/R), \
                  j = 0, …, R/2 − 1; with keep only the pairs j < keep·R/2",
        enters: Enters::QueriesAndKeys,
        parameters: "none",
        source: "Su et al. 2021 (arXiv 2104.09864); a fraction of the dimensions: Black et al. 2022 (GPT-NeoX, arXiv 2204.06745); \
                 keep (p-RoPE): Barbero et al. 2024 (arXiv 2410.06205)",
        example: "kind = \"rope\"\nbase = 10000\nfraction = 0.5\nkeep = 0.75\nlayout = \"half\"\n",
    };

    fn label(&self) -> String {
        let mut notes = Vec::new();
        if self.fraction != 1.0 {
            // At most two decimals of a per cent: 0.25 → "25 %", 1/3 → "33.33 %".
            notes.push(format!("{} %", (self.fraction * 1e4).round() / 100.0));
        }
        if self.keep != 1.0 {
            notes.push(format!("fastest {} %", (self.keep * 1e4).round() / 100.0));
        }
        if self.base != Self::default().base {
            notes.push(format!("base {}", self.base));
        }
        if let Some(scaling) = &self.scaling {
            let kind = match scaling {
                Scaling::Linear { .. } => "linear",
                Scaling::Ntk { .. } => "ntk",
                Scaling::Dynamic { .. } => "dynamic",
                Scaling::Llama3 { .. } => "llama3",
                Scaling::Yarn { .. } => "yarn",
                Scaling::Longrope { .. } => "longrope",
            };
            notes.push(format!("{kind} scaling"));
        }
        // The layout is no part of the name: it permutes dimensions that are drawn alike.
        if notes.is_empty() { "rope".to_owned() } else { format!("rope ({})", notes.join(", ")) }
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if !(self.base.is_finite() && self.base > 1.0) {
            return Err(ConfigError::new("base", format!("{} is not a finite number above 1", self.base)));
        }
        if !(self.fraction > 0.0 && self.fraction <= 1.0) {
            return Err(ConfigError::new(
                "fraction",
                format!("{} is not above 0 and at most 1", self.fraction),
            ));
        }
        let turning = self.turning(shape);
        if turning == 0 || !turning.is_multiple_of(2) {
            return Err(ConfigError::new(
                "fraction",
                format!(
                    "{} of a head of {} dimensions turns {turning}, but dimensions turn in pairs; \
                     choose one that turns an even number, at least 2",
                    self.fraction, shape.head_dim
                ),
            ));
        }
        if !(self.keep > 0.0 && self.keep <= 1.0) || self.kept(shape) == 0 {
            return Err(ConfigError::new(
                "keep",
                format!(
                    "{} of {} turning pairs leaves none; choose one above 0 and at most 1 that keeps at least one \
                     pair, or kind = \"none\"",
                    self.keep,
                    turning / 2
                ),
            ));
        }
        match self.scaling.as_ref().and_then(|scaling| scaling.problem(turning)) {
            Some(problem) => Err(ConfigError::new("scaling", problem)),
            None => Ok(()),
        }
    }

    fn build(&self, shape: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(Rope {
            rates: inverse_wavelengths(self.base, self.turning(shape)),
            kept: self.kept(shape),
            base: self.base,
            layout: self.layout.into(),
            scaling: self.scaling.clone(),
            tables: Memo::new(),
        }))
    }
}

struct Rope {
    rates: Vec<f64>, // R/2, without scaling
    kept: usize,
    base: f64,
    layout: RotaryLayout,
    scaling: Option<Scaling>,
    tables: Memo<Places, (Tensor, Tensor)>,
}

impl Rope {
    /// Cosines and sines, each (rows, T, R/2), computed in f64.
    fn tables(&self, at: &Places, dtype: DType, device: &Device) -> Result<(Tensor, Tensor)> {
        let (mut rates, length) = match &self.scaling {
            None => (self.rates.clone(), 1.0),
            Some(scaling) => {
                let len = at.ids().iter().max().map_or(0, |last| *last as usize + 1);
                (scaling.rates(&self.rates, self.base, len), scaling.length())
            }
        };
        rates.iter_mut().skip(self.kept).for_each(|rate| *rate = 0.0);
        let angles = || at.ids().iter().flat_map(|id| rates.iter().map(|rate| f64::from(*id) * rate));
        let table = |values: Vec<f64>| -> Result<Tensor> {
            let shape = (at.n_rows(), at.len(), rates.len());
            Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?)
        };
        Ok((
            table(angles().map(|a| length * a.cos()).collect())?,
            table(angles().map(|a| length * a.sin()).collect())?,
        ))
    }
}

impl Position for Rope {
    fn rotate(&self, qk: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, _, _) = qk.dims4()?;
        at.fit("rotate", b, t)?;
        let (dtype, device) = (qk.dtype(), qk.device());
        let (cos, sin) = self.tables.get(at, dtype, device, || self.tables(at, dtype, device))?;
        Ok(rotate(qk, &cos, &sin, self.layout)?)
    }

    fn rotates(&self) -> bool {
        true
    }

    fn is_incremental(&self) -> bool {
        !self.scaling.as_ref().is_some_and(Scaling::depends_on_length)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SHAPE: Shape = Shape { d_model: 16, n_heads: 2, head_dim: 8, max_len: 8, causal: true };

    fn built(config: &Config) -> Box<dyn Position> {
        config.validate(&SHAPE).unwrap();
        config.build(&SHAPE, VarBuilder::zeros(DType::F64, &Device::Cpu)).unwrap()
    }

    fn numbers(dims: (usize, usize, usize, usize)) -> Tensor {
        let count = dims.0 * dims.1 * dims.2 * dims.3;
        let values: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7).sin()).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    fn flat(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn products_of_turned_queries_and_keys_depend_on_the_distance_only() {
        for layout in [Layout::Half, Layout::Interleaved] {
            let rope = built(&Config { layout, ..Config::default() });
            let (q, k) = (numbers((1, 1, 2, 8)), numbers((1, 1, 2, 8)).affine(0.5, 0.1).unwrap());
            let product = |i, j| {
                let q = rope.rotate(&q, &Places::range(i, 1)).unwrap();
                let k = rope.rotate(&k, &Places::range(j, 1)).unwrap();
                flat(&(q * k).unwrap().sum(3).unwrap())
            };
            let (near, far) = (product(5, 2), product(1005, 1002));
            for (a, b) in near.iter().zip(&far) {
                assert!((a - b).abs() < 1e-9, "{a} {b}");
            }
            assert!((near[0] - product(5, 3)[0]).abs() > 1e-3);
        }
    }

    #[test]
    fn rows_turn_by_their_own_positions() {
        let rope = built(&Config::default());
        let x = numbers((2, 3, 2, 8));
        let rows = Places::rows(vec![vec![4, 0, 9], vec![1, 1, 2]]).unwrap();
        let turned = rope.rotate(&x, &rows).unwrap();
        for row in 0..2 {
            let one = Places::rows(vec![rows.row(row).to_vec()]).unwrap();
            let alone = rope.rotate(&x.narrow(0, row, 1).unwrap(), &one).unwrap();
            assert_eq!(flat(&turned.narrow(0, row, 1).unwrap()), flat(&alone));
        }
        // And the memory of the last table does not leak into another request.
        let shared = rope.rotate(&x, &Places::range(0, 3)).unwrap();
        assert_eq!(flat(&shared.narrow(1, 0, 1).unwrap()), flat(&x.narrow(1, 0, 1).unwrap()));
    }

    #[test]
    fn only_the_first_dimensions_turn_when_a_fraction_does() {
        let rope = built(&Config { fraction: 0.25, ..Config::default() });
        let x = numbers((1, 2, 2, 8));
        let y = rope.rotate(&x, &Places::range(3, 2)).unwrap();
        assert_eq!(flat(&y.narrow(3, 2, 6).unwrap()), flat(&x.narrow(3, 2, 6).unwrap()));
        let (x, y) = (flat(&x), flat(&y));
        // One pair, rate 1: the plane rotation by 3.
        assert!((y[0] - (x[0] * 3f64.cos() - x[1] * 3f64.sin())).abs() < 1e-14);
        assert!((y[1] - (x[0] * 3f64.sin() + x[1] * 3f64.cos())).abs() < 1e-14);
    }

    #[test]
    fn the_slowest_pairs_stand_still_when_a_share_is_kept() {
        let x = numbers((1, 2, 2, 8));
        let all = built(&Config::default()).rotate(&x, &Places::range(3, 2)).unwrap();
        let some =
            built(&Config { keep: 0.5, ..Config::default() }).rotate(&x, &Places::range(3, 2)).unwrap();
        // Pairs are (j, j + 4): 0 and 1 turn as they did, 2 and 3 stay.
        for (dimension, turns) in (0..8).map(|dimension| (dimension, dimension % 4 < 2)) {
            let expected = if turns { &all } else { &x };
            let column = |t: &Tensor| flat(&t.narrow(3, dimension, 1).unwrap().contiguous().unwrap());
            assert_eq!(column(&some), column(expected), "{dimension}");
        }
        for keep in [0.0, 0.2, 1.1, f64::NAN] {
            let error = Config { keep, ..Config::default() }.validate(&SHAPE).unwrap_err();
            assert_eq!(error.field, "keep", "{keep}");
        }
        assert_eq!(Config { keep: 0.75, ..Config::default() }.label(), "rope (fastest 75 %)");
    }

    #[test]
    fn ntk_scaling_divides_the_slowest_rate_by_the_factor_and_leaves_the_fastest() {
        let ntk = Scaling::Ntk { factor: 4.0 };
        let plain = inverse_wavelengths(1e4, 8);
        let rates = ntk.rates(&plain, 1e4, 100);
        assert_eq!(rates[0], 1.0);
        assert!((rates[3] * 4.0 / plain[3] - 1.0).abs() < 1e-12, "{rates:?}");
        let config = Config { scaling: Some(ntk), ..Config::default() };
        assert_eq!(config.label(), "rope (ntk scaling)");
        assert!(built(&config).is_incremental());
    }

    #[test]
    fn an_odd_or_empty_part_is_refused() {
        for fraction in [0.0, 0.1, 0.4, 1.5, -0.5, f64::NAN] {
            let error = Config { fraction, ..Config::default() }.validate(&SHAPE).unwrap_err();
            assert_eq!(error.field, "fraction", "{fraction}");
        }
        assert!(Config::default().validate(&Shape { head_dim: 7, ..SHAPE }).is_err());
        assert_eq!(
            Config { fraction: 0.29, ..Config::default() }.turning(&Shape { head_dim: 100, ..SHAPE }),
            29
        );
    }

    #[test]
    fn the_label_names_the_fraction_and_the_base() {
        assert_eq!(Config::default().label(), "rope");
        assert_eq!(Config { fraction: 0.25, ..Config::default() }.label(), "rope (25 %)");
        assert_eq!(Config { fraction: 1.0 / 3.0, ..Config::default() }.label(), "rope (33.33 %)");
        assert_eq!(
            Config { base: 5e5, fraction: 0.5, ..Config::default() }.label(),
            "rope (50 %, base 500000)"
        );
    }
}
