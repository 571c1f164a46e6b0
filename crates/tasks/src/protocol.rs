//! The three ways to put a problem to a model.

use serde::{Deserialize, Serialize};

/// How a problem is put to a model. Scores under different protocols are not comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// Not causal: the input, then one empty token for each symbol of the answer, labelled there
    /// (Delétang et al. 2022, arXiv 2207.02098).
    Encoder,
    /// Causal: `<bos> x <sep> y <eos>` with the loss on `y <eos>` only (Huang et al. 2024, arXiv 2410.02140).
    Language,
    /// Causal: a label after every symbol of the input, about the prefix that ends there
    /// (Bhattamishra et al. 2020, arXiv 2009.11264). Classes are trained by cross-entropy. Sets are trained as
    /// independent outputs, by binary cross-entropy or, with `train.set_loss = "squared_error"`, by the squared
    /// error of the sigmoid as in that paper; an output above 0.5 counts as in the set.
    Prefix,
}

impl Protocol {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Encoder => "encoder",
            Protocol::Language => "language",
            Protocol::Prefix => "prefix",
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
