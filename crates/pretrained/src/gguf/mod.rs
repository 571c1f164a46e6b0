//! GGUF, the format of llama.cpp: metadata, vocabulary and (quantised) tensors in one file.

mod arch;
mod facts;
mod header;
mod present;
mod rope;
mod value;

use std::path::Path;

use crate::error::Result;
use crate::tensors::{Checkpoint, Source, Tensors};
pub use value::{Metadata, Value};

/// An opened GGUF file.
#[derive(Debug)]
pub struct Gguf {
    source: Source,
    metadata: Metadata,
    tensors: Tensors,
}

impl Gguf {
    /// Opens a GGUF file of version 2 or 3 and checks its header against the file's size.
    ///
    /// # Errors
    /// It is no such file, or its header contradicts itself or the file's size.
    pub fn open(path: &Path) -> Result<Self> {
        let source = Source::open(path)?;
        let (metadata, tensors) = header::read(&source)?;
        Ok(Self { source, metadata, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The tensors under the file's own names, as they are stored.
    pub fn as_stored(self) -> Checkpoint {
        Checkpoint::of_gguf(self.source, self.tensors)
    }
}
