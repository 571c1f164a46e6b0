//! Random offsets: training sequences start anywhere, so that an encoding of absolute positions is trained on all of
//! them although training sequences are short. Evaluation starts at 0.
//!
//! `learned` has this as an option of its own. An encoding of distances is left as it is.

use attnlab_ops::Rng;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::PositionConfig;
use crate::error::{ConfigError, Result};
use crate::over;
use crate::places::Places;
use crate::position::{Position, Sequences};
use crate::registry::{Encoding, Enters, Info, Part, Shape};
use crate::sinusoidal;

/// Options of random offsets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of positions that are trained; by default as many as the model's longest sequence has tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_len: Option<usize>,
    /// The encoding whose positions are moved.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_len: None, over: Box::new(PositionConfig::Sinusoidal(sinusoidal::Config::default())) }
    }
}

impl Config {
    fn max_len(&self, shape: &Shape) -> usize {
        self.max_len.unwrap_or(shape.max_len)
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "offset",
        title: "another encoding trained at random offsets",
        formula: "token i stands at i + o; o ~ U{0, …, max_len − n} for each training sequence, o = 0 in evaluation",
        enters: Enters::Another,
        parameters: "those of the other encoding, for sequences of `max_len` tokens",
        source: "Huang et al. 2024 (arXiv 2410.02140), there of a learned encoding",
        example: "kind = \"offset\"\nmax_len = 64\nover = { kind = \"sinusoidal\", base = 1000 }\n",
    };

    fn label(&self) -> String {
        over::label(self, self.max_len.map(|len| len.to_string()).as_slice())
    }

    fn over(&self) -> Option<&PositionConfig> {
        Some(&self.over)
    }

    fn shape_over(&self, shape: &Shape) -> Shape {
        Shape { max_len: self.max_len(shape), ..*shape }
    }

    fn places_tokens(&self) -> bool {
        true
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let (most, longest) = (self.max_len(shape), shape.max_len.max(1));
        if most < longest {
            let problem = format!(
                "{most} positions are too few for sequences of {longest} tokens; \
                 set it to at least {longest} or leave it out"
            );
            return Err(ConfigError::new("max_len", problem));
        }
        ConfigError::unless_numbered("max_len", most)?;
        over::refuse_places(self)?;
        over::validate(self, shape)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        self.build_part(Part::Whole, shape, vb)
    }

    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let over = self.over.build(part, &self.shape_over(shape), vb.pp("over"))?;
        Ok(Box::new(Offset { max_len: self.max_len(shape), over }))
    }
}

struct Offset {
    max_len: usize,
    over: Box<dyn Position>,
}

impl Position for Offset {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        let places = self.over.training_places(of, rng);
        if of.len > self.max_len {
            return places;
        }
        places.moved_to(Places::random_runs(of.rows, of.len, self.max_len, rng))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::Streams;
    use candle_core::{DType, Device};

    use super::*;
    use crate::learned;

    const SHAPE: Shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: true };

    #[test]
    fn over_a_learned_encoding_it_draws_what_that_draws_itself() {
        let over = learned::Config::default();
        let own = learned::Config { random_offset: true, ..over.clone() };
        let offset = Config { max_len: None, over: Box::new(PositionConfig::Learned(over)) };
        offset.validate(&SHAPE).unwrap();
        let vb = || VarBuilder::zeros(DType::F64, &Device::Cpu);
        let (a, b) = (offset.build(&SHAPE, vb()).unwrap(), own.build(&SHAPE, vb()).unwrap());
        let of = Sequences { tokens: &[], rows: 50, len: 5 };
        let rng = || Streams::new(2).rng("places", 0);
        let places = a.training_places(&of, &mut rng());
        assert_eq!(places, b.training_places(&of, &mut rng()));
        assert!((0..4).all(|start| (0..50).any(|row| places.row(row)[0] == start)));
        assert_eq!(a.places(&of, &mut rng()), Places::range(0, 5));
        let beyond = Sequences { len: 9, ..of };
        assert_eq!(a.training_places(&beyond, &mut rng()), Places::range(0, 9));
    }

    #[test]
    fn fewer_positions_than_the_longest_sequence_has_are_refused() {
        let error = Config { max_len: Some(7), ..Config::default() }.validate(&SHAPE).unwrap_err();
        assert_eq!(error.path(), "max_len");
        Config { max_len: Some(9), ..Config::default() }.validate(&SHAPE).unwrap();
    }
}
