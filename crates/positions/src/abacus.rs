//! Abacus embeddings: every digit gets a learned vector of its place within its number, so that digits of equal weight
//! are alike in all numbers of a sequence.
//!
//! Numbers must be written with their least significant digit first for equal places to mean equal weights. In
//! training all of a sequence's places are higher by a random offset, so that those of longer numbers are trained too.
//! (The authors' code draws one offset for a whole batch; here each sequence has its own.) A token that is no digit
//! gets nothing.
//!
//! Places within numbers say nothing of the numbers' order. Besides a causal mask, McLeish et al. combine them with
//! other encodings: `over` is one.

use attnlab_ops::{self as ops, Rng};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::PositionConfig;
use crate::error::{ConfigError, PositionError, Result};
use crate::none;
use crate::over;
use crate::places::Places;
use crate::position::{Position, Sequences};
use crate::registry::{Encoding, Enters, Info, Part, Shape};

/// Options of Abacus embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The first and the last id of the tokens that are digits; `attnlab list tasks --show NAME` prints a task's.
    pub digits: [u32; 2],
    /// The largest offset in training.
    pub max_offset: usize,
    /// The longest number; by default as many digits as the longest sequence has tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_digits: Option<usize>,
    /// Standard deviation of the initial values (mean 0).
    pub init_std: f64,
    /// The encoding that is used besides.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            digits: [0, 9],
            max_offset: 99,
            max_digits: None,
            init_std: 0.02,
            over: Box::new(PositionConfig::None(none::Config::default())),
        }
    }
}

impl Config {
    fn table_len(&self, shape: &Shape) -> usize {
        self.max_digits.unwrap_or(shape.max_len).saturating_add(self.max_offset)
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "abacus",
        title: "places of digits within their number (Abacus), with another encoding or none",
        formula: "x_i + E[k + o] of the k-th digit of a number, k = 1, 2, …; o ~ U{0, …, max_offset} for each \
                  training sequence, o = 0 in evaluation",
        enters: Enters::Another,
        parameters: "E: (max_digits + max_offset) × d_model; those of the other encoding",
        source: "McLeish et al. 2024 (arXiv 2405.17399)",
        example: "kind = \"abacus\"\ndigits = [2, 11]\nmax_offset = 50\nmax_digits = 40\ninit_std = 0.02\n\
                  over = { kind = \"alibi\" }\n",
    };

    fn label(&self) -> String {
        let label = over::label(self, &[]);
        if *self.over == PositionConfig::None(none::Config::default()) { "abacus".to_owned() } else { label }
    }

    fn over(&self) -> Option<&PositionConfig> {
        Some(&self.over)
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let [first, last] = self.digits;
        if first > last {
            let problem =
                format!("[{first}, {last}] is no range of ids; give the first digit's and the last one's");
            return Err(ConfigError::new("digits", problem));
        }
        if self.max_digits == Some(0) {
            return Err(ConfigError::new("max_digits", "0 leaves no digit a place; set it to at least 1"));
        }
        let table = self.table_len(shape);
        if u32::try_from(table).is_err() {
            let field = if u32::try_from(self.max_offset).is_err() { "max_offset" } else { "max_digits" };
            return Err(ConfigError::new(field, format!("{table} places are more than 4294967295")));
        }
        if !(self.init_std.is_finite() && self.init_std >= 0.0) {
            let problem =
                format!("{} is not a standard deviation; expected a finite number ≥ 0", self.init_std);
            return Err(ConfigError::new("init_std", problem));
        }
        over::validate(self, shape)
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.part_parameter_count(Part::Whole, shape)
    }

