//! Positional skip-wise training (PoSE): a training sequence is cut in two, and the second piece stands farther on.
//!
//! The first piece is one token to half of the sequence long, and the second one's positions are all higher by
//! u ~ U{0, …, target − n}: every distance below `target` occurs in training, although no sequence is that long.
//! Zhu et al. also take the second piece from farther on in the text; here the tokens stay as the task gave them.

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

/// Options of positional skip-wise training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The length that is trained for; by default the model's longest sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<usize>,
    /// The encoding whose positions are skipped.
    pub over: Box<PositionConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { target: None, over: Box::new(PositionConfig::Rope(rope::Config::default())) }
    }
}

impl Config {
    fn target(&self, shape: &Shape) -> usize {
        self.target.unwrap_or(shape.max_len)
    }
}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "pose",
        title: "positional skip-wise training (PoSE) of another encoding",
        formula: "in training tokens c, …, n − 1 stand u positions farther on; c ~ U{1, …, ⌊(n + 1)/2⌋}, \
                  u ~ U{0, …, target − n} for each sequence",
        enters: Enters::Another,
        parameters: "those of the other encoding, for sequences of `target` tokens",
        source: "Zhu et al. 2023 (arXiv 2309.10400) and its code, of two pieces",
        example: "kind = \"pose\"\ntarget = 256\nover = { kind = \"rope\", base = 500 }\n",
    };

    fn label(&self) -> String {
        over::label(self, self.target.map(|target| target.to_string()).as_slice())
    }

    fn over(&self) -> Option<&PositionConfig> {
        Some(&self.over)
    }

    fn shape_over(&self, shape: &Shape) -> Shape {
        Shape { max_len: self.target(shape).max(shape.max_len), ..*shape }
    }

    fn places_tokens(&self) -> bool {
        true
    }

    fn validate(&self, shape: &Shape) -> std::result::Result<(), ConfigError> {
        let target = self.target(shape);
        if target == 0 || u32::try_from(target).is_err() {
            return Err(ConfigError::new("target", format!("{target} is not between 1 and 4294967295")));
        }
        over::refuse_places(self)?;
        over::validate(self, shape)
    }

    fn build(&self, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        self.build_part(Part::Whole, shape, vb)
    }

    fn build_part(&self, part: Part, shape: &Shape, vb: VarBuilder) -> Result<Box<dyn Position>> {
        let over = self.over.build(part, &self.shape_over(shape), vb.pp("over"))?;
        Ok(Box::new(Pose { target: self.target(shape), over }))
    }
}

struct Pose {
    target: usize,
    over: Box<dyn Position>,
}

impl Position for Pose {
    fn over(&self) -> Option<&dyn Position> {
        Some(&*self.over)
    }

    fn training_places(&self, of: &Sequences<'_>, rng: &mut Rng) -> Places {
        let places = self.over.training_places(of, rng);
        let Ok(len) = u32::try_from(of.len) else { return places };
        // As long as the target or longer, there is nothing to skip.
        let most = u32::try_from(self.target).unwrap_or(u32::MAX).saturating_sub(len);
        if most == 0 {
            return places;
        }
        let mut ids = Vec::with_capacity(of.rows * of.len);
        for _ in 0..of.rows {
            let first = rng.random_range(1..=len.div_ceil(2).max(1));
            let skip = rng.random_range(0..=most);
            ids.extend((0..len).map(|i| if i < first { i } else { i + skip }));
        }
        places.moved_to(Places::of_length(ids, of.len))
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

    #[test]
    fn the_first_piece_is_up_to_half_of_the_sequence_and_the_second_ends_below_the_target() {
        let pose = Pose { target: 9, over: Box::new(NoPosition) };
        let of = Sequences { tokens: &[], rows: 2000, len: 5 };
        let mut rng = Streams::new(1).rng("places", 0);
        let places = pose.training_places(&of, &mut rng);
        assert_eq!((places.n_rows(), places.len()), (2000, 5));
        let mut counts = [[0; 5]; 4]; // of the first piece's length and the skip
        for row in 0..2000 {
            let ids = places.row(row);
            let first = ids.windows(2).position(|pair| pair[1] != pair[0] + 1).map_or(0, |last| last + 1);
            let skip = ids[4] - 4;
            assert_eq!(skip == 0, first == 0);
            let expected: Vec<u32> = (0..5).map(|i| if i < first as u32 { i } else { i + skip }).collect();
            assert!(ids == expected || skip == 0);
            counts[first][skip as usize] += 1;
        }
        // Fifteen pairs of c = 1, 2, 3 and u = 0, …, 4; those with u = 0 look alike. Standard deviation 11.
        assert!((310..=490).contains(&counts[0][0]), "{counts:?}");
        assert!(counts[1..].iter().all(|of| of[1..].iter().all(|c| (85..=180).contains(c))), "{counts:?}");
        assert_eq!(pose.places(&of, &mut rng), Places::range(0, 5));
    }

    #[test]
    fn a_sequence_of_one_token_and_one_beyond_the_target_can_be_placed() {
        let pose = Pose { target: 3, over: Box::new(NoPosition) };
        let mut rng = Streams::new(1).rng("places", 0);
        let mut place = |len| pose.training_places(&Sequences { tokens: &[], rows: 2, len }, &mut rng);
        assert_eq!(place(1), Places::rows(vec![vec![0], vec![0]]).unwrap());
        assert_eq!(place(3), Places::range(0, 3));
        assert_eq!(place(4), Places::range(0, 4));
        assert!(place(0).is_empty());
    }

    #[test]
    fn the_other_encoding_is_built_for_the_target_or_the_longest_sequence() {
        let table = |target| {
            let over = Box::new(PositionConfig::Learned(learned::Config::default()));
            let config = Config { target, over };
            config.validate(&SHAPE).unwrap();
            config.parameter_count(&SHAPE) / 4
        };
        assert_eq!([table(None), table(Some(4)), table(Some(30))], [8, 8, 30]);
        assert_eq!(
            Config { target: Some(0), ..Config::default() }.validate(&SHAPE).unwrap_err().field,
            "target"
        );
    }
}
