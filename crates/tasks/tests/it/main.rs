//! Tests of the crate as its users see it.
#![allow(clippy::unwrap_used)]

mod config;
mod walk;

use std::path::{Path, PathBuf};

/// The folder that the examples' paths are relative to.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
