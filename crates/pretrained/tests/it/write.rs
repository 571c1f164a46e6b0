//! Writers of small files, right and wrong.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A safetensors file of this header and these bytes, whatever they say.
pub(crate) fn raw_safetensors(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// A safetensors file of f32 tensors.
pub(crate) fn safetensors(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let mut header = json!({"__metadata__": {"format": "pt"}});
    let mut data = Vec::new();
    for (name, shape, values) in tensors {
        let begin = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        header[name] = json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, data.len()]});
    }
    raw_safetensors(&header, &data)
}

/// A folder of two shards with their index.
pub(crate) fn shards(folder: &Path) {
    fs::write(folder.join("model-00001-of-00002.safetensors"), safetensors(&[("a", &[2], &[1.0, 2.0])]))
        .unwrap();
    let second = safetensors(&[("b", &[1], &[3.0]), ("c", &[2, 2], &[4.0, 5.0, 6.0, 7.0])]);
    fs::write(folder.join("model-00002-of-00002.safetensors"), second).unwrap();
    index(folder, &[("a", 1), ("b", 2), ("c", 2)]);
}

/// The index of shards of two.
pub(crate) fn index(folder: &Path, places: &[(&str, usize)]) {
    let map: serde_json::Map<_, _> = places
        .iter()
        .map(|(n, i)| ((*n).to_owned(), json!(format!("model-0000{i}-of-00002.safetensors"))))
        .collect();
    let text = json!({"metadata": {"total_size": 28}, "weight_map": map}).to_string();
    fs::write(folder.join("model.safetensors.index.json"), text).unwrap();
}

/// A GGUF file, piece by piece.
#[derive(Clone, Default)]
pub(crate) struct GgufWriter {
    n_entries: u64,
    entries: Vec<u8>,
    n_tensors: u64,
    infos: Vec<u8>,
    data: Vec<u8>,
}

impl GgufWriter {
    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.entry(key, 8, &sized(value))
    }

    pub(crate) fn size(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn float(self, key: &str, value: f32) -> Self {
        self.entry(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn flag(self, key: &str, value: bool) -> Self {
        self.entry(key, 7, &[u8::from(value)])
    }

    pub(crate) fn texts(self, key: &str, values: &[&str]) -> Self {
        let items: Vec<u8> = values.iter().flat_map(|text| sized(text)).collect();
        self.array(key, 8, values.len(), &items)
    }

    pub(crate) fn integers(self, key: &str, values: &[i32]) -> Self {
        let items: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.array(key, 5, values.len(), &items)
    }

    pub(crate) fn floats(self, key: &str, values: &[f32]) -> Self {
        let items: Vec<u8> = values.iter().flat_map(|n| n.to_le_bytes()).collect();
        self.array(key, 6, values.len(), &items)
    }

    pub(crate) fn array(self, key: &str, kind: u32, n: usize, items: &[u8]) -> Self {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((n as u64).to_le_bytes());
        bytes.extend(items);
        self.entry(key, 9, &bytes)
    }

    pub(crate) fn entry(mut self, key: &str, kind: u32, bytes: &[u8]) -> Self {
        self.n_entries += 1;
        self.entries.extend(sized(key));
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(bytes);
        self
    }

    /// A tensor of this kind; `shape` is in Hugging Face's order.
    pub(crate) fn tensor(mut self, name: &str, kind: u32, shape: &[usize], bytes: &[u8]) -> Self {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        let offset = self.data.len() as u64;
        self.data.extend(bytes);
        self.info(name, kind, shape, offset)
    }

    /// What the header says of a tensor.
    pub(crate) fn info(mut self, name: &str, kind: u32, shape: &[usize], offset: u64) -> Self {
        self.n_tensors += 1;
        self.infos.extend(sized(name));
        self.infos.extend((shape.len() as u32).to_le_bytes());
        self.infos.extend(shape.iter().rev().flat_map(|&d| (d as u64).to_le_bytes()));
        self.infos.extend(kind.to_le_bytes());
        self.infos.extend(offset.to_le_bytes());
        self
    }

    pub(crate) fn f32s(self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.tensor(name, 0, shape, &bytes)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(3u32.to_le_bytes());
        bytes.extend(self.n_tensors.to_le_bytes());
        bytes.extend(self.n_entries.to_le_bytes());
        bytes.extend(&self.entries);
        bytes.extend(&self.infos);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

fn sized(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// The numbers 0, 1, 2, ….
pub(crate) fn counting(n: usize) -> Vec<f32> {
    (0..n).map(|i| i as f32).collect()
}
