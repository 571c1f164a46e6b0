//! A safetensors file, written tensor by tensor: a dump of every map is too large to be held twice.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::Tensor;
use serde_json::{Map, Value, json};

/// A tensor of a file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) values: Values,
}

/// Its numbers, in order.
pub(super) enum Values {
    /// In several parts.
    F32(Vec<Vec<f32>>),
    I64(Vec<i64>),
    /// As f32.
    Tensor(Tensor),
}

impl Entry {
    pub(super) fn tensor(name: impl Into<String>, tensor: Tensor) -> Self {
        Self { name: name.into(), shape: tensor.dims().to_vec(), values: Values::Tensor(tensor) }
    }

    fn bytes(&self) -> usize {
        let width = if matches!(self.values, Values::I64(_)) { 8 } else { 4 };
        self.shape.iter().product::<usize>() * width
    }

    fn write(&self, out: &mut impl Write) -> Result<()> {
        match &self.values {
            Values::F32(parts) => parts.iter().try_for_each(|part| write_f32(part, out)),
            Values::I64(values) => Ok(values.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?),
            Values::Tensor(tensor) => {
                let flat = tensor.flatten_all()?.to_dtype(candle_core::DType::F32)?.contiguous()?;
                let step = 1 << 20;
                for start in (0..flat.elem_count()).step_by(step) {
                    let part = flat.narrow(0, start, step.min(flat.elem_count() - start))?;
                    write_f32(&part.to_vec1::<f32>()?, out)?;
                }
                Ok(())
            }
        }
    }
}

fn write_f32(values: &[f32], out: &mut impl Write) -> Result<()> {
    let mut bytes = Vec::with_capacity(4 * values.len().min(1 << 16));
    for part in values.chunks(1 << 16) {
        bytes.clear();
        part.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// Writes the file whole or not at all. The format: the header's length, the header, the numbers one after another.
pub(super) fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let mut header = Map::new();
    let mut end = 0;
    for entry in entries {
        let begin = end;
        end += entry.bytes();
        let dtype = if matches!(entry.values, Values::I64(_)) { "I64" } else { "F32" };
        let info = json!({"dtype": dtype, "shape": entry.shape, "data_offsets": [begin, end]});
        header.insert(entry.name.clone(), info);
    }
    let mut header = serde_json::to_vec(&Value::Object(header))?;
    header.resize(header.len().next_multiple_of(8), b' ');

    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = || -> Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        out.write_all(&(header.len() as u64).to_le_bytes())?;
        out.write_all(&header)?;
        entries.iter().try_for_each(|entry| entry.write(&mut out))?;
        out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok(std::fs::rename(&part, path)?)
    };
    written()
        .inspect_err(|_| drop(std::fs::remove_file(&part)))
        .with_context(|| format!("could not write {}", path.display()))
}
