//! Real files, from the folder that `ATTNLAB_REAL_MODELS` names, else from `target/real-models`; where there are none,
//! the tests say so and pass.

use std::path::{Path, PathBuf};

use attnlab_pretrained::Checkpoint;
use attnlab_pretrained::gguf::Gguf;
use serde_json::Value;

/// SmolLM2's GGUF file and the folder it is in, if they are on this machine.
fn smollm2() -> Option<(PathBuf, PathBuf)> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/real-models");
    let root = std::env::var_os("ATTNLAB_REAL_MODELS").map_or(target, PathBuf::from);
    let folder = root.join("smollm2-135m");
    let file = folder.join("SmolLM2-135M-Instruct.Q4_1.gguf");
    let there = file.exists() && folder.join("model.safetensors").exists();
    if !there {
        println!(
            "left out: {} is not there; ATTNLAB_REAL_MODELS names the folder of real models",
            file.display()
        );
    }
    there.then_some((file, folder))
}

#[test]
fn smollm2_is_the_same_from_gguf_and_from_safetensors() {
    let Some((file, folder)) = smollm2() else { return };
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

/// Texts that tokenizers stumble over.
const TRICKY: &[&str] = &[
    "",
    " ",
    "   leading and trailing   ",
    "Hello, world!\n\n\tIt's 12345 o'clock; we'll see.\r\n",
    "naïve café — “quotes” … 😀👩‍👩‍👧 日本語 العربية Ελληνικά",
    "<|im_start|>user\nHi<|im_end|> <|endoftext|>",
    "x\u{0}y\u{7f}\u{a0}z\u{200b}",
    "def f(x):\n    return x**2  # 3.14159 1,000,000",
    "e\u{301} é ﬁ Ⅷ ² ½",
    "'S 'RE don't DON'T  ''",
];

#[test]
fn smollm2_has_the_same_ids_from_either_vocabulary() {
    use attnlab_pretrained::Tokenizer;
    let Some((file, folder)) = smollm2() else { return };
    let embedded = Tokenizer::open(&file).unwrap().unwrap();
    let written = Tokenizer::open(&folder).unwrap().unwrap();
    assert_eq!(written.path(), folder.join("tokenizer.json"));
    assert_eq!((embedded.vocab_size(), written.vocab_size()), (49152, 49152));
    for &text in TRICKY {
        let ids = embedded.encode(text, true).unwrap();
        assert_eq!(ids, written.encode(text, true).unwrap(), "{text:?}");
        assert_eq!(embedded.decode(&ids).unwrap(), text);
    }
    for id in 0..49152 {
        assert_eq!(embedded.token_label(id), written.token_label(id));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/real_golden/smollm2-135m");
    let golden = golden.join("golden_text_nobos.safetensors");
    let golden = candle_core::safetensors::load(golden, &candle_core::Device::Cpu).unwrap();
    let ids: Vec<u32> = golden["input_ids"]
        .flatten_all()
        .unwrap()
        .to_vec1::<i64>()
        .unwrap()
        .iter()
        .map(|&id| id as u32)
        .collect();
    let text = written.decode(&ids).unwrap();
    assert!(text.len() > 400, "{text}");
    assert_eq!(embedded.encode(&text, true).unwrap(), ids);
    assert_eq!(written.encode(&text, true).unwrap(), ids);
}
