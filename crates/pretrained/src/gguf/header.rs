//! Reading a GGUF header: magic, version, metadata, and where the tensors are.
//!
//! Every count and length is checked against what is left of the file before memory is taken for it.

use std::collections::BTreeMap;

use candle_core::quantized::GgmlDType;

use super::value::{Metadata, Value};
use crate::error::{PretrainedError, Result, short};
use crate::tensors::{Place, Source, Stored, TensorInfo, Tensors};

/// A header: the metadata, and every tensor by its own name.
pub(super) type Header = (Metadata, Tensors);

/// Arrays of arrays go no deeper.
const DEEPEST: usize = 4;
/// The longest name of a key or a tensor; the format allows 65,535 and writers keep to 64.
const LONGEST_NAME: u64 = 65_535;

/// Reads the header of a GGUF file of version 2 or 3.
pub(super) fn read(source: &Source) -> Result<Header> {
    let mut at = Cursor { source, position: 0, buffer: Vec::new(), begin: 0 };
    if source.len() < 24 {
        let found = format!("{} bytes", source.len());
        return Err(PretrainedError::corrupt(
            source.path(),
            "size",
            found,
            "a GGUF file, whose header has 24",
        ));
    }
    let magic: [u8; 4] = at.take("magic")?;
    if &magic != b"GGUF" {
        let found = format!("`{}`", magic.escape_ascii());
        return Err(PretrainedError::corrupt(source.path(), "magic", found, "`GGUF`"));
    }
    let version = u32::from_le_bytes(at.take("version")?);
    if !(2..=3).contains(&version) {
        let remedy =
            "versions 2 and 3 in little-endian order are: convert the model again with a current llama.cpp";
        let found = if version != 0 && version & 0xffff == 0 {
            format!("a big-endian GGUF file (version {})", version.swap_bytes())
        } else {
            format!("GGUF version {version}")
        };
        return Err(PretrainedError::Format {
            file: source.path().to_owned(),
            found,
            remedy: remedy.to_owned(),
        });
    }
    // The least that a tensor and an entry take: the length of an empty name, and what follows it.
    let n_tensors = at.count("number of tensors", 8 + 4 + 8 + 4 + 8)?;
    let n_entries = at.count("number of metadata entries", 8 + 4 + 1)?;

    let mut metadata = BTreeMap::new();
    for _ in 0..n_entries {
        let key = at.text("metadata", LONGEST_NAME)?;
        let place = format!("metadata `{}`", short(&key));
        let kind = u32::from_le_bytes(at.take(&place)?);
        let value = at.value(&place, kind, 0)?;
        if metadata.insert(key, value).is_some() {
            return Err(at.corrupt(&place, "the key twice", "every key once"));
        }
    }
    let metadata = Metadata(metadata);
    let alignment = match metadata.get("general.alignment") {
        None => 32,
        Some(Value::Integer(n)) if (1..=1 << 20).contains(n) && n.count_ones() == 1 => {
            u64::try_from(*n).unwrap_or(32)
        }
        Some(other) => {
            return Err(at.corrupt(
                "metadata `general.alignment`",
                format!("{other:?}"),
                "a power of two up to 2^20",
            ));
        }
    };
    let tensors = at.tensors(n_tensors, alignment)?;
    Ok((metadata, tensors))
}

/// A place in the file, read from front to back through a buffer.
struct Cursor<'a> {
    source: &'a Source,
    /// The next byte's place in the file.
    position: u64,
    /// Bytes of the file from `begin` on.
    buffer: Vec<u8>,
    begin: u64,
}

