//! Safetensors as tests read them.

use std::fs;
use std::path::Path;

use crate::lab::json;

/// The numbers of one tensor, and its shape.
pub(crate) struct Numbers {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

impl Numbers {
    /// The largest difference to another tensor of the same shape; infinite if a number is none or a shape differs.
    pub(crate) fn off_by(&self, other: &Self) -> f64 {
        if self.shape != other.shape {
            return f64::INFINITY;
        }
        let pairs = self.values.iter().zip(&other.values);
        // A NaN must not pass for small.
        pairs.fold(0.0, |worst, (a, b)| match (a - b).abs() {
            off if off.is_nan() => f64::INFINITY,
            off => worst.max(off),
        })
    }

    /// Integers in rows, `1,2;3,4`.
    pub(crate) fn rows(&self) -> String {
        let row = |row: &[f64]| row.iter().map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        self.values.chunks(self.shape[1]).map(row).collect::<Vec<_>>().join(";")
    }

    /// The number at an index, an axis a place.
    pub(crate) fn at(&self, index: &[usize]) -> f64 {
        assert_eq!(index.len(), self.shape.len());
        let place = index.iter().zip(&self.shape).fold(0, |place, (i, size)| {
            assert!(i < size, "{index:?} of {:?}", self.shape);
            place * size + i
        });
        self.values[place]
    }
}

/// A safetensors file of f32 and i64.
pub(crate) struct Tensors {
    header: serde_json::Value,
    data: Vec<u8>,
}

impl Tensors {
    pub(crate) fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = json(std::str::from_utf8(&bytes[8..8 + length]).unwrap());
        Self { header, data: bytes[8 + length..].to_vec() }
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.header.as_object().unwrap().keys();
        names.map(String::as_str).filter(|name| *name != "__metadata__").collect()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Numbers> {
        let info = self.header.get(name)?;
        let whole = |value: &serde_json::Value| value.as_u64().unwrap() as usize;
        let shape: Vec<usize> = info["shape"].as_array().unwrap().iter().map(whole).collect();
        let bytes = &self.data[whole(&info["data_offsets"][0])..whole(&info["data_offsets"][1])];
        let values: Vec<f64> = match info["dtype"].as_str().unwrap() {
            "F32" => bytes.chunks(4).map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect(),
            "I64" => bytes.chunks(8).map(|b| i64::from_le_bytes(b.try_into().unwrap()) as f64).collect(),
            other => panic!("{name} is of type {other}"),
        };
        assert_eq!(values.len(), shape.iter().product::<usize>(), "{name}");
        Some(Numbers { shape, values })
    }
}
