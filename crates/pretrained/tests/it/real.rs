//! Real files, where `ATTNLAB_REAL_MODELS` names the folder that holds them: `cargo test -- --ignored`.

use std::path::PathBuf;

use attnlab_pretrained::Checkpoint;
use attnlab_pretrained::gguf::Gguf;
use serde_json::Value;

pub(crate) fn smollm2() -> (PathBuf, PathBuf) {
    let folder = PathBuf::from(std::env::var("ATTNLAB_REAL_MODELS").unwrap()).join("smollm2-135m");
    (folder.join("SmolLM2-135M-Instruct.Q4_1.gguf"), folder)
}

#[test]
#[ignore = "needs a real model"]
fn smollm2_is_the_same_from_gguf_and_from_safetensors() {
    let (file, folder) = smollm2();
    let (config, gguf) = Gguf::open(&file).unwrap().as_hugging_face().unwrap();
    let safetensors = Checkpoint::open(&folder).unwrap();
    assert_eq!(gguf.names().collect::<Vec<_>>(), safetensors.names().collect::<Vec<_>>());
    for name in safetensors.names() {
        let (one, other) = (gguf.read(name).unwrap(), safetensors.read(name).unwrap());
        assert_eq!(one.dims(), other.dims(), "{name}");
        let both = [one, other].map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert!(both[0] == both[1], "{name}");
    }
    let written: Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    for (key, value) in written.as_object().unwrap().iter().filter(|(key, _)| *key != "torch_dtype") {
        assert_eq!(config.get(key), Some(value), "{key}");
    }
}
