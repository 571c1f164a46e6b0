//! Configurations and checkpoints that do not go together, and layouts of tensors that no fixture has.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use attnlab_model::{Pass, Transformer};
use attnlab_pretrained::{Checkpoint, Config, ModelFiles, PretrainedError, load};
use candle_core::{D, DType, Device, Tensor};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity").join(name)
}

fn config(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name).join("config.json")).unwrap()).unwrap()
}

fn loaded(folder: &Path, config: Value) -> Result<Transformer, PretrainedError> {
    let config = Config::new(&folder.join("config.json"), config)?;
    Ok(load(ModelFiles { config, checkpoint: Checkpoint::open(folder)? }, DType::F32)?.model)
}

fn logits(model: &Transformer) -> Tensor {
    let tokens = Tensor::new(&[[5u32, 9, 60, 33, 5, 9, 60]], &Device::Cpu).unwrap();
    let hidden = model.run(Pass::new(&tokens), &mut attnlab_hooks::NoHooks).unwrap();
    if model.config().n_outputs == 0 { hidden } else { model.logits(&hidden).unwrap() }
}

/// The fixture's weights, changed, in a folder of their own.
fn changed(name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) -> tempfile::TempDir {
    let mut tensors =
        candle_core::safetensors::load(fixture(name).join("model.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    let folder = tempfile::tempdir().unwrap();
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn experts_in_one_tensor_are_the_same_as_experts_apart() {
    let apart = loaded(&fixture("mixtral"), config("mixtral")).unwrap();
    let folder = changed("mixtral", |tensors| {
        for l in 0..2 {
            let old = format!("model.layers.{l}.block_sparse_moe");
            let all = |tensors: &mut HashMap<String, Tensor>, part: &str| -> Vec<Tensor> {
                (0..4).map(|e| tensors.remove(&format!("{old}.experts.{e}.{part}.weight")).unwrap()).collect()
            };
            let (gate, up, down) = (all(tensors, "w1"), all(tensors, "w3"), all(tensors, "w2"));
            let pairs = gate.iter().zip(&up).map(|(gate, up)| Tensor::cat(&[gate, up], 0).unwrap());
            let new = format!("model.layers.{l}.mlp");
            let pairs = Tensor::stack(&pairs.collect::<Vec<_>>(), 0).unwrap();
            tensors.insert(format!("{new}.experts.gate_up_proj"), pairs);
            tensors.insert(format!("{new}.experts.down_proj"), Tensor::stack(&down, 0).unwrap());
            let router = tensors.remove(&format!("{old}.gate.weight")).unwrap();
            tensors.insert(format!("{new}.gate.weight"), router);
        }
    });
    let fused = loaded(folder.path(), config("mixtral")).unwrap();
    let difference = (logits(&apart) - logits(&fused)).unwrap().abs().unwrap().max_all().unwrap();
    assert_eq!(difference.to_scalar::<f32>().unwrap(), 0.0);
}

#[test]
fn a_switch_that_is_not_honoured_is_named() {
    let rope = json!({"rope_type": "spiral", "factor": 2.0});
    for (name, key, value, named) in [
        ("llama", "rope_scaling", rope.clone(), "rope_type"),
        ("phi3", "rope_scaling", json!({"type": "linear", "factor": 2.0}), "type"),
        ("llama", "is_causal", json!(false), "is_causal"),
        ("mistral", "layer_types", json!(["full_attention", "full_attention"]), "layer_types"),
        ("qwen2", "layer_types", json!(["full_attention", "sliding_attention"]), "use_sliding_window"),
        ("qwen3", "layer_types", json!(["full_attention", "linear_attention"]), "layer_types"),
        ("gemma", "use_bidirectional_attention", json!(true), "use_bidirectional_attention"),
        ("gemma3", "rope_parameters", json!({"rope_type": "default"}), "rope_parameters"),
        ("smollm3", "no_rope_layers", json!([1]), "no_rope_layers"),
        ("gpt_oss", "quantization_config", json!({"quant_method": "mxfp4"}), "quantization_config"),
        ("stablelm", "head_dim", json!(16), "head_dim"),
        ("llama", "hidden_act", json!("snake"), "hidden_act"),
    ] {
        let mut config = config(name);
        config[key] = value;
        match loaded(&fixture(name), config).map(|_| ()) {
            Err(PretrainedError::Unsupported { key, .. }) => {
                assert!(key.ends_with(named), "{name}: {key} and not {named}");
            }
            other => panic!("{name}: {key}: {other:?}"),
        }
    }
}

#[test]
fn a_fused_tensor_with_a_part_too_many_is_refused() {
    for (name, tensor, dim) in [
        ("phi3", "model.layers.1.self_attn.qkv_proj.weight", D::Minus2),
        ("phi3", "model.layers.0.mlp.gate_up_proj.weight", D::Minus2),
        ("gpt_oss", "model.layers.0.mlp.experts.gate_up_proj_bias", D::Minus1),
        ("cohere_qk", "model.layers.0.self_attn.k_norm.weight", D::Minus2),
    ] {
        let folder = changed(name, |tensors| {
            let whole = &tensors[tensor];
            let more = Tensor::cat(&[whole, whole], dim).unwrap();
            tensors.insert(tensor.to_owned(), more);
        });
        match loaded(folder.path(), config(name)).map(|_| ()) {
            Err(PretrainedError::Shape { tensor: named, .. }) => assert_eq!(named, tensor),
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Values that a key might hold by mistake or malice.
fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(0.5),
        json!(3),
        json!(1u64 << 30),
        json!(u64::MAX),
        json!(1e300),
        json!("odd"),
        json!([]),
        json!([1, 0]),
        json!({}),
    ]
}

#[test]
fn a_configuration_with_any_value_changed_loads_or_says_why() {
    let mut one_each = BTreeMap::new();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(fixture("")).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    for folder in folders.into_iter().filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        one_each.entry(config(&name)["model_type"].as_str().unwrap().to_owned()).or_insert(name);
    }
    let mut cases = 0;
    for name in one_each.values() {
        let whole = config(name);
        for key in whole.as_object().unwrap().keys().filter(|key| *key != "model_type") {
            let mut without = whole.clone();
            without.as_object_mut().unwrap().remove(key);
            let changed = odd_values().into_iter().map(|value| {
                let mut changed = whole.clone();
                changed[key] = value;
                changed
            });
            for config in changed.chain([without]) {
                cases += 1;
                // It must come back: with a model that runs, or with an error.
                if let Ok(model) = loaded(&fixture(name), config) {
                    let tokens = Tensor::new(&[[5u32, 9, 60]], &Device::Cpu).unwrap();
                    let _ = model.run(Pass::new(&tokens), &mut attnlab_hooks::NoHooks);
                }
            }
        }
    }
    assert!(cases > 1000, "{cases} cases");
}
