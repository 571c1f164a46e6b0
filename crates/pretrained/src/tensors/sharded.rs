//! The index of a checkpoint in shards: `model.safetensors.index.json` says which file holds which tensor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::source::{Source, read_text};
use super::{Tensors, safetensors};
use crate::error::{PretrainedError, Result, short, some};

/// The longest index that is read; those of the largest models have a tenth of it.
const LONGEST_INDEX: u64 = 64 << 20;

/// Reads an index and the headers of its shards. The index and the shards must name the same tensors.
pub(super) fn open(index: &Path) -> Result<(Vec<Source>, Tensors)> {
    let corrupt = |place: String, found: String, expected: &str| {
        PretrainedError::corrupt(index, place, found, expected)
    };
    let text = read_text(index, LONGEST_INDEX)?;
    let written: Index = serde_json::from_slice(&text).map_err(|e| {
        let expected = "a JSON object whose `weight_map` says which file holds which tensor";
        corrupt("index".to_owned(), format!("`{}`", short(&e.to_string())), expected)
    })?;
    drop(text);

    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, shard) in written.weight_map.0 {
        if !plain(&shard) {
            let place = format!("tensor `{}`", short(&name));
            let expected = "the name of a .safetensors file beside the index";
            return Err(corrupt(place, format!("the shard `{}`", short(&shard)), expected));
        }
        places.entry(shard).or_default().push(name);
    }

    let folder = index.parent().unwrap_or(Path::new(""));
    let mut sources = Vec::new();
    let mut tensors = BTreeMap::new();
    for (shard, names) in &places {
        let path = folder.join(shard);
        if !path.exists() {
            return Err(PretrainedError::NotAModel {
                path,
                found: "a shard that is not there".to_owned(),
                expected: format!(
                    "the {} tensors that {} says it holds; download it",
                    names.len(),
                    index.display()
                ),
            });
        }
    }
    for (shard, mut names) in places {
        let path = folder.join(&shard);
        let source = Source::open(&path)?;
        let held = safetensors::header(&source, sources.len())?;
        sources.push(source);
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let place = format!("tensor `{}`", short(&twice[0]));
            return Err(corrupt(place, "the name twice".to_owned(), "every name once"));
        }
        let missing: Vec<_> = names.iter().filter(|name| !held.contains_key(*name)).cloned().collect();
        if !missing.is_empty() {
            let found = format!("no {}", some(&missing));
            return Err(PretrainedError::corrupt(
                &path,
                "tensors",
                found,
                format!("what {} lists", index.display()),
            ));
        }
        let unlisted: Vec<_> =
            held.keys().filter(|name| names.binary_search(name).is_err()).cloned().collect();
        if !unlisted.is_empty() {
            let found = format!("{} besides", some(&unlisted));
            return Err(PretrainedError::corrupt(
                &path,
                "tensors",
                found,
                format!("what {} lists", index.display()),
            ));
        }
        for (name, tensor) in held {
            if tensors.contains_key(&name) {
                let place = format!("tensor `{}`", short(&name));
                return Err(corrupt(place, "it in two shards".to_owned(), "every tensor in one shard"));
            }
            tensors.insert(name, tensor);
        }
    }
    Ok((sources, tensors))
}

/// Whether this names a safetensors file in the index's own folder: an index must not reach out of it.
fn plain(shard: &str) -> bool {
    let mut parts = Path::new(shard).components();
    let one = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
    one && shard.ends_with(".safetensors") && !shard.contains(['/', '\\', ':', '\0'])
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: Pairs,
}

/// A map's entries in the order of the text, repeated ones included.
struct Pairs(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
