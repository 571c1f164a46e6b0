//! What a model is given and what it should have said.

use crate::TaskError;

/// The class of a position without a label; the loss and the score skip it.
pub const IGNORE: u32 = u32::MAX;

/// Labels of a batch, row-major, one entry a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// (rows, len): the class to predict *at* the position, [`IGNORE`] where there is none.
    Classes(Vec<u32>),
    /// A set of classes at each position.
    Sets {
        /// Number of classes.
        classes: usize,
        /// (rows, len, classes): 1 where the class belongs to the set, else 0.
        values: Vec<f32>,
        /// (rows, len): 1 where the position has a label, else 0.
        mask: Vec<f32>,
    },
}

/// Rows of one length: no padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of sequences.
    pub rows: usize,
    /// Tokens of each sequence.
    pub len: usize,
    /// (rows, len) token ids.
    pub tokens: Vec<u32>,
    /// What the model should say at each position.
    pub labels: Labels,
}

impl Batch {
    /// Number of labelled positions.
    pub fn labelled(&self) -> usize {
        match &self.labels {
            Labels::Classes(classes) => classes.iter().filter(|c| **c != IGNORE).count(),
            Labels::Sets { mask, .. } => mask.iter().filter(|m| **m != 0.0).count(),
        }
    }

    /// Whether each position (rows, len) is right: None where it has no label. For curves over positions.
    ///
    /// `predictions` are, for [`Labels::Classes`], the class chosen at each position (rows, len); for
    /// [`Labels::Sets`], 0 or 1 for each class at each position (rows, len, classes), where a position is right if the
    /// whole set is.
    pub fn right(&self, predictions: &[u32]) -> Result<Vec<Option<bool>>, TaskError> {
        let positions = self.rows * self.len;
        match &self.labels {
            Labels::Classes(classes) => {
                check(predictions, positions, "rows × len classes")?;
                let pairs = classes.iter().zip(predictions);
                Ok(pairs.map(|(class, said)| (*class != IGNORE).then_some(class == said)).collect())
            }
            Labels::Sets { classes, values, mask } => {
                check(predictions, positions * classes, "rows × len × classes of 0 or 1")?;
                let width = (*classes).max(1);
                let sets = values.chunks(width).zip(predictions.chunks(width));
                let equal = |(set, said): (&[f32], &[u32])| {
                    set.iter().zip(said).all(|(v, s)| (*v != 0.0) == (*s != 0))
                };
                Ok(sets.zip(mask).map(|(pair, m)| (*m != 0.0).then(|| equal(pair))).collect())
            }
        }
    }
}

fn check(predictions: &[u32], expected: usize, shape: &'static str) -> Result<(), TaskError> {
    if predictions.len() == expected {
        Ok(())
    } else {
        Err(TaskError::Predictions { found: predictions.len(), expected, shape })
    }
}
