//! Stored numbers → numbers to compute with, a chunk at a time: the result is the only memory of a tensor's size.

use std::borrow::Cow;

use candle_core::quantized::GgmlDType;
use candle_core::{CpuStorage, WithDType};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use super::source::Source;
use super::stored::Stored;
use crate::error::{PretrainedError, Result};

/// Numbers of a chunk: their bytes and their conversion stay in the processor's second-level cache. A multiple of
/// every block size.
const CHUNK: usize = 16 * 1024;

/// A type to compute in.
pub(crate) trait Number: WithDType {
    fn of_f32(x: f32) -> Self;
    fn of_f64(x: f64) -> Self;
}

impl Number for f32 {
    fn of_f32(x: f32) -> Self {
        x
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounding to the compute type is what is asked for")]
    fn of_f64(x: f64) -> Self {
        x as f32
    }
}

impl Number for f64 {
    fn of_f32(x: f32) -> Self {
        Self::from(x)
    }
    fn of_f64(x: f64) -> Self {
        x
    }
}

impl Number for f16 {
    fn of_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn of_f64(x: f64) -> Self {
        Self::from_f64(x)
    }
}

impl Number for bf16 {
    fn of_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
    fn of_f64(x: f64) -> Self {
        Self::from_f64(x)
    }
}

/// Appends `n` numbers stored as `stored` from `offset` on. `n` is a whole number of blocks.
pub(crate) fn append<T: Number>(
    out: &mut Vec<T>,
    source: &Source,
    offset: u64,
    n: usize,
    stored: &Stored,
) -> Result<()> {
    let Some((block, bytes)) = stored.block() else {
        return Err(PretrainedError::Format {
            file: source.path().to_owned(),
            found: format!("reading {stored} as weights"),
            remedy: "weights are read from F64, F32, F16, BF16 and the GGUF quantisations".to_owned(),
        });
    };
    // Candle reads blocks in place and wants them aligned: 8 bytes of slack to begin at a multiple of 8.
    let mut memory = vec![0u8; CHUNK.min(n).div_ceil(block) * bytes + 8];
    let aligned = memory.as_ptr().align_offset(8).min(8);
    let mut halves = Vec::new();
    let mut position = offset;
    let mut left = n;
    while left > 0 {
        let now = left.min(CHUNK);
        let size = now / block * bytes;
        let chunk = &mut memory[aligned..aligned + size];
        source.read_at(chunk, position)?;
        match stored {
            Stored::F32 => out.extend(words(chunk).map(f32::from_le_bytes).map(T::of_f32)),
            Stored::F64 => out.extend(words(chunk).map(f64::from_le_bytes).map(T::of_f64)),
            Stored::BF16 => out.extend(words(chunk).map(|b| T::of_f32(bf16::from_le_bytes(b).to_f32()))),
            Stored::F16 => {
                // The slice's conversion uses the processor's instruction for it.
                halves.clear();
                halves.extend(words(chunk).map(f16::from_le_bytes));
                let mut floats = [0f32; 256];
                for part in halves.chunks(floats.len()) {
                    part.convert_to_f32_slice(&mut floats[..part.len()]);
                    out.extend(floats[..part.len()].iter().copied().map(T::of_f32));
                }
            }
            Stored::Quantised(kind) => out.extend(blocks(*kind, chunk, now)?.into_iter().map(T::of_f32)),
            Stored::Other(_) => {}
        }
        position += size as u64;
        left -= now;
    }
    Ok(())
}

/// The chunk in words of `N` bytes.
fn words<const N: usize>(chunk: &[u8]) -> impl Iterator<Item = [u8; N]> {
    chunk.chunks_exact(N).map(|word| {
        let mut bytes = [0; N];
        bytes.copy_from_slice(word);
        bytes
    })
}

/// The `n` numbers of a chunk of quantised blocks.
fn blocks(kind: GgmlDType, chunk: &[u8], n: usize) -> Result<Vec<f32>> {
    match kind.from_data(Cow::Borrowed(chunk)).dequantize(n)? {
        CpuStorage::F32(floats) => Ok(floats),
        _ => Err(candle_core::Error::Msg(format!("{kind:?} did not dequantise to f32")).into()),
    }
}