    fn part_parameter_count(&self, part: Part, shape: &Shape) -> usize {
        let own =
            if part == Part::Attention { 0 } else { self.table_len(shape).saturating_mul(shape.d_model) };
        self.over.parameter_count(part, shape).saturating_add(own)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        self.build_part(Part::Whole, shape, vb)
    }

    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let over = self.over.build(part, shape, vb.pp("over"))?;
        if part == Part::Attention {
            return Ok(over);
        }
        let init = Init::Randn { mean: 0.0, stdev: self.init_std };
        let table = vb.get_with_hints((self.table_len(shape), shape.d_model), "weight", init)?;
        let [first, last] = self.digits;
        Ok(Box::new(Abacus {
            first,
            last,
            max_offset: u32::try_from(self.max_offset).unwrap_or(u32::MAX),
            table,
            over,
        }))
    }
}

struct Abacus {
    first: u32,
    last: u32,
    max_offset: u32,
    table: Tensor, // (N, D): row k + o − 1 is E[k + o]
    over: Box<dyn Position>,
}

impl Abacus {
    /// k + offset of each token that is the k-th digit of a number, 0 of the others.
    fn within(&self, tokens: &[u32], offset: u32) -> Vec<u32> {
        let mut place = 0;
        let step = |id: &u32| {
            place = if (self.first..=self.last).contains(id) { place + 1 } else { 0 };
            if place == 0 { 0 } else { place + offset }
        };
        tokens.iter().map(step).collect()
    }
}

