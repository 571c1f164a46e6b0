//! The model that is built in.

use anyhow::{Result, bail};

use crate::model::Model;

/// What it is called on the command line.
pub(crate) const NAME: &str = "demo";

/// The model.
pub(crate) fn model() -> Result<Model> {
    bail!("not yet")
}
