//! Damaged files: thousands of random changes to valid ones. Opening and reading everything gives a result or an error
//! that names the file, never a panic, and takes no more memory than the file's own size accounts for.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/write.rs"]
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use attnlab_pretrained::gguf::Gguf;
use attnlab_pretrained::{Checkpoint, ModelFiles, Result, Tokenizer};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Tensor};
use serde_json::json;
use tempfile::TempDir;
use write::{GgufWriter, counting, raw_safetensors, shards};

/// Counts what is allocated.
#[allow(unsafe_code, reason = "an allocator can be written in no other way; it only counts and passes on")]
mod counting_allocator {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    struct Counting;

    static LIVE: AtomicUsize = AtomicUsize::new(0);
    static PEAK: AtomicUsize = AtomicUsize::new(0);

    // SAFETY: every call is passed on to the system's allocator unchanged.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            PEAK.fetch_max(LIVE.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
            // SAFETY: as the caller promises.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            LIVE.fetch_sub(layout.size(), Relaxed);
            // SAFETY: as the caller promises.
            unsafe { System.dealloc(pointer, layout) }
        }
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    /// What `run` gives, and the most that it had allocated at once.
    pub(crate) fn peak<T>(run: impl FnOnce() -> T) -> (T, usize) {
        let before = LIVE.load(Relaxed);
        PEAK.store(before, Relaxed);
        let result = run();
        (result, PEAK.load(Relaxed).saturating_sub(before))
    }
}

/// A generator of numbers that always gives the same: splitmix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }
}

/// Numbers on which arithmetic fails.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    7,
    31,
    33,
    255,
    256,
    65_535,
    1 << 20,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 32,
    1 << 40,
    1 << 61,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 31,
    u64::MAX - 7,
    u64::MAX,
];

/// Texts that stand for a value in JSON, or for none.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "18446744073709551615",
    "18446744073709551616",
    "4611686018427387904",
    "null",
    "[]",
    "{}",
    "\"\"",
    "\"../x\"",
    "true",
    "1.5",
    "[[[[[[[[[[]]]]]]]]]]",
    "\"\\u0000\"",
    "\"F16\"",
    "\"I64\"",
    "\"BPE\"",
    "\"Replace\"",
    ",",
    "}",
    "]",
];

/// One random change to a file of which the first `header` bytes matter most.
fn damage(bytes: &mut Vec<u8>, header: usize, rng: &mut Rng) {
    let len = bytes.len();
    // Mostly where the structure is.
    let at = if rng.below(4) > 0 { rng.below(header.min(len)) } else { rng.below(len) };
    let upto = |rng: &mut Rng, most: usize| at + rng.below(most.min(len - at) + 1);
    match rng.below(9) {
        0 => bytes.truncate(at),
        1 if len > 0 => bytes[at] ^= 1 << rng.below(8),
        2 if len > 0 => bytes[at] = rng.next() as u8,
        3 => {
            // A number in the file, at its place or anywhere.
            let at = if rng.below(2) == 0 { at / 4 * 4 } else { at };
            let number = match rng.below(3) {
                0 => (len as u64).wrapping_add(rng.below(17) as u64).wrapping_sub(8),
                _ => NUMBERS[rng.below(NUMBERS.len())],
            };
            let width = if rng.below(2) == 0 { 8 } else { 4 };
            for (byte, new) in bytes[at..].iter_mut().zip(&number.to_le_bytes()[..width]) {
                *byte = *new;
            }
        }
        4 => {
            // A number or a text of a JSON text.
            let starts = |&i: &usize| bytes[i].is_ascii_digit() || bytes[i] == b'"';
            let Some(start) = (at..len).find(starts) else { return };
            let ends = |&i: &usize| matches!(bytes[i], b',' | b']' | b'}' | b':' | b' ');
            let end = (start + 1..len).find(ends).unwrap_or(len);
            bytes.splice(start..end, rng.pick(VALUES).bytes());
        }
        5 => drop(bytes.drain(at..upto(rng, 40))),
        6 => {
            let piece = bytes[at..upto(rng, 40)].to_vec();
            let to = rng.below(len + 1);
            bytes.splice(to..to, piece);
        }
        7 => {
            let piece: Vec<u8> = (0..rng.below(16)).map(|_| rng.next() as u8).collect();
            bytes.splice(at..at, piece);
        }
        _ => bytes.extend(std::iter::repeat_n(0, rng.below(64))),
    }
}

