//! Attention maps that a run left behind, read when somebody looks.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::read::ReadError;

/// Files above this size are not opened: the page shows a few examples, and such a file is no few examples.
const LARGEST: u64 = 1 << 30;

/// A file of maps that has not been opened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFile {
    /// Where it is.
    pub path: PathBuf,
    /// The optimiser step its name tells.
    pub step: u64,
}

/// An opened file of maps.
#[derive(Clone, Debug)]
pub struct Maps {
    file: PathBuf,
    bytes: Vec<u8>,
    /// Layers that have a map, ascending.
    pub layers: Vec<usize>,
    /// Examples, B.
    pub examples: usize,
    /// Heads of a layer, H.
    pub heads: usize,
    /// Tokens of an example, T.
    pub length: usize,
    /// What each token is, (B, T), as people read it.
    pub tokens: Vec<Vec<String>>,
}

/// One example's maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// (T).
    pub tokens: Vec<String>,
    /// For each of [`Maps::layers`], for each head: weights (T, T), query-major.
    pub patterns: Vec<Vec<Vec<f32>>>,
}

/// Layers, (B, H, T, T), tokens (B, T).
type Checked = (Vec<usize>, [usize; 4], Vec<Vec<String>>);

impl MapFile {
    /// The maps of a folder by ascending step; none when there is no folder.
    pub fn list(folder: &Path) -> Vec<MapFile> {
        let Ok(entries) = fs::read_dir(folder) else {
            return Vec::new();
        };
        let mut files: Vec<MapFile> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?;
                let step = name.strip_prefix("step-")?.strip_suffix(".safetensors")?;
                let step = step.parse().ok()?;
                Some(MapFile { path, step })
            })
            .collect();
        files.sort_by_key(|file| file.step);
        files
    }

    /// Opens the file and checks every shape in it.
    pub fn open(&self) -> Result<Maps, ReadError> {
        let io = |source| ReadError::Io { file: self.path.clone(), source };
        let size = fs::metadata(&self.path).map_err(io)?.len();
        if size > LARGEST {
            return Err(self.content(format!(
                "{size} bytes of maps; at most {LARGEST} are read. Record fewer examples, layers or heads"
            )));
        }
        let bytes = fs::read(&self.path).map_err(io)?;
        let (layers, shape, tokens) = self.check(&bytes)?;
        Ok(Maps {
            file: self.path.clone(),
            bytes,
            layers,
            examples: shape[0],
            heads: shape[1],
            length: shape[2],
            tokens,
        })
    }

    fn content(&self, reason: String) -> ReadError {
        ReadError::Content { file: self.path.clone(), reason }
    }

    fn check(&self, bytes: &[u8]) -> Result<Checked, ReadError> {
        let (_, header) = SafeTensors::read_metadata(bytes)
            .map_err(|e| self.content(format!("not a safetensors file: {e}")))?;
        let stored = SafeTensors::deserialize(bytes)
            .map_err(|e| self.content(format!("not a safetensors file: {e}")))?;
        let mut layers: Vec<usize> = stored.names().into_iter().filter_map(layer_of).collect();
        layers.sort_unstable();
        let mut shape = None;
        for &layer in &layers {
            let view = stored.tensor(&name_of(layer)).map_err(|e| self.content(e.to_string()))?;
            let found: [usize; 4] = view.shape().try_into().map_err(|_| {
                self.content(format!(
                    "{} has shape {:?}, expected (B, H, T, T)",
                    name_of(layer),
                    view.shape()
                ))
            })?;
            if view.dtype() != Dtype::F32 || found[2] != found[3] || found.contains(&0) {
                return Err(self.content(format!(
                    "{} is {:?} {found:?}, expected f32 (B, H, T, T) with nothing empty",
                    name_of(layer),
                    view.dtype()
                )));
            }
            if *shape.get_or_insert(found) != found {
                return Err(self.content(format!(
                    "{} has shape {found:?}, the layers before have {shape:?}",
                    name_of(layer)
                )));
            }
        }
        let Some(shape) = shape else {
            return Err(
                self.content("no tensor is named blocks.N.attn.hook_pattern: no maps were recorded".into())
            );
        };
        let written = header.metadata().as_ref().and_then(|m| m.get("tokens"));
        let tokens = match written {
            Some(text) => {
                serde_json::from_str(text).map_err(|e| self.content(format!("metadata key `tokens`: {e}")))?
            }
            None => ids_as_tokens(&stored),
        };
        let fits = |row: &Vec<String>| row.len() == shape[2];
        if tokens.len() != shape[0] || !tokens.iter().all(fits) {
            return Err(self.content(format!(
                "tokens are {} rows, expected {} rows of {} tokens as the maps have",
                tokens.len(),
                shape[0],
                shape[2]
            )));
        }
        Ok((layers, shape, tokens))
    }
}

impl Maps {
    /// The maps of one example, `index < examples`.
    pub fn example(&self, index: usize) -> Result<Example, ReadError> {
        let wrong = |reason: String| ReadError::Content { file: self.file.clone(), reason };
        let tokens = self
            .tokens
            .get(index)
            .ok_or_else(|| wrong(format!("there is no example {index}, only {}", self.examples)))?;
        let stored = SafeTensors::deserialize(&self.bytes).map_err(|e| wrong(e.to_string()))?;
        let map = self.length * self.length;
        let mut patterns = Vec::with_capacity(self.layers.len());
        for &layer in &self.layers {
            let view = stored.tensor(&name_of(layer)).map_err(|e| wrong(e.to_string()))?;
            let heads = floats(&view, index * self.heads * map, self.heads * map)
                .ok_or_else(|| wrong(format!("{} is too short", name_of(layer))))?;
            patterns.push(heads.chunks_exact(map).map(<[f32]>::to_vec).collect());
        }
        Ok(Example { tokens: tokens.clone(), patterns })
    }
}

fn name_of(layer: usize) -> String {
    format!("blocks.{layer}.attn.hook_pattern")
}

fn layer_of(name: &str) -> Option<usize> {
    let inner = name.strip_prefix("blocks.")?.strip_suffix(".attn.hook_pattern")?;
    inner.parse().ok()
}

fn floats(view: &TensorView<'_>, from: usize, count: usize) -> Option<Vec<f32>> {
    let bytes = view.data().get(from * 4..(from + count) * 4)?;
    Some(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// Without the words, the numbers.
fn ids_as_tokens(stored: &SafeTensors<'_>) -> Vec<Vec<String>> {
    let Ok(view) = stored.tensor("input_ids") else {
        return Vec::new();
    };
    let &[_, length] = view.shape() else {
        return Vec::new();
    };
    if view.dtype() != Dtype::I64 || length == 0 {
        return Vec::new();
    }
    let ids: Vec<String> =
        view.data().as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b).to_string()).collect();
    ids.chunks_exact(length).map(<[String]>::to_vec).collect()
}
