//! Randomised positions: tokens stand at a random ascending subset of many positions, so that those of long sequences
//! are known from short ones.
//!
//! The subset is drawn anew for each batch, in evaluation too, and all sequences of the batch share it. In Ruoss et
//! al.'s code the rotary encoding and ALiBi draw anew in every layer; here all layers have the same positions, as
//! their encodings on the embeddings have.

use std::collections::BTreeSet;

use attnlab_ops::Rng;
use candle_nn::VarBuilder;
use rand::Rng as _;
use serde::{Deserialize, Serialize};

use crate::PositionConfig;
use crate::error::{ConfigError, Result};
use crate::over;
use crate::places::Places;
use crate::position::{Position, Sequences};
use crate::registry::{Encoding, Enters, Info, Part, Shape};
use crate::rope;

/// Options of randomised positions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Number of positions to draw from, L.
    pub length: usize,
    /// The encoding whose positions are drawn.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { length: 2048, over: Box::new(PositionConfig::Rope(rope::Config::default())) }
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "randomised",
        title: "randomised positions of another encoding",
        formula: "token i stands at the i-th smallest of n positions, drawn from {0, …, length − 1} without \
                  replacement, in training and evaluation",
        enters: Enters::Another,
        parameters: "those of the other encoding, for sequences of `length` tokens",
        source: "Ruoss et al. 2023 (arXiv 2305.16843); drawn in evaluation too: their code",
        example: "kind = \"randomised\"\nlength = 512\nover = { kind = \"sinusoidal\", base = 1000 }\n",
    };

    fn label(&self) -> String {
        let differs = self.length != Self::default().length;
        over::label(self, differs.then(|| self.length.to_string()).as_slice())
    }

    fn over(&self) -> Option<&PositionConfig> {
        Some(&self.over)
    }

    fn shape_over(&self, shape: &Shape) -> Shape {
        Shape { max_len: self.length, ..*shape }
    }

    fn places_tokens(&self) -> bool {
        true
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        if self.length == 0 || self.length < shape.max_len {
            let (length, longest) = (self.length, shape.max_len.max(1));
            let problem = format!(
                "{length} positions are too few for sequences of {longest} tokens; set it to at least {longest}"
            );
            return Err(ConfigError::new("length", problem));
        }
        ConfigError::unless_numbered("length", self.length)?;
        over::refuse_places(self)?;
        over::validate(self, shape)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        self.build_part(Part::Whole, shape, vb)
    }

    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let over = self.over.build(part, &self.shape_over(shape), vb.pp("over"))?;
        Ok(Box::new(Randomised { length: self.length, over }))
    }
}

struct Randomised {
    length: usize,
    over: Box<dyn Position>,
}

impl Randomised {
    /// An ascending subset of `count` of the positions below `length`, each as likely as any other (Floyd's
    /// algorithm); 0, 1, 2, … if there are not so many.
    fn subset(&self, count: usize, rng: &mut Rng) -> Places {
        let (Ok(length), Some(rest)) = (u32::try_from(self.length), self.length.checked_sub(count)) else {
            return Places::range(0, count);
        };
        let mut chosen = BTreeSet::new();
        for last in rest as u32..length {
            let drawn = rng.random_range(0..=last);
            if !chosen.insert(drawn) {
                chosen.insert(last);
            }
        }
        Places::shared(chosen.into_iter().collect())
    }
}

impl Position for Randomised {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        self.over.training_places(of, rng).moved_to(self.subset(of.len, rng))
    }

    fn places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        self.over.places(of, rng).moved_to(self.subset(of.len, rng))
    }

    fn is_incremental(&self) -> bool {
        // A sequence that is a token longer stands elsewhere as a whole.
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use attnlab_ops::Streams;

    use super::*;
    use crate::learned;
    use crate::none::NoPosition;

    const SHAPE: Shape = Shape { d_model: 4, n_heads: 2, head_dim: 2, max_len: 8, causal: true };

    fn randomised(length: usize) -> Randomised {
        Randomised { length, over: Box::new(NoPosition) }
    }

    #[test]
    fn positions_ascend_and_every_subset_is_as_likely_as_any_other() {
        let position = randomised(5);
        let of = Sequences { tokens: &[], rows: 3, len: 2 };
        let mut rng = Streams::new(1).rng("places", 0);
        let mut counts = [[0; 5]; 5];
        for draw in 0..4000 {
            let training = draw % 2 == 0;
            let places = if training {
                position.training_places(&of, &mut rng)
            } else {
                position.places(&of, &mut rng)
            };
            assert_eq!((places.n_rows(), places.len()), (1, 2));
            counts[places.ids()[0] as usize][places.ids()[1] as usize] += 1;
        }
        for (a, row) in counts.iter().enumerate() {
            for (b, &count) in row.iter().enumerate() {
                // Ten pairs, each expected 400 times, standard deviation 19.
                assert!(if a < b { (315..=485).contains(&count) } else { count == 0 }, "{a} {b}: {count}");
            }
        }
    }

    #[test]
    fn a_sequence_of_all_positions_stands_at_all_of_them_and_a_longer_one_at_its_indices() {
        let mut rng = Streams::new(1).rng("places", 0);
        assert_eq!(randomised(6).subset(6, &mut rng), Places::range(0, 6));
        assert_eq!(randomised(6).subset(7, &mut rng), Places::range(0, 7));
        assert!(randomised(6).subset(0, &mut rng).is_empty());
    }

    #[test]
    fn the_other_encoding_is_built_for_all_positions() {
        let config =
            Config { length: 40, over: Box::new(PositionConfig::Learned(learned::Config::default())) };
        config.validate(&SHAPE).unwrap();
        assert_eq!(config.parameter_count(&SHAPE), 40 * 4);
        assert_eq!(config.label(), "randomised (40) learned");
        let few = Config { length: 7, ..config.clone() };
        assert_eq!(few.validate(&SHAPE).unwrap_err().path(), "length");
        let short = learned::Config { max_len: Some(39), ..learned::Config::default() };
        let short = Config { over: Box::new(PositionConfig::Learned(short)), ..config };
        assert_eq!(short.validate(&SHAPE).unwrap_err().path(), "over.max_len");
    }

    #[test]
    fn two_encodings_that_say_where_tokens_stand_are_refused() {
        let offset = learned::Config { random_offset: true, ..learned::Config::default() };
        let config = Config { over: Box::new(PositionConfig::Learned(offset)), ..Config::default() };
        let error = config.validate(&SHAPE).unwrap_err();
        assert_eq!(error.path(), "over");
        assert!(error.problem.contains("learned+offset and randomised"), "{error}");
        let twice = Config { over: Box::new(PositionConfig::Randomised(Config::default())), ..config };
        assert!(twice.validate(&SHAPE).is_err());
    }
}