impl Cursor<'_> {
    fn corrupt(&self, place: &str, found: impl Into<String>, expected: impl Into<String>) -> PretrainedError {
        PretrainedError::corrupt(self.source.path(), place, found, expected)
    }

    fn left(&self) -> u64 {
        self.source.len().saturating_sub(self.position)
    }

    /// The next bytes. `place` is what they belong to.
    fn fill(&mut self, place: &str, out: &mut [u8]) -> Result<()> {
        const BUFFER: u64 = 64 * 1024;
        let n = out.len() as u64;
        if n > self.left() {
            let found = format!("the end of the file at byte {}", self.source.len());
            return Err(self.corrupt(place, found, format!("{n} more bytes from {} on", self.position)));
        }
        if n > BUFFER {
            self.source.read_at(out, self.position)?;
        } else {
            if self.position + n > self.begin + self.buffer.len() as u64 {
                self.begin = self.position;
                self.buffer = self.source.bytes(self.position, self.left().min(BUFFER))?;
            }
            // Within the buffer, so it fits in memory.
            let from = usize::try_from(self.position - self.begin).unwrap_or(usize::MAX);
            out.copy_from_slice(&self.buffer[from..from + out.len()]);
        }
        self.position += n;
        Ok(())
    }

    fn take<const N: usize>(&mut self, place: &str) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(place, &mut bytes)?;
        Ok(bytes)
    }

    /// A count of things that take at least `least` bytes each: no more than the file has room for.
    fn count(&mut self, place: &str, least: u64) -> Result<usize> {
        let n = u64::from_le_bytes(self.take(place)?);
        let most = self.left() / least;
        let fits = usize::try_from(n).ok().filter(|_| n <= most);
        fits.ok_or_else(|| {
            self.corrupt(place, n.to_string(), format!("at most {most}, by what is left of the file"))
        })
    }

    fn text(&mut self, place: &str, longest: u64) -> Result<String> {
        let length = self.count(place, 1)?;
        if length as u64 > longest {
            return Err(self.corrupt(
                place,
                format!("a name of {length} bytes"),
                format!("at most {longest}"),
            ));
        }
        let mut bytes = vec![0; length];
        self.fill(place, &mut bytes)?;
        String::from_utf8(bytes).map_err(|e| {
            self.corrupt(place, format!("`{}`", short(&String::from_utf8_lossy(e.as_bytes()))), "UTF-8 text")
        })
    }

    /// A value of this kind, as the format numbers them.
    fn value(&mut self, place: &str, kind: u32, depth: usize) -> Result<Value> {
        Ok(match kind {
            0..=5 | 10 | 11 => Value::Integer(self.integer(place, kind)?),
            6 => Value::Float(decimal(f32::from_le_bytes(self.take(place)?))),
            7 => Value::Bool(self.flag(place)?),
            8 => Value::Text(self.text(place, u64::MAX)?),
            9 => self.array(place, depth + 1)?,
            12 => Value::Float(f64::from_le_bytes(self.take(place)?)),
            _ => return Err(self.corrupt(place, format!("a value of kind {kind}"), "a kind from 0 to 12")),
        })
    }

    fn integer(&mut self, place: &str, kind: u32) -> Result<i128> {
        Ok(match kind {
            0 => u8::from_le_bytes(self.take(place)?).into(),
            1 => i8::from_le_bytes(self.take(place)?).into(),
            2 => u16::from_le_bytes(self.take(place)?).into(),
            3 => i16::from_le_bytes(self.take(place)?).into(),
            4 => u32::from_le_bytes(self.take(place)?).into(),
            5 => i32::from_le_bytes(self.take(place)?).into(),
            10 => u64::from_le_bytes(self.take(place)?).into(),
            _ => i64::from_le_bytes(self.take(place)?).into(),
        })
    }

    fn flag(&mut self, place: &str) -> Result<bool> {
        match self.take(place)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(self.corrupt(place, format!("a boolean of {other}"), "0 or 1")),
        }
    }

    fn array(&mut self, place: &str, depth: usize) -> Result<Value> {
        if depth > DEEPEST {
            return Err(self.corrupt(
                place,
                "arrays in arrays in arrays",
                format!("at most {DEEPEST} levels"),
            ));
        }
        let kind = u32::from_le_bytes(self.take(place)?);
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            9 => 12,
            _ => 8,
        };
        let n = self.count(place, least)?;
        Ok(match kind {
            0..=5 | 10 | 11 => {
                let mut integers = Vec::with_capacity(n);
                for _ in 0..n {
                    let integer = self.integer(place, kind)?;
                    let fits = i64::try_from(integer);
                    integers
                        .push(fits.map_err(|_| self.corrupt(place, integer.to_string(), "less than 2^63"))?);
                }
                Value::Integers(integers)
            }
            6 => {
                let mut floats = Vec::with_capacity(n);
                for _ in 0..n {
                    floats.push(f32::from_le_bytes(self.take(place)?));
                }
                Value::Floats(floats)
            }
            7 => Value::Bools((0..n).map(|_| self.flag(place)).collect::<Result<_>>()?),
            8 => {
                let mut texts = Vec::with_capacity(n);
                for _ in 0..n {
                    texts.push(self.text(place, u64::MAX)?);
                }
                Value::Texts(texts)
            }
            9 => Value::Arrays((0..n).map(|_| self.array(place, depth + 1)).collect::<Result<_>>()?),
            12 => {
                let mut floats = Vec::with_capacity(n);
                for _ in 0..n {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "no key that is used needs more than an f32"
                    )]
                    floats.push(f64::from_le_bytes(self.take(place)?) as f32);
                }
                Value::Floats(floats)
            }
            _ => return Err(self.corrupt(place, format!("an array of kind {kind}"), "a kind from 0 to 12")),
        })
    }

    /// The list of tensors, then the checks that it describes the rest of the file.
    fn tensors(&mut self, n: usize, alignment: u64) -> Result<Tensors> {
        let mut listed = Vec::with_capacity(n);
        for _ in 0..n {
            let name = self.text("names of tensors", LONGEST_NAME)?;
            let place = format!("tensor `{}`", short(&name));
            let rank = u32::from_le_bytes(self.take(&place)?);
            if !(1..=4).contains(&rank) {
                return Err(self.corrupt(&place, format!("{rank} dimensions"), "1 to 4"));
            }
            let mut dims = Vec::with_capacity(4);
            for _ in 0..rank {
                dims.push(u64::from_le_bytes(self.take(&place)?));
            }
            let kind = u32::from_le_bytes(self.take(&place)?);
            let offset = u64::from_le_bytes(self.take(&place)?);
            let (stored, block, bytes) = self.stored(&place, kind)?;

            let elements = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d)).filter(|&n| n > 0);
            let size = elements
                .filter(|_| dims[0].is_multiple_of(block))
                .and_then(|n| (n / block).checked_mul(bytes));
            let Some(size) = size.filter(|&size| size <= self.source.len()) else {
                let expected = format!(
                    "dimensions for a file of {} bytes, the first in blocks of {block}",
                    self.source.len()
                );
                return Err(self.corrupt(&place, format!("{dims:?} in {stored}"), expected));
            };
            // The file's first dimension is the one whose numbers lie side by side.
            let shape: Option<Vec<_>> = dims.iter().rev().map(|&d| usize::try_from(d).ok()).collect();
            let shape = shape
                .ok_or_else(|| self.corrupt(&place, format!("{dims:?}"), "dimensions that fit in memory"))?;
            listed.push((name, TensorInfo { shape, stored }, offset, size));
        }

        let data = self.position.next_multiple_of(alignment);
        listed.sort_by_key(|(_, _, offset, size)| (*offset, *size));
        let mut end = 0u64;
        let mut tensors = BTreeMap::new();
        for (name, info, offset, size) in listed {
            let place = format!("tensor `{}`", short(&name));
            let expected = end.next_multiple_of(alignment);
            let fits = data
                .checked_add(offset)
                .and_then(|at| at.checked_add(size))
                .is_some_and(|end| end <= self.source.len());
            if offset != expected || !fits {
                let found = format!("{size} bytes at {offset}");
                let room = self.source.len().saturating_sub(data);
                let expected =
                    format!("them at {expected}, after the tensor before, and within {room} bytes");
                return Err(self.corrupt(&place, found, expected));
            }
            end = offset + size;
            if tensors.insert(name, (info, Place::new(0, data + offset))).is_some() {
                return Err(self.corrupt(&place, "the name twice", "every name once"));
            }
        }
        let beyond = self.source.len().saturating_sub(data + end);
        if beyond >= alignment {
            return Err(self.corrupt(
                "size",
                format!("{beyond} bytes after the last tensor"),
                "only padding",
            ));
        }
        Ok(tensors)
    }

    /// A tensor's type, with the numbers and the bytes of a block.
    fn stored(&self, place: &str, kind: u32) -> Result<(Stored, u64, u64)> {
        let other = |name: &str, bytes| (Stored::Other(name.to_owned()), 1, bytes);
        let stored = match kind {
            0 => Stored::F32,
            1 => Stored::F16,
            2 => Stored::Quantised(GgmlDType::Q4_0),
            3 => Stored::Quantised(GgmlDType::Q4_1),
            6 => Stored::Quantised(GgmlDType::Q5_0),
            7 => Stored::Quantised(GgmlDType::Q5_1),
            8 => Stored::Quantised(GgmlDType::Q8_0),
            10 => Stored::Quantised(GgmlDType::Q2K),
            11 => Stored::Quantised(GgmlDType::Q3K),
            12 => Stored::Quantised(GgmlDType::Q4K),
            13 => Stored::Quantised(GgmlDType::Q5K),
            14 => Stored::Quantised(GgmlDType::Q6K),
            15 => Stored::Quantised(GgmlDType::Q8K),
            24 => return Ok(other("I8", 1)),
            25 => return Ok(other("I16", 2)),
            26 => return Ok(other("I32", 4)),
            27 => return Ok(other("I64", 8)),
            28 => Stored::F64,
            30 => Stored::BF16,
            _ => {
                let name =
                    UNREAD.iter().find(|(id, _)| *id == kind).map_or("an unknown kind", |(_, name)| name);
                return Err(PretrainedError::Format {
                    file: self.source.path().to_owned(),
                    found: format!("{place} in {name} (kind {kind})"),
                    remedy: "read are F32, F16, BF16, F64, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 and Q2_K to Q8_K: quantise the \
                             model to one of them, such as Q8_0"
                        .to_owned(),
                });
            }
        };
        let (block, bytes) = stored.block().unwrap_or((1, 1));
        Ok((stored, block as u64, bytes as u64))
    }
}

/// The shortest number that rounds to this one: 1e-5, which became an f32 when it was written, is 1e-5 again.
fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

/// Types of tensors that are known by name and not read.
const UNREAD: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
];
