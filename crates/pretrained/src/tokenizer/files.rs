//! The tokenizer's files of a Hugging Face folder.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value};
use tokenizers::Tokenizer as Inner;
use tokenizers::models::bpe::Vocab;

use super::check::check;
use super::parts::{ByteLevel, Cut, Words, declare, number};
use super::{Special, Tokenizer, guarded};
use crate::error::{PretrainedError, Result, short};
use crate::tensors::read_text;

/// The longest vocabulary that is read; the largest known have 35 MB.
const LONGEST: u64 = 256 << 20;
/// The longest configuration of a tokenizer that is read: some list all of their special tokens.
const LONGEST_CONFIG: u64 = 4 << 20;

/// The folder's tokenizer, if it has one.
pub(super) fn open(folder: &Path) -> Result<Option<Tokenizer>> {
    let config = Config::read(folder)?;
    let whole = folder.join("tokenizer.json");
    if whole.is_file() {
        let bytes = read_text(&whole, LONGEST)?;
        check(&whole, &bytes)?;
        let inner = guarded(&whole, "be read", || Inner::from_bytes(&bytes))?;
        drop(bytes);
        let special = config.special(&inner, &whole)?;
        return Tokenizer::new(inner, whole, special).map(Some);
    }
    let (vocab, merges) = (folder.join("vocab.json"), folder.join("merges.txt"));
    if vocab.is_file() && merges.is_file() {
        return gpt2(&vocab, &merges, &config).map(Some);
    }
    let words = folder.join("vocab.txt");
    if words.is_file() {
        return bert(&words, &config).map(Some);
    }
    for name in ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"] {
        let file = folder.join(name);
        if file.is_file() {
            let problem = format!(
                "is a SentencePiece model, which is not read; write tokenizer.json once, where transformers is \
                 installed:\n  python3 -c \"from transformers import AutoTokenizer as A; \
                 A.from_pretrained('{0}').save_pretrained('{0}')\"",
                folder.display()
            );
            return Err(PretrainedError::Tokenizer { file, problem });
        }
    }
    Ok(None)
}

/// GPT-2's files: a byte-level vocabulary and its merges.
fn gpt2(file: &Path, merges_file: &Path, config: &Config) -> Result<Tokenizer> {
    let vocab: HashMap<String, u32> = parse(file, LONGEST)?;
    let text = String::from_utf8_lossy(&read_text(merges_file, LONGEST)?).into_owned();
    let mut merges = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with("#version") && !line.trim().is_empty()) {
        let Some((left, right)) = line.split_once(' ') else {
            let problem = format!("the line `{}` is no merge of two tokens", short(line));
            return Err(PretrainedError::Tokenizer { file: merges_file.to_owned(), problem });
        };
        merges.push((left.to_owned(), right.to_owned()));
    }
    let vocab: Vocab = vocab.into_iter().collect();
    let mut special: Vec<_> =
        config.special_tokens().into_iter().filter(|token| vocab.contains_key(token)).collect();
    for token in ["<|endoftext|>", "<s>", "</s>", "<pad>", "<unk>", "<mask>"] {
        if vocab.contains_key(token) && !special.iter().any(|t| t == token) {
            special.push(token.to_owned());
        }
    }
    // RoBERTa's vocabulary begins with its special tokens.
    let roberta = vocab.get("<s>") == Some(&0) && vocab.get("</s>") == Some(&2);
    let around = [vocab.get("<s>").copied(), vocab.get("</s>").copied()];
    let parts = ByteLevel {
        vocab,
        merges,
        cut: Cut::Gpt2,
        ignore_merges: false,
        add_prefix_space: config.flag("add_prefix_space").unwrap_or(false),
        composed: false,
    };
    let mut inner = parts.build(file)?;
    declare(&mut inner, file, special, Vec::new())?;
    let special = match config.special(&inner, file)? {
        Special::PostProcessor if roberta => Special::Switches { before: around[0], after: around[1] },
        other => other,
    };
    Tokenizer::new(inner, file.to_owned(), special)
}

