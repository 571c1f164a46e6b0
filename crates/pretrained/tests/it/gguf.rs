use std::fs;
use std::path::PathBuf;

use attnlab_pretrained::gguf::{Gguf, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use tempfile::TempDir;

use crate::write::{GgufWriter, counting};

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.gguf");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = file(bytes);
    let message = Gguf::open(&path).unwrap_err().to_string();
    assert!(message.contains("model.gguf"), "{message}");
    message
}

fn small() -> GgufWriter {
    GgufWriter::default()
        .text("general.architecture", "none")
        .size("a.size", 7)
        .float("a.float", 0.5)
        .flag("a.flag", true)
        .texts("a.texts", &["x", "", "yz"])
        .integers("a.integers", &[1, -2])
        .floats("a.floats", &[1.5])
        .f32s("w", &[2, 3], &counting(6))
        .f32s("v", &[5], &counting(5))
}

#[test]
fn metadata_and_tensors_come_back_as_written() {
    let (_folder, path) = file(&small().bytes());
    let gguf = Gguf::open(&path).unwrap();
    let metadata = gguf.metadata();
    assert_eq!(metadata.text("general.architecture"), Some("none"));
    assert_eq!(metadata.size("a.size"), Some(7));
    assert_eq!(metadata.number("a.float"), Some(0.5));
    assert_eq!(metadata.flag("a.flag"), Some(true));
    assert_eq!(metadata.texts("a.texts").unwrap(), ["x", "", "yz"]);
    assert_eq!(metadata.get("a.integers"), Some(&Value::Integers(vec![1, -2])));
    assert_eq!(metadata.numbers("a.floats"), Some(&[1.5][..]));
    assert_eq!(metadata.size("a.text"), None);
    let checkpoint = gguf.as_stored();
    assert_eq!(checkpoint.info("w").unwrap().shape, [2, 3]);
    assert_eq!(checkpoint.read("w").unwrap().to_vec2::<f32>().unwrap(), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    assert_eq!(checkpoint.read("v").unwrap().to_vec1::<f32>().unwrap(), counting(5));
}

#[test]
fn every_quantisation_reads_as_candle_dequantises_it() {
    use GgmlDType::{BF16, F16, F32, Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0, Q8K};
    // More than a chunk, and not a multiple of it.
    let values: Vec<f32> = (0..100 * 512).map(|i| (i as f32 * 0.37).sin()).collect();
    let exact = Tensor::from_vec(values, (100, 512), &Device::Cpu).unwrap();
    let kinds = [
        (F32, 0),
        (F16, 1),
        (BF16, 30),
        (Q4_0, 2),
        (Q4_1, 3),
        (Q5_0, 6),
        (Q5_1, 7),
        (Q8_0, 8),
        (Q2K, 10),
        (Q3K, 11),
        (Q4K, 12),
        (Q5K, 13),
        (Q6K, 14),
        (Q8K, 15),
    ];
    for (dtype, id) in kinds {
        let quantised = QTensor::quantize(&exact, dtype).unwrap();
        let (_folder, path) =
            file(&GgufWriter::default().tensor("w", id, &[100, 512], &quantised.data().unwrap()).bytes());
        let checkpoint = Gguf::open(&path).unwrap().as_stored();
        let expected = quantised.dequantize(&Device::Cpu).unwrap();
        let read = checkpoint.read("w").unwrap();
        assert_eq!(read.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap(), "{dtype:?}");
        let rows = checkpoint.read_rows("w", 33..35).unwrap();
        assert_eq!(
            rows.to_vec2::<f32>().unwrap(),
            expected.narrow(0, 33, 2).unwrap().to_vec2::<f32>().unwrap()
        );
    }
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = small().bytes();
    for length in 0..whole.len() {
        refusal(&whole[..length]);
    }
}

#[test]
fn a_bad_magic_version_or_byte_order_is_named() {
    let with = |at: usize, bytes: &[u8]| {
        let mut file = small().bytes();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(&file)
    };
    assert!(with(0, b"GGML").contains("magic: found `GGML`, expected `GGUF`"));
    assert!(with(4, &1u32.to_le_bytes()).contains("GGUF version 1"));
    assert!(with(4, &4u32.to_le_bytes()).contains("GGUF version 4"));
    assert!(with(4, &3u32.to_be_bytes()).contains("a big-endian GGUF file (version 3)"));
    assert!(with(8, &u64::MAX.to_le_bytes()).contains("number of tensors: found 18446744073709551615"));
    assert!(
        with(16, &(1u64 << 40).to_le_bytes()).contains("number of metadata entries: found 1099511627776")
    );
}

#[test]
fn metadata_that_lies_is_refused_with_its_key() {
    let entry = |kind: u32, bytes: &[u8]| refusal(&small().entry("key", kind, bytes).bytes());
    assert!(entry(13, &[0; 8]).contains("metadata `key`: found a value of kind 13"));
    assert!(entry(7, &[2]).contains("a boolean of 2"));
    assert!(entry(8, &u64::MAX.to_le_bytes()).contains("metadata `key`: found 18446744073709551615"));
    let array = |kind: u32, n: u64, rest: &[u8]| {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend(n.to_le_bytes());
        bytes.extend(rest);
        entry(9, &bytes)
    };
    assert!(array(6, 1 << 61, &[]).contains("by what is left of the file"));
    assert!(array(99, 1, &[0; 8]).contains("an array of kind 99"));
    let mut nested = Vec::new();
    for _ in 0..100 {
        nested.extend(9u32.to_le_bytes());
        nested.extend(1u64.to_le_bytes());
    }
    assert!(array(9, 1, &nested).contains("arrays in arrays in arrays"));
    assert!(refusal(&small().size("a.size", 1).bytes()).contains("metadata `a.size`: found the key twice"));
    assert!(refusal(&small().size("general.alignment", 0).bytes()).contains("a power of two"));
}

#[test]
fn tensors_that_lie_are_refused_with_their_name() {
    let info =
        |kind: u32, shape: &[usize], offset: u64| refusal(&small().info("x", kind, shape, offset).bytes());
    assert!(info(0, &[1, 1, 1, 1, 1], 64).contains("tensor `x`: found 5 dimensions"));
    assert!(info(0, &[], 64).contains("found 0 dimensions"));
    assert!(info(0, &[1 << 40, 1 << 40], 64).contains("tensor `x`: found [1099511627776, 1099511627776]"));
    assert!(info(0, &[0], 64).contains("found [0] in F32"));
    assert!(info(2, &[3, 31], 64).contains("the first in blocks of 32"));
    assert!(info(0, &[1], 0).contains("expected them at 32"));
    assert!(info(0, &[1], 96).contains("tensor `x`: found 4 bytes at 96, expected them at 64"));
    assert!(info(0, &[4], u64::MAX - 31).contains("tensor `x`"));
    assert!(info(20, &[32], 64).contains("tensor `x` in IQ4_NL (kind 20)"));
    assert!(info(77, &[32], 64).contains("an unknown kind (kind 77)"));
    assert!(refusal(&small().f32s("w", &[1], &[0.0]).bytes()).contains("tensor `w`: found the name twice"));
}
