//! A learned vector per absolute position, optionally trained at random offsets.
//!
//! With `random_offset` a training sequence of n tokens stands at positions o .. o + n with o ~ U{0, …, max_len − n},
//! drawn per sequence, so that every row of the table is trained although training sequences are short.
//! Evaluation always starts at 0. Without it, rows beyond the training length never get a gradient: they keep their
//! random initial directions, and weight decay alone moves them, towards zero.

use attnlab_ops::{self as ops, Rng};
use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, PositionError, Result};
use crate::places::Places;
use crate::position::{Position, Sequences};
use crate::registry::{Encoding, Enters, Info, Shape};

/// Options of the learned encoding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Rows of the table; by default as many as the model's longest sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_len: Option<usize>,
    /// Whether training sequences start at random positions.
    pub random_offset: bool,
    /// Standard deviation of the initial values (mean 0): 0.02, which is GPT-2's. The table is drawn by this alone,
    /// whatever the model's `init` is; PyTorch's embeddings, which `init = "torch"` gives the tokens, have 1.
    pub init_std: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_len: None, random_offset: false, init_std: 0.02 }
    }
}

impl Config {
    fn table_len(&self, shape: &Shape) -> usize {
        self.max_len.unwrap_or(shape.max_len)
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "learned",
        title: "learned absolute positions",
        formula: "x_i + E[i]; with random_offset x_i + E[i + o], o ~ U{0, …, max_len − n} in training, o = 0 in evaluation",
        enters: Enters::Embeddings,
        parameters: "E: max_len × d_model",
        source: "Gehring et al. 2017 (arXiv 1705.03122); Radford et al. 2019 (GPT-2); random offsets: Huang et al. 2024 (arXiv 2410.02140)",
        example: "kind = \"learned\"\nrandom_offset = true\nmax_len = 64\ninit_std = 0.02\n",
    };

    fn label(&self) -> String {
        if self.random_offset { "learned+offset" } else { "learned" }.to_owned()
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let table = self.table_len(shape);
        if table == 0 || table < shape.max_len {
            return Err(ConfigError::new(
                "max_len",
                format!(
                    "a table of {table} positions is too short for sequences of {} tokens; \
                     set it to at least {0} or leave it out",
                    shape.max_len.max(1)
                ),
            ));
        }
        ConfigError::unless_numbered("max_len", table)?;
        if !(self.init_std.is_finite() && self.init_std >= 0.0) {
            return Err(ConfigError::new(
                "init_std",
                format!("{} is not a standard deviation; expected a finite number ≥ 0", self.init_std),
            ));
        }
        Ok(())
    }

    fn places_tokens(&self) -> bool {
        self.random_offset
    }

    fn parameter_count(&self, shape: &Shape) -> usize {
        self.table_len(shape).saturating_mul(shape.d_model)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let init = Init::Randn { mean: 0.0, stdev: self.init_std };
        let table = vb.get_with_hints((self.table_len(shape), shape.d_model), "weight", init)?;
        Ok(Box::new(Learned { table, random_offset: self.random_offset }))
    }
}

struct Learned {
    table: Tensor, // (N, D)
    random_offset: bool,
}

impl Learned {
    fn len(&self) -> usize {
        self.table.dims().first().copied().unwrap_or_default()
    }
}

