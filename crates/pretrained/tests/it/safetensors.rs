use std::fs;
use std::path::PathBuf;

use attnlab_pretrained::tensors::{Kind, Stored};
use attnlab_pretrained::{Checkpoint, PretrainedError};
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::write::{counting, index, raw_safetensors, safetensors, shards};

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// The message with which these bytes are refused.
fn refusal(bytes: &[u8]) -> String {
    let (_folder, path) = file(bytes);
    let message = Checkpoint::open(&path).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    message
}

fn one(entry: Value, data: usize) -> Vec<u8> {
    raw_safetensors(&json!({"w": entry}), &vec![0; data])
}

#[test]
fn every_float_type_reads_the_same_numbers() {
    let exact = Tensor::from_vec(counting(40_000), (200, 200), &Device::Cpu).unwrap();
    for (dtype, stored, coarse) in [
        (DType::F64, Stored::F64, DType::F64),
        (DType::F32, Stored::F32, DType::F32),
        (DType::F16, Stored::F16, DType::F16),
        (DType::BF16, Stored::BF16, DType::BF16),
    ] {
        let folder = TempDir::new().unwrap();
        let tensors = [("w".to_owned(), exact.to_dtype(dtype).unwrap())].into();
        candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(checkpoint.kind(), Kind::Safetensors);
        assert_eq!(checkpoint.info("w").unwrap().stored, stored);
        let expected = exact.to_dtype(coarse).unwrap().to_dtype(DType::F32).unwrap();
        let read = checkpoint.read("w").unwrap();
        assert_eq!(read.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
        let rows = checkpoint.read_rows("w", 7..9).unwrap();
        assert_eq!(
            rows.to_vec2::<f32>().unwrap(),
            expected.narrow(0, 7, 2).unwrap().to_vec2::<f32>().unwrap()
        );
        for asked in [DType::F64, DType::F16, DType::BF16] {
            let read = checkpoint.read_as("w", asked).unwrap();
            let expected = expected.to_dtype(asked).unwrap();
            assert_eq!(read.dtype(), asked);
            let both = [read, expected].map(|t| t.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap());
            assert_eq!(both[0], both[1]);
        }
    }
}

#[test]
fn buffers_are_listed_and_not_read_as_weights() {
    let (_folder, path) = file(&one(json!({"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}), 16));
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.info("w").unwrap().stored, Stored::Other("I64".to_owned()));
    let message = checkpoint.read("w").unwrap_err().to_string();
    assert!(message.contains("reading I64 as weights"), "{message}");
}

#[test]
fn scalars_and_empty_tensors_are_read() {
    let header = json!({
        "one": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]},
        "none": {"dtype": "F32", "shape": [0, 3], "data_offsets": [4, 4]},
    });
    let (_folder, path) = file(&raw_safetensors(&header, &2.5f32.to_le_bytes()));
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert_eq!(checkpoint.read("one").unwrap().to_scalar::<f32>().unwrap(), 2.5);
    assert_eq!(checkpoint.read("none").unwrap().dims(), [0, 3]);
}

#[test]
fn a_tensor_or_rows_that_are_not_there_are_named() {
    let (_folder, path) = file(&safetensors(&[("w", &[2], &[1.0, 2.0])]));
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(
        matches!(checkpoint.read("v").unwrap_err(), PretrainedError::MissingTensor { name, .. } if name == "v")
    );
    let message = checkpoint.read_rows("w", 1..3).unwrap_err().to_string();
    assert!(message.contains("`w`") && message.contains("2 rows"), "{message}");
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = safetensors(&[("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]), ("v", &[1], &[5.0])]);
    for length in 0..whole.len() {
        refusal(&whole[..length]);
    }
    let mut longer = whole;
    longer.push(0);
    assert!(refusal(&longer).contains("where the last tensor ends"));
}

#[test]
fn a_file_that_shrinks_after_opening_is_an_error() {
    let (_folder, path) = file(&safetensors(&[("w", &[1024], &counting(1024))]));
    let checkpoint = Checkpoint::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(200).unwrap();
    assert!(matches!(checkpoint.read("w").unwrap_err(), PretrainedError::File { action: "read", .. }));
}

#[test]
fn headers_that_lie_are_refused_with_the_place() {
    let f32s = |shape: Value, from: usize, to: usize| json!({"dtype": "F32", "shape": shape, "data_offsets": [from, to]});
    for (bytes, says) in [
        (u64::MAX.to_le_bytes().to_vec(), "a length of 18446744073709551615"),
        (one(f32s(json!([4]), 0, 12), 12), "tensor `w`: found 12 bytes, expected 16"),
        (one(f32s(json!([1_u64 << 62, 1_u64 << 62]), 0, 4), 4), "whose size can be counted"),
        (one(f32s(json!([1_u64 << 62, 4, 0]), 0, 0), 0), "whose size can be counted"),
        (one(f32s(json!([1_u64 << 40]), 0, 1 << 42), 4), "tensor `w`: found bytes 0 to 4398046511104"),
        (one(f32s(json!([1]), 4, 8), 8), "expected them to begin at 0"),
        (one(f32s(json!([1]), 8, 4), 8), "found bytes 8 to 4"),
        (one(f32s(json!([-1]), 0, 4), 4), "header: found"),
        (one(json!({"dtype": "F33", "shape": [1], "data_offsets": [0, 4]}), 4), "unknown variant"),
        (one(json!({"dtype": "F4", "shape": [3], "data_offsets": [0, 2]}), 2), "tensor `w`"),
        (one(json!({"dtype": "F32", "shape": [1]}), 4), "data_offsets"),
        (one(json!([1]), 4), "header: found"),
        (raw_safetensors(&json!([]), &[]), "a JSON object of tensors"),
    ] {
        let message = refusal(&bytes);
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn overlapping_and_repeated_tensors_are_refused() {
    let entry = |from: usize| json!({"dtype": "F32", "shape": [2], "data_offsets": [from, from + 8]});
    let overlapping = raw_safetensors(&json!({"a": entry(0), "b": entry(4)}), &[0; 12]);
    assert!(refusal(&overlapping).contains("tensor `b`: found bytes 4 to 12, expected them to begin at 8"));

    let text = format!("{{\"a\":{},\"a\":{}}}", entry(0), entry(8));
    let mut repeated = (text.len() as u64).to_le_bytes().to_vec();
    repeated.extend(text.as_bytes());
    repeated.extend([0; 16]);
    assert!(refusal(&repeated).contains("the name twice"));
}

#[test]
fn shards_are_read_as_one_checkpoint() {
    let folder = TempDir::new().unwrap();
    shards(folder.path());
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.kind(), Kind::Sharded);
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(checkpoint.read("c").unwrap().to_vec2::<f32>().unwrap(), [[4.0, 5.0], [6.0, 7.0]]);
    assert!(checkpoint.path().ends_with("model.safetensors.index.json"));
}

#[test]
fn shards_that_contradict_their_index_are_refused() {
    let cases: [(&[(&str, usize)], &str); 4] = [
        (&[("a", 1), ("b", 2), ("c", 2), ("d", 2)], "found no `d`"),
        (&[("a", 1), ("b", 2)], "found `c` besides"),
        (&[("a", 2), ("b", 2), ("c", 2)], "found no `a`"),
        (&[("a", 1), ("b", 3), ("c", 2)], "model-00003-of-00002.safetensors: a shard that is not there"),
    ];
    for (places, says) in cases {
        let folder = TempDir::new().unwrap();
        shards(folder.path());
        index(folder.path(), places);
        let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn an_index_does_not_reach_out_of_its_folder() {
    let outside = TempDir::new().unwrap();
    let secret = outside.path().join("secret.safetensors");
    fs::write(&secret, safetensors(&[("a", &[1], &[1.0])])).unwrap();
    let inside = outside.path().join("model");
    fs::create_dir(&inside).unwrap();
    let absolute = secret.to_str().unwrap();
    for shard in [
        "../secret.safetensors",
        absolute,
        "",
        ".",
        "..",
        "x/../../secret.safetensors",
        "model.safetensors.index.json",
    ] {
        let text = json!({"weight_map": {"a": shard}}).to_string();
        fs::write(inside.join("model.safetensors.index.json"), text).unwrap();
        let message = Checkpoint::open(&inside).unwrap_err().to_string();
        assert!(message.contains("tensor `a`: found the shard"), "{message}");
    }
}

#[test]
fn an_index_of_something_else_is_refused() {
    let folder = TempDir::new().unwrap();
    for text in
        ["", "{}", "[]", "{\"weight_map\": 3}", "{\"weight_map\": {\"a\": 3}}", "{\"weight_map\": {\"a\""]
    {
        fs::write(folder.path().join("model.safetensors.index.json"), text).unwrap();
        let message = Checkpoint::open(folder.path()).unwrap_err().to_string();
        assert!(message.contains("whose `weight_map` says"), "{message}");
    }
}

#[cfg(unix)]
#[test]
fn a_shard_that_links_to_itself_is_refused() {
    let folder = TempDir::new().unwrap();
    shards(folder.path());
    let shard = folder.path().join("model-00001-of-00002.safetensors");
    fs::remove_file(&shard).unwrap();
    std::os::unix::fs::symlink(&shard, &shard).unwrap();
    assert!(Checkpoint::open(folder.path()).unwrap_err().to_string().contains("model-00001-of-00002"));
}
