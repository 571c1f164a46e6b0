//! The model that is built in.

use anyhow::{Result, bail};

use crate::model::Model;

/// What it is called on the command line.
pub(crate) const NAME: &str = "demo";

/// What it reads if nothing else is given.
pub(crate) const TEXT: &str = "";

/// The model.
pub(crate) fn model() -> Result<Model> {
    bail!("not yet")
}