/// BERT's file: a word piece a line.
fn bert(file: &Path, config: &Config) -> Result<Tokenizer> {
    let text = String::from_utf8(read_text(file, LONGEST)?).map_err(|_| PretrainedError::Tokenizer {
        file: file.to_owned(),
        problem: "is not UTF-8 text with a word piece a line".to_owned(),
    })?;
    let vocab = number(text.lines().map(str::trim_end), file)?;
    let token = |key: &str, usual: &str| config.token(key).unwrap_or_else(|| usual.to_owned());
    let around = (token("cls_token", "[CLS]"), token("sep_token", "[SEP]"));
    let unknown = token("unk_token", "[UNK]");
    let named = [
        unknown.clone(),
        around.0.clone(),
        around.1.clone(),
        token("pad_token", "[PAD]"),
        token("mask_token", "[MASK]"),
    ];
    let special = named.into_iter().filter(|token| vocab.contains_key(token)).collect();
    let around =
        Some(around).filter(|(before, after)| vocab.contains_key(before) && vocab.contains_key(after));
    let parts = Words {
        vocab,
        lowercase: config.flag("do_lower_case").unwrap_or(true),
        strip_accents: config.flag("strip_accents"),
        chinese: config.flag("tokenize_chinese_chars").unwrap_or(true),
        unknown,
        around,
    };
    let mut inner = parts.build(file)?;
    declare(&mut inner, file, special, Vec::new())?;
    Tokenizer::new(inner, file.to_owned(), Special::PostProcessor)
}

/// `tokenizer_config.json` and `special_tokens_map.json`, the former first.
struct Config(Vec<Map<String, Value>>);

impl Config {
    fn read(folder: &Path) -> Result<Self> {
        let mut files = Vec::new();
        for name in ["tokenizer_config.json", "special_tokens_map.json"] {
            let file = folder.join(name);
            if file.is_file() {
                files.push(parse(&file, LONGEST_CONFIG)?);
            }
        }
        Ok(Self(files))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.0.iter().find_map(|file| file.get(key)).filter(|value| !value.is_null())
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// A special token, which is written as a text or as an object with its content.
    fn token(&self, key: &str) -> Option<String> {
        let value = self.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
    }

    /// Every special token that is named.
    fn special_tokens(&self) -> Vec<String> {
        let keys =
            ["bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token"];
        keys.iter().filter_map(|key| self.token(key)).collect()
    }

    /// Who adds special tokens: `add_bos_token` and `add_eos_token` where they are given, as in transformers, and else
    /// the tokenizer's post-processor.
    fn special(&self, inner: &Inner, file: &Path) -> Result<Special> {
        let (bos, eos) = (self.flag("add_bos_token"), self.flag("add_eos_token"));
        if bos.is_none() && eos.is_none() {
            return Ok(Special::PostProcessor);
        }
        let token = |wanted: Option<bool>, key: &str| -> Result<Option<u32>> {
            let Some(token) = self.token(key).filter(|_| wanted == Some(true)) else { return Ok(None) };
            let id = inner.token_to_id(&token);
            id.map(Some).ok_or_else(|| PretrainedError::Tokenizer {
                file: file.to_owned(),
                problem: format!("`{key}` is `{}`, which is no token of the vocabulary", short(&token)),
            })
        };
        Ok(Special::Switches { before: token(bos, "bos_token")?, after: token(eos, "eos_token")? })
    }
}

/// A JSON file of this type.
fn parse<T: serde::de::DeserializeOwned>(file: &Path, longest: u64) -> Result<T> {
    let bytes = read_text(file, longest)?;
    serde_json::from_slice(&bytes).map_err(|e| PretrainedError::Tokenizer {
        file: file.to_owned(),
        problem: format!("is not the JSON that is expected there: {}", short(&e.to_string())),
    })
}
