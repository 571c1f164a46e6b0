//! The tensors of a checkpoint by name, whatever files they are in.
//!
//! ```no_run
//! # fn main() -> attnlab_pretrained::Result<()> {
//! let checkpoint = attnlab_pretrained::Checkpoint::open("models/gpt2".as_ref())?;
//! let embedding = checkpoint.read("transformer.wte.weight")?; // (V, D) in f32
//! # Ok(())
//! # }
//! ```

mod decode;
mod folder;
mod place;
mod safetensors;
mod sharded;
mod source;
mod stored;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use half::{bf16, f16};

use crate::error::{PretrainedError, Result, short};
use crate::gguf::Gguf;
pub(crate) use folder::{Found, find};
pub(crate) use place::{Order, Place};
pub(crate) use source::{Source, read_text};
pub use stored::Stored;

/// What is known of a tensor without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its axes' sizes, as Hugging Face orders them.
    pub shape: Vec<usize>,
    /// How the file stores its numbers.
    pub stored: Stored,
}

/// Tensors by name, with where they are.
pub(crate) type Tensors = BTreeMap<String, (TensorInfo, Place)>;

/// The kind of files a checkpoint is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One safetensors file.
    Safetensors,
    /// Several safetensors files and an index.
    Sharded,
    /// A GGUF file.
    Gguf,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors",
            Self::Sharded => "safetensors in shards",
            Self::Gguf => "GGUF",
        })
    }
}

/// The tensors of a checkpoint: opened and checked, read when asked for.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: Kind,
    sources: Vec<Source>,
    tensors: Tensors,
}

impl Checkpoint {
    /// Opens a model's folder, a `.safetensors` file, an index of shards, or a `.gguf` file, and checks what it says
    /// of itself. A GGUF file presents its tensors under Hugging Face's names.
    ///
    /// # Errors
    /// The path is no model, its weights are a pickle, or its files contradict themselves.
    pub fn open(path: &Path) -> Result<Self> {
        match find(path)? {
            Found::Safetensors(file) => {
                let source = Source::open(&file)?;
                let tensors = safetensors::header(&source, 0)?;
                Ok(Self { path: file, kind: Kind::Safetensors, sources: vec![source], tensors })
            }
            Found::Index(file) => {
                let (sources, tensors) = sharded::open(&file)?;
                Ok(Self { path: file, kind: Kind::Sharded, sources, tensors })
            }
            Found::Gguf(file) => Ok(Gguf::open(&file)?.as_hugging_face()?.1),
        }
    }

    /// The tensors of a GGUF file.
    pub(crate) fn of_gguf(source: Source, tensors: Tensors) -> Self {
        Self { path: source.path().to_owned(), kind: Kind::Gguf, sources: vec![source], tensors }
    }

    /// The file that errors about these tensors name: the weights' file, or the index of its shards.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The kind of files.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Every tensor's name, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor's shape and type, if there is one of this name.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name).map(|(info, _)| info)
    }

    /// A tensor in f32, on the CPU.
    ///
    /// # Errors
    /// There is no such tensor, it holds no floating-point numbers, or its file cannot be read.
    pub fn read(&self, name: &str) -> Result<Tensor> {
        self.read_as(name, DType::F32)
    }

    /// A tensor in this type (F64, F32, F16 or BF16), on the CPU. The result is the only memory of its size.
    ///
    /// # Errors
    /// As [`Self::read`], or the type is none of these.
    pub fn read_as(&self, name: &str, dtype: DType) -> Result<Tensor> {
        let (info, _) = self.tensor(name)?;
        self.read_rows_as(name, 0..info.shape.first().copied().unwrap_or(1), dtype)
    }

    /// Some rows (along the first axis) of a tensor, in f32. Only their bytes are read.
    ///
    /// # Errors
    /// As [`Self::read`], or the tensor has fewer rows.
    pub fn read_rows(&self, name: &str, rows: Range<usize>) -> Result<Tensor> {
        self.read_rows_as(name, rows, DType::F32)
    }

    /// Some rows of a tensor, in this type (F64, F32, F16 or BF16).
    ///
    /// # Errors
    /// As [`Self::read_rows`], or the type is none of these.
    pub fn read_rows_as(&self, name: &str, rows: Range<usize>, dtype: DType) -> Result<Tensor> {
        let (info, place) = self.tensor(name)?;
        let source = &self.sources[place.file];
        let n_rows = info.shape.first().copied().unwrap_or(1);
        if rows.start > rows.end || rows.end > n_rows {
            let place = format!("tensor `{}`", short(name));
            let expected = format!("rows {} to {}", rows.start, rows.end);
            return Err(PretrainedError::corrupt(source.path(), place, format!("{n_rows} rows"), expected));
        }
        match dtype {
            DType::F32 => place.read::<f32>(source, info, rows),
            DType::F64 => place.read::<f64>(source, info, rows),
            DType::F16 => place.read::<f16>(source, info, rows),
            DType::BF16 => place.read::<bf16>(source, info, rows),
            other => Err(PretrainedError::Format {
                file: source.path().to_owned(),
                found: format!("reading `{}` as {other:?}", short(name)),
                remedy: "weights are read as F64, F32, F16 or BF16".to_owned(),
            }),
        }
    }

    fn tensor(&self, name: &str) -> Result<&(TensorInfo, Place)> {
        self.tensors.get(name).ok_or_else(|| PretrainedError::MissingTensor {
            file: self.path.clone(),
            name: name.to_owned(),
            needed_for: "this model".to_owned(),
        })
    }
}
