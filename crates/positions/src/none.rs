//! No encoding at all (NoPE).
//!
//! Under a causal mask this is not "no order": how many keys a query sees depends on its position, so a
//! beginning-of-sequence token can be attended to with weight 1/i. Without a mask the model is blind to order.

use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::{ConfigError, Result};
use crate::position::Position;
use crate::registry::{Encoding, Enters, Info, Shape};

/// No options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {}

impl Encoding for Config {
    const INFO: Info = Info {
        kind: "none",
        title: "no positional encoding (NoPE)",
        formula: "x, q, k and scores are left as they are",
        enters: Enters::Nowhere,
        parameters: "none",
        source: "Haviv et al. 2022 (arXiv 2203.16634); Kazemnejad et al. 2023 (arXiv 2305.19466)",
        example: "kind = \"none\"\n",
    };

    fn label(&self) -> String {
        "none".to_owned()
    }

    fn validate(&self, _: &Shape) -> std::result::Result<(), ConfigError> {
        Ok(())
    }

    fn build(&self, _: &Shape, _: VarBuilder) -> Result<Box<dyn Position>> {
        Ok(Box::new(NoPosition))
    }
}

/// Does nothing at any moment.
pub(crate) struct NoPosition;

impl Position for NoPosition {}