/// Reads all of a checkpoint's floating-point tensors.
fn read_all(checkpoint: &Checkpoint) -> Result<()> {
    for name in checkpoint.names() {
        checkpoint.read(name)?;
        if checkpoint.info(name).is_some_and(|info| info.shape.first().is_some_and(|&rows| rows > 1)) {
            checkpoint.read_rows(name, 1..2)?;
        }
    }
    Ok(())
}

/// Panics that a guard caught, by place.
static PANICS: Mutex<BTreeMap<String, usize>> = Mutex::new(BTreeMap::new());

struct Subject {
    name: &'static str,
    /// The files, with how many of their bytes are structure.
    files: Vec<(&'static str, Vec<u8>, usize)>,
    open: fn(&Path) -> Result<()>,
    cases: usize,
    /// Memory for each byte of the files, and besides.
    factor: usize,
    base: usize,
}

impl Subject {
    /// Opens so many damaged copies of the files; the number of those that were refused.
    fn run(&self, rng: &mut Rng) -> usize {
        let folder = TempDir::new().unwrap();
        let paths: Vec<PathBuf> = self.files.iter().map(|(name, ..)| folder.path().join(name)).collect();
        for ((_, bytes, _), path) in self.files.iter().zip(&paths) {
            fs::write(path, bytes).unwrap();
        }
        (self.open)(folder.path()).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut refused = 0;
        for case in 0..self.cases {
            let which = rng.below(self.files.len());
            let (_, whole, header) = &self.files[which];
            let mut bytes = whole.clone();
            for _ in 0..=rng.below(3) {
                damage(&mut bytes, *header, rng);
            }
            write_anew(&paths[which], &bytes);
            let size: usize = paths.iter().map(|path| fs::metadata(path).unwrap().len() as usize).sum();
            let run = || catch_unwind(AssertUnwindSafe(|| (self.open)(folder.path())));
            let (result, peak) = counting_allocator::peak(run);
            let keep = || {
                let kept = std::env::temp_dir().join(format!("attnlab-hostile-{}-{case}", self.name));
                fs::write(&kept, &bytes).unwrap();
                kept.display().to_string()
            };
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    refused += 1;
                    let message = error.to_string();
                    let named = paths.iter().any(|path| message.contains(path.to_str().unwrap()));
                    let clear = named || message.contains("is not known");
                    assert!(clear && message.len() < 4000, "{}: {message}; see {}", self.name, keep());
                }
                Err(_) => panic!("{}: a panic at {:?}; see {}", self.name, PANICS.lock().unwrap(), keep()),
            }
            let most = self.factor * size + self.base;
            assert!(peak <= most, "{}: {peak} bytes for files of {size}; see {}", self.name, keep());
            write_anew(&paths[which], whole);
        }
        refused
    }
}

/// Writes a file that was not there: some file systems flush one that is cut and written again, thousands of times.
fn write_anew(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

fn single() -> Vec<u8> {
    let mut data = Vec::new();
    let mut header = json!({"__metadata__": {"format": "pt"}});
    for (name, dtype, width, shape) in [
        ("a", "F32", 4, [32, 64]),
        ("b", "F16", 2, [64, 64]),
        ("c", "BF16", 2, [16, 128]),
        ("d", "F64", 8, [8, 8]),
    ] {
        let begin = data.len();
        data.resize(begin + width * shape[0] * shape[1], 0x3c);
        header[name] = json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, data.len()]});
    }
    raw_safetensors(&header, &data)
}