impl Position for Learned {
    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        let (batch, len) = (of.rows, of.len);
        if !self.random_offset || len > self.len() {
            // A sequence longer than the table is refused, with its position named, by `embed`.
            return Places::range(0, len);
        }
        Places::random_runs(batch, len, self.len(), rng)
    }

    fn embed(&self, x: &Tensor, at: &Places) -> Result<Tensor> {
        let (b, t, _) = x.dims3()?;
        at.fit("embed", b, t)?;
        let table = self.len();
        if let Some(position) = at.ids().iter().map(|id| *id as usize).find(|id| *id >= table) {
            return Err(PositionError::BeyondTable { position, table });
        }
        let rows = match at.ids().first() {
            None => return Ok(x.clone()),
            // A shared run is a view of the table: its gradient needs no scatter.
            Some(&first) if at.n_rows() == 1 && at.is_contiguous() => {
                self.table.narrow(0, first as usize, t)?.unsqueeze(0)? // (1, T, D)
            }
            Some(_) => ops::embedding(&at.tensor(x.device())?, &self.table)?, // (B or 1, T, D)
        };
        Ok(x.broadcast_add(&rows)?)
    }

    fn embeds(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::{Parameters, Streams};
    use candle_core::{DType, Device};

    use super::*;

    const SHAPE: Shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: true };

    fn built(config: &Config) -> (Box<dyn Position>, Parameters) {
        let parameters = Parameters::new();
        let vb = parameters.seeded(Streams::new(1), DType::F64, &Device::Cpu);
        config.validate(&SHAPE).unwrap();
        (config.build(&SHAPE, vb.pp("position")).unwrap(), parameters)
    }

    /// Sequences whose tokens nobody reads.
    fn unread(rows: usize, len: usize) -> Sequences<'static> {
        Sequences { tokens: &[], rows, len }
    }

    fn zeros(b: usize, t: usize) -> Tensor {
        Tensor::zeros((b, t, 4), DType::F64, &Device::Cpu).unwrap()
    }

    fn rows(t: &Tensor) -> Vec<Vec<f64>> {
        t.flatten_to(1).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn a_token_gets_the_row_of_its_position() {
        let (position, parameters) = built(&Config::default());
        let (name, table) = parameters.vars().remove(0);
        assert_eq!(name, "position.weight");
        let table: Vec<Vec<f64>> = table.to_vec2().unwrap();
        let shared = rows(&position.embed(&zeros(2, 3), &Places::range(5, 3)).unwrap());
        assert_eq!(shared, [&table[5..8], &table[5..8]].concat());
        let own = Places::rows(vec![vec![0, 1], vec![6, 2]]).unwrap();
        let own = rows(&position.embed(&zeros(2, 2), &own).unwrap());
        assert_eq!(own, [0, 1, 6, 2].map(|i| table[i].clone()));
    }

    #[test]
    fn a_position_beyond_the_table_is_an_error_naming_both() {
        let (position, _) = built(&Config::default());
        let error = position.embed(&zeros(1, 3), &Places::range(6, 3)).unwrap_err().to_string();
        assert!(error.contains("position 8 ") && error.contains("8 positions (0 to 7)"), "{error}");
        assert!(error.contains("at least 9"), "{error}");
    }

    #[test]
    fn a_table_shorter_than_the_models_sequences_is_refused() {
        let error = Config { max_len: Some(7), ..Config::default() }.validate(&SHAPE).unwrap_err();
        assert_eq!(error.field, "max_len");
        assert!(error.problem.contains("7 positions") && error.problem.contains("8 tokens"), "{error}");
        assert!(Config { init_std: f64::NAN, ..Config::default() }.validate(&SHAPE).is_err());
    }

    #[test]
    fn random_offsets_are_drawn_per_sequence_from_every_start_that_fits() {
        let (position, _) = built(&Config { random_offset: true, ..Config::default() });
        let places = position.training_places(&unread(400, 5), &mut Streams::new(2).rng("offset", 0));
        assert_eq!((places.n_rows(), places.len()), (400, 5));
        assert!(places.is_contiguous());
        let mut counts = [0; 4]; // starts 0, 1, 2, 3
        for row in 0..400 {
            counts[places.row(row)[0] as usize] += 1;
        }
        // Each is expected 100 times, standard deviation 8.7.
        assert!(counts.iter().all(|c| (56..=144).contains(c)), "{counts:?}");
        let again = position.training_places(&unread(400, 5), &mut Streams::new(2).rng("offset", 0));
        assert_eq!(places, again);
        let full = position.training_places(&unread(3, 8), &mut Streams::new(2).rng("offset", 0));
        assert!((0..3).all(|row| full.row(row)[0] == 0));
        let plain = built(&Config::default()).0;
        assert_eq!(
            plain.training_places(&unread(3, 5), &mut Streams::new(2).rng("offset", 0)),
            Places::range(0, 5)
        );
    }

    #[test]
    fn only_the_rows_in_use_get_a_gradient() {
        let (position, parameters) = built(&Config::default());
        let table = parameters.vars().remove(0).1;
        for places in [Places::range(2, 2), Places::rows(vec![vec![2, 3]; 3]).unwrap()] {
            let y = position.embed(&zeros(3, 2), &places).unwrap().sum_all().unwrap();
            let grads = y.backward().unwrap();
            let sums: Vec<f64> = grads.get(&table).unwrap().sum(1).unwrap().to_vec1().unwrap();
            assert_eq!(sums, [0., 0., 12., 12., 0., 0., 0., 0.]);
        }
    }
}