impl Position for Abacus {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        let places = self.over.training_places(of, rng);
        let within = |row| self.within(of.row(row), rng.random_range(0..=self.max_offset));
        places.with_within((0..of.rows).flat_map(within).collect())
    }

    fn places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        let places = self.over.places(of, rng);
        places.with_within((0..of.rows).flat_map(|row| self.within(of.row(row), 0)).collect())
    }

    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        at.fit("embed", b, t)?;
        let x = self.over.embed(x, at)?;
        let (within, rows) = (at.within(), (at.n_rows(), at.len()));
        let table = self.table.dim(0)?;
        if let Some(place) = within.iter().map(|place| *place as usize).find(|place| *place > table) {
            return Err(PositionError::BeyondDigits { place, table });
        }
        // A token that is no digit reads the first row and multiplies it by 0.
        let index: Vec<u32> = within.iter().map(|place| place.saturating_sub(1)).collect();
        let is_digit: Vec<f32> = within.iter().map(|&place| if place == 0 { 0.0 } else { 1.0 }).collect();
        let digits = ops::embedding(&Tensor::from_vec(index, rows, x.device())?, &self.table)?; // (1 or B, T, D)
        let is_digit = Tensor::from_vec(is_digit, (rows.0, rows.1, 1), x.device())?.to_dtype(x.dtype())?;
        Ok(x.broadcast_add(&digits.broadcast_mul(&is_digit)?)?)
    }

    fn embeds(&self) -> bool {
        true
    }

    fn is_incremental(&self) -> bool {
        // A digit's place follows from the tokens before it, not from its index.
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};
    use candle_core::{DType, Device};

    use super::*;
    use crate::{alibi, learned};

    const SHAPE: Shape = Shape { d_model: 2, n_heads: 2, head_dim: 1, max_len: 6, causal: true };

    fn built(config: &Config) -> (Box<dyn Position>, Parameters) {
        let parameters = Parameters::new();
        config.validate(&SHAPE).unwrap();
        let vb = parameters.seeded(Streams::new(1), DType::F64, &Device::Cpu);
        (config.build(&SHAPE, vb.pp("position")).unwrap(), parameters)
    }

    /// `12+3=` and `+456=` of ten digits, `+` 10 and `=` 11.
    const TOKENS: [u32; 10] = [1, 2, 10, 3, 11, 10, 4, 5, 6, 11];

    fn sums() -> Sequences<'static> {
        Sequences { tokens: &TOKENS, rows: 2, len: 5 }
    }

    #[test]
    fn digits_are_counted_from_the_start_of_their_number_and_others_have_no_place() {
        let (position, _) = built(&Config::default());
        let mut rng = Streams::new(1).rng("places", 0);
        let places = position.places(&sums(), &mut rng);
        assert_eq!(places.within(), [1, 2, 0, 1, 0, 0, 1, 2, 3, 0]);
        assert_eq!((places.row(0), places.row(1)), (&[0, 1, 2, 3, 4][..], &[0, 1, 2, 3, 4][..]));
    }

    #[test]
    fn in_training_a_sequences_places_share_an_offset_and_sequences_differ() {
        let (position, _) = built(&Config { max_offset: 3, ..Config::default() });
        let mut rng = Streams::new(1).rng("places", 0);
        let mut seen = [[0; 4]; 2];
        for _ in 0..400 {
            let places = position.training_places(&sums(), &mut rng);
            let within = places.within();
            let (a, b) = (within[0] - 1, within[6] - 1);
            assert_eq!(within, [1 + a, 2 + a, 0, 1 + a, 0, 0, 1 + b, 2 + b, 3 + b, 0]);
            seen[0][a as usize] += 1;
            seen[1][b as usize] += 1;
        }
        assert!(seen.iter().flatten().all(|count| (60..=140).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_digit_gets_the_row_of_its_place_and_only_those_rows_get_gradient() {
        let (position, parameters) = built(&Config { max_offset: 1, ..Config::default() });
        let table = parameters.vars().remove(0).1;
        let rows: Vec<Vec<f64>> = table.to_vec2().unwrap();
        assert_eq!(rows.len(), 7);
        let places = position.places(&sums(), &mut Streams::new(1).rng("places", 0));
        let x = Tensor::zeros((2, 5, 2), DType::F64, &Device::Cpu).unwrap();
        let y = position.embed(&x, &places).unwrap();
        let found: Vec<Vec<f64>> = y.flatten_to(1).unwrap().to_vec2().unwrap();
        for (found, &place) in found.iter().zip(places.within()) {
            let expected = if place == 0 { vec![0.0; 2] } else { rows[place as usize - 1].clone() };
            assert_eq!(*found, expected);
        }
        let grads = y.sum_all().unwrap().backward().unwrap();
        let sums: Vec<f64> = grads.get(&table).unwrap().sum(1).unwrap().to_vec1().unwrap();
        assert_eq!(sums, [6.0, 4.0, 2.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_number_longer_than_the_table_is_refused_by_its_place() {
        let (position, _) = built(&Config { max_digits: Some(2), max_offset: 0, ..Config::default() });
        let places = position.places(&sums(), &mut Streams::new(1).rng("places", 0));
        let x = Tensor::zeros((2, 5, 2), DType::F64, &Device::Cpu).unwrap();
        let error = position.embed(&x, &places).unwrap_err().to_string();
        assert!(error.contains("digit 3") && error.contains("position.max_digits"), "{error}");
    }

    #[test]
    fn another_encoding_acts_beside_it_at_the_tokens_own_positions() {
        let over = |config| Config { over: Box::new(config), ..Config::default() };
        let alibi = over(PositionConfig::Alibi(alibi::Config::default()));
        assert_eq!(alibi.label(), "abacus alibi");
        let (position, _) = built(&alibi);
        let places = position.places(&sums(), &mut Streams::new(1).rng("places", 0));
        let bias = position.bias(&places, &places, DType::F64, &Device::Cpu).unwrap();
        assert!(matches!(bias, crate::Bias::Distance(_)));
        let both = over(PositionConfig::Learned(learned::Config::default()));
        assert_eq!(both.parameter_count(&SHAPE), (6 + 99) * 2 + 6 * 2);
        assert_eq!(built(&both).1.vars().len(), 2);
    }

    #[test]
    fn what_describes_no_table_is_refused() {
        let field = |config: Config| config.validate(&SHAPE).unwrap_err().field;
        assert_eq!(field(Config { digits: [5, 4], ..Config::default() }), "digits");
        assert_eq!(field(Config { max_digits: Some(0), ..Config::default() }), "max_digits");
        assert_eq!(field(Config { max_offset: usize::MAX, ..Config::default() }), "max_offset");
        assert_eq!(field(Config { init_std: -1.0, ..Config::default() }), "init_std");
    }
}
