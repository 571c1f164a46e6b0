//! The header of a safetensors file: 8 bytes of length, JSON of names, types, shapes and places, then the bytes.
//!
//! The types are those of the `safetensors` crate; the checks are made here, because the crate's own need the whole
//! file in memory, let a repeated name replace the first, and do not say which tensor is wrong.

use std::collections::BTreeMap;
use std::fmt;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo as Written;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::source::Source;
use super::stored::Stored;
use super::{Place, TensorInfo, Tensors};
use crate::error::{PretrainedError, Result, short};

/// The longest header that the format's own reader takes.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads a file's header: every tensor by name, with where its bytes are. `file` is what places refer to.
pub(super) fn header(source: &Source, file: usize) -> Result<Tensors> {
    let path = source.path();
    let corrupt =
        |place: &str, found: String, expected: String| PretrainedError::corrupt(path, place, found, expected);

    if source.len() < 8 {
        let found = format!("{} bytes", source.len());
        return Err(corrupt(
            "size",
            found,
            "a safetensors file, which begins with 8 bytes of length".to_owned(),
        ));
    }
    let mut length = [0; 8];
    source.read_at(&mut length, 0)?;
    let length = u64::from_le_bytes(length);
    let longest = (source.len() - 8).min(LONGEST_HEADER);
    if length > longest {
        let expected = format!("at most {longest} in a file of {} bytes", source.len());
        return Err(corrupt("header", format!("a length of {length} bytes"), expected));
    }
    let text = source.bytes(8, length)?;
    let header: Header = serde_json::from_slice(&text).map_err(|e| {
        corrupt("header", format!("`{}`", short(&e.to_string())), "a JSON object of tensors".to_owned())
    })?;
    drop(text);

    let mut written = header.0;
    written.sort_by_key(|(_, info)| info.data_offsets);
    let data = 8 + length;
    let size = source.len() - data;
    let mut end = 0;
    let mut tensors = BTreeMap::new();
    for (name, info) in written {
        let place = format!("tensor `{}`", short(&name));
        let (from, to) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
        if from != end || to < from || to > size {
            let expected =
                format!("them to begin at {end}, where the tensor before ends, and to end by {size}");
            return Err(corrupt(&place, format!("bytes {from} to {to}"), expected));
        }
        // Empty tensors too must have axes whose sizes can be multiplied, in any order.
        let countable = info.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d.max(1)));
        let elements = countable.map(|n| if info.shape.contains(&0) { 0 } else { n });
        let bits = elements.and_then(|n| n.checked_mul(info.dtype.bitsize()));
        if bits.is_none_or(|bits| bits % 8 != 0 || (bits / 8) as u64 != to - from) {
            let expected = match bits {
                Some(bits) => format!("{} for shape {:?} in {}", bits.div_ceil(8), info.shape, info.dtype),
                None => "a shape whose size can be counted".to_owned(),
            };
            return Err(corrupt(&place, format!("{} bytes", to - from), expected));
        }
        end = to;
        let info = TensorInfo { shape: info.shape, stored: stored(info.dtype) };
        if tensors.insert(name, (info, Place::new(file, data + from))).is_some() {
            return Err(corrupt(&place, "the name twice".to_owned(), "every name once".to_owned()));
        }
    }
    if end != size {
        let found = format!("{size} bytes of tensors");
        return Err(corrupt("size", found, format!("{end}, where the last tensor ends")));
    }
    Ok(tensors)
}

fn stored(dtype: Dtype) -> Stored {
    match dtype {
        Dtype::F64 => Stored::F64,
        Dtype::F32 => Stored::F32,
        Dtype::F16 => Stored::F16,
        Dtype::BF16 => Stored::BF16,
        other => Stored::Other(other.to_string()),
    }
}

/// Names and places in the order of the text, repeated ones included.
struct Header(Vec<(String, Written)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        tensors.push((name, map.next_value()?));
                    }
                }
                Ok(Header(tensors))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