fn gguf(tokenizer: &str) -> Vec<u8> {
    let quantised = |dtype: GgmlDType, rows: usize| {
        let values = Tensor::zeros((rows, 256), DType::F32, &Device::Cpu).unwrap();
        QTensor::quantize(&values, dtype).unwrap().data().unwrap().into_owned()
    };
    let file = GgufWriter::default()
        .text("general.architecture", "llama")
        .text("tokenizer.ggml.model", tokenizer)
        .text("tokenizer.ggml.pre", "llama-bpe")
        .texts("tokenizer.ggml.tokens", &["<s>", "h", "e", "he", "▁", "▁he", "▁h", "Ġ", "Ġhe", "[UNK]"])
        .floats("tokenizer.ggml.scores", &[0.0, -1.0, -2.0, -3.0, -4.0, -5.0, -6.0, -7.0, -8.0, -9.0])
        .integers("tokenizer.ggml.token_type", &[3, 1, 1, 1, 1, 1, 1, 1, 1, 2])
        .texts("tokenizer.ggml.merges", &["h e", "Ġ he"])
        .size("tokenizer.ggml.bos_token_id", 0)
        .size("tokenizer.ggml.unknown_token_id", 9)
        .size("llama.context_length", 64)
        .size("llama.embedding_length", 256)
        .size("llama.feed_forward_length", 32)
        .size("llama.block_count", 1)
        .size("llama.attention.head_count", 4)
        .size("llama.attention.head_count_kv", 2)
        .float("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .float("llama.rope.freq_base", 10_000.0)
        .tensor("token_embd.weight", 8, &[10, 256], &quantised(GgmlDType::Q8_0, 10))
        .tensor("blk.0.attn_q.weight", 2, &[256, 256], &quantised(GgmlDType::Q4_0, 256))
        .tensor("blk.0.attn_k.weight", 12, &[128, 256], &quantised(GgmlDType::Q4K, 128))
        .tensor("blk.0.ffn_gate_exps.weight", 14, &[2, 8, 256], &quantised(GgmlDType::Q6K, 16))
        .f32s("output_norm.weight", &[256], &counting(256));
    file.bytes()
}

fn tokenizer_json(model: serde_json::Value, pre_tokenizer: serde_json::Value) -> Vec<u8> {
    let special = json!({"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "<s>"},
        "added_tokens": [special],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": pre_tokenizer,
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": model,
    })
    .to_string()
    .into_bytes()
}

fn subjects() -> Vec<Subject> {
    let structure = |bytes: &[u8]| bytes.len().min(700);
    let open_weights = |path: &Path| Checkpoint::open(path).and_then(|checkpoint| read_all(&checkpoint));
    let open_gguf = |path: &Path| {
        let path = path.join("model.gguf");
        let tokenizer = Gguf::open(&path)?.tokenizer()?;
        read_all(&Gguf::open(&path)?.as_hugging_face()?.1)?;
        read_all(&Gguf::open(&path)?.as_stored())?;
        use_tokenizer(tokenizer)
    };
    let single = single();
    let of_shards = TempDir::new().unwrap();
    shards(of_shards.path());
    let shard_files = [
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    .map(|name| {
        let bytes = fs::read(of_shards.path().join(name)).unwrap();
        let header = bytes.len();
        (name, bytes, header)
    });
    let one = |name: &'static str, bytes: Vec<u8>, header: usize| vec![(name, bytes, header)];
    let bpe = json!({"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
        "fuse_unk": false, "byte_fallback": true, "ignore_merges": false,
        "vocab": {"<s>": 0, "h": 1, "e": 2, "he": 3, "▁": 4, "▁he": 5, "<0x0A>": 6}, "merges": [["h", "e"], ["▁", "he"]]});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "byte_fallback": false, "vocab": [["<s>", 0.0], ["h", -1.0], ["e", -1.5], ["he", -0.5]]});
    let words = json!({"type": "WordPiece", "unk_token": "<s>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
        "vocab": {"<s>": 0, "h": 1, "##e": 2}});
    let split = json!({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\p{L}+|\\s"}, "behavior": "Isolated", "invert": false},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]});
    let spaces = json!({"type": "BertPreTokenizer"});
    let tokenizer = |name: &'static str, model: &serde_json::Value, pre_tokenizer: &serde_json::Value| {
        let bytes = tokenizer_json(model.clone(), pre_tokenizer.clone());
        let header = bytes.len();
        let config =
            br#"{"add_bos_token": true, "bos_token": {"content": "<s>"}, "model_max_length": 1e30}"#.to_vec();
        Subject {
            name,
            files: vec![("tokenizer.json", bytes, header), ("tokenizer_config.json", config, 90)],
            open: |path| use_tokenizer(Tokenizer::open(path)?),
            cases: 700,
            factor: 64,
            base: 4 << 20,
        }
    };
    vec![
        Subject {
            name: "safetensors",
            files: one("model.safetensors", single.clone(), structure(&single)),
            open: open_weights,
            cases: 4000,
            factor: 4,
            base: 256 << 10,
        },
        Subject {
            name: "shards",
            files: shard_files.into(),
            open: open_weights,
            cases: 3000,
            factor: 16,
            base: 256 << 10,
        },
        Subject {
            name: "gguf-gpt2",
            files: one("model.gguf", gguf("gpt2"), 1900),
            open: open_gguf,
            cases: 1500,
            factor: 16,
            base: 2 << 20,
        },
        Subject {
            name: "gguf-llama",
            files: one("model.gguf", gguf("llama"), 1900),
            open: open_gguf,
            cases: 1500,
            factor: 16,
            base: 2 << 20,
        },
        Subject {
            name: "gguf-bert",
            files: one("model.gguf", gguf("bert"), 1900),
            open: open_gguf,
            cases: 700,
            factor: 16,
            base: 2 << 20,
        },
        Subject {
            name: "config",
            files: vec![
                (
                    "config.json",
                    br#"{"model_type": "gpt2", "n_embd": 8, "layers": [1, 2, {"a": [null]}]}"#.to_vec(),
                    70,
                ),
                ("model.safetensors", write::safetensors(&[("w", &[2], &[1.0, 2.0])]), 100),
            ],
            open: |path| ModelFiles::open(path).and_then(|files| read_all(&files.checkpoint)),
            cases: 1500,
            factor: 64,
            base: 256 << 10,
        },
        tokenizer("tokenizer-bpe", &bpe, &split),
        tokenizer("tokenizer-unigram", &unigram, &spaces),
        tokenizer("tokenizer-words", &words, &spaces),
    ]
}

fn use_tokenizer(tokenizer: Option<Tokenizer>) -> Result<()> {
    let Some(tokenizer) = tokenizer else { return Ok(()) };
    for id in 0..12 {
        tokenizer.token_label(id);
    }
    for text in ["he he\n", "", "<s>é 日本"] {
        let ids = tokenizer.encode(text, true)?;
        tokenizer.decode(&ids)?;
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
    }
    tokenizer.decode(&[0, 1, 99, u32::MAX]).map(drop)
}

#[test]
fn damaged_files_give_errors_and_take_no_more_memory_than_their_size_accounts_for() {
    // Quiet, but for the places.
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let message = info.payload_as_str().unwrap_or_default();
        *PANICS.lock().unwrap().entry(format!("{place} {message}")).or_default() += 1;
    }));
    let outcome = catch_unwind(|| {
        let mut rng = Rng(4);
        subjects()
            .iter()
            .map(|subject| (subject.name, subject.cases, subject.run(&mut rng)))
            .collect::<Vec<_>>()
    });
    drop(std::panic::take_hook());
    let panics = PANICS.lock().unwrap().clone();
    let outcome = outcome.unwrap_or_else(|_| panic!("{panics:#?}"));
    assert!(outcome.iter().map(|(_, cases, _)| cases).sum::<usize>() >= 10_000);
    for (name, cases, refused) in outcome {
        assert!(refused > cases / 10 && refused < cases, "{name}: {refused} of {cases} refused");
    }
    // Not even one of the tokenizers library's that is caught.
    assert!(panics.is_empty(), "{panics:#?}");
}
