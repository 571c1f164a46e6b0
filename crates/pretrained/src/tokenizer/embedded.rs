//! The vocabulary in a GGUF file.

use std::path::Path;

use super::parts::{ByteLevel, Cut, Pieces, Words, declare, number};
use super::{Special, Tokenizer};
use crate::error::{PretrainedError, Result, short};
use crate::gguf::{Gguf, Metadata};

/// Kinds of tokens, as `tokenizer.ggml.token_type` numbers them.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

impl Gguf {
    /// The tokenizer of the file's own vocabulary; nothing where it has none.
    ///
    /// # Errors
    /// The vocabulary contradicts itself, or is of a kind that is not read.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        Embedded { file: self.path(), metadata: self.metadata() }.build()
    }
}

struct Embedded<'a> {
    file: &'a Path,
    metadata: &'a Metadata,
}

impl Embedded<'_> {
    fn refuse(&self, problem: String) -> PretrainedError {
        PretrainedError::Tokenizer { file: self.file.to_owned(), problem }
    }

    fn build(&self) -> Result<Option<Tokenizer>> {
        let Some(model) = self.metadata.text("tokenizer.ggml.model") else { return Ok(None) };
        // Files that were made without a vocabulary say so.
        if matches!(model, "no_vocab" | "none") {
            return Ok(None);
        }
        let tokens = self.metadata.texts("tokenizer.ggml.tokens").filter(|tokens| !tokens.is_empty());
        let tokens =
            tokens.ok_or_else(|| self.refuse("`tokenizer.ggml.tokens` holds no tokens".to_owned()))?;
        let kinds = self.metadata.integers("tokenizer.ggml.token_type");
        if let Some(kinds) = kinds.filter(|kinds| kinds.len() != tokens.len()) {
            let problem = format!(
                "`tokenizer.ggml.token_type` has {} entries for {} tokens",
                kinds.len(),
                tokens.len()
            );
            return Err(self.refuse(problem));
        }
        let of_kind = |wanted: &[i64]| -> Vec<String> {
            let kinds = kinds.into_iter().flatten().zip(tokens);
            kinds.filter(|(kind, _)| wanted.contains(kind)).map(|(_, token)| token.clone()).collect()
        };
        match model {
            "gpt2" => {
                let (mut inner, add_bos) = self.byte_level(tokens)?;
                declare(&mut inner, self.file, of_kind(&[CONTROL, UNKNOWN]), of_kind(&[USER_DEFINED]))?;
                let special = self.switches(tokens.len(), add_bos)?;
                Tokenizer::new(inner, self.file.to_owned(), special).map(Some)
            }
            "llama" => {
                let scores = self.metadata.numbers("tokenizer.ggml.scores").filter(|scores| scores.len() == tokens.len());
                let scores = scores.ok_or_else(|| self.refuse("`tokenizer.ggml.scores` has no score for every token".to_owned()))?;
                let parts = Pieces {
                    pieces: tokens.iter().cloned().zip(scores.iter().copied()).collect(),
                    unknown: self.id("unknown_token_id", tokens.len())?.and_then(|id| tokens.get(id as usize).cloned()),
                    prefix_space: self.metadata.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true),
                    bytes: kinds.is_some_and(|kinds| kinds.contains(&BYTE)),
                };
                let mut inner = parts.build(self.file)?;
                declare(&mut inner, self.file, of_kind(&[CONTROL, UNKNOWN]), of_kind(&[USER_DEFINED]))?;
                let special = self.switches(tokens.len(), true)?;
                Tokenizer::new(inner, self.file.to_owned(), special).map(Some)
            }
            "bert" => self.word_pieces(tokens).map(Some),
            other => Err(self.refuse(format!(
                "`tokenizer.ggml.model` is `{}`; read are gpt2, llama and bert. Give token ids instead of text",
                short(other)
            ))),
        }
    }

    /// The byte-level BPE, and whether texts begin with a special token where the file does not say.
    fn byte_level(&self, tokens: &[String]) -> Result<(tokenizers::Tokenizer, bool)> {
        let merges = self.metadata.texts("tokenizer.ggml.merges").unwrap_or_default();
        let merges = merges.iter().map(|line| {
            // A token may itself be a space, so that the separator is not the first character.
            let from = line.chars().next().map_or(0, char::len_utf8);
            let at = line[from..].find(' ').map(|at| at + from);
            let (left, right) = line.split_at(at.ok_or_else(|| {
                self.refuse(format!(
                    "`tokenizer.ggml.merges` has `{}`, which is no merge of two tokens",
                    short(line)
                ))
            })?);
            Ok((left.to_owned(), right[1..].to_owned()))
        });
        let merges = merges.collect::<Result<Vec<_>>>()?;
        let name = self.metadata.text("tokenizer.ggml.pre").unwrap_or("default");
        let architecture = self.metadata.text("general.architecture").unwrap_or_default();
        // Files from before there was such a key have the pattern of their architecture.
        let name = match (name, architecture) {
            ("default", "qwen2" | "starcoder" | "starcoder2" | "falcon") => architecture,
            _ => name,
        };
        let Some(kind) = PRE_TOKENIZERS.iter().find(|kind| kind.names.contains(&name)) else {
            let known: Vec<_> = PRE_TOKENIZERS.iter().flat_map(|kind| kind.names).copied().collect();
            let problem = format!(
                "`tokenizer.ggml.pre` is `{}`; known: {}. Give token ids instead of text, or a folder with tokenizer.json",
                short(name),
                known.join(", ")
            );
            return Err(self.refuse(problem));
        };
        let parts = ByteLevel {
            vocab: number(tokens.iter().map(String::as_str), self.file)?,
            merges,
            cut: kind.cut,
            ignore_merges: kind.ignore_merges,
            add_prefix_space: false,
            composed: name == "qwen2",
        };
        Ok((parts.build(self.file)?, kind.add_bos))
    }

    /// BERT's vocabulary, in which `▁the` begins a word and `ing` goes on with one.
    fn word_pieces(&self, tokens: &[String]) -> Result<Tokenizer> {
        let written: Vec<String> = tokens
            .iter()
            .map(|token| match token.strip_prefix('▁') {
                Some(word) => word.to_owned(),
                None if token.starts_with('[') && token.ends_with(']') => token.clone(),
                None => format!("##{token}"),
            })
            .collect();
        let token = |keys: &[&str]| -> Result<Option<String>> {
            for key in keys {
                if let Some(id) = self.id(key, tokens.len())? {
                    return Ok(written.get(id as usize).cloned());
                }
            }
            Ok(None)
        };
        let before = token(&["cls_token_id", "bos_token_id"])?.unwrap_or_else(|| "[CLS]".to_owned());
        let after = token(&["seperator_token_id", "separator_token_id", "eos_token_id"])?;
        let after = after.unwrap_or_else(|| "[SEP]".to_owned());
        let special = ["[UNK]", "[PAD]", "[MASK]"]
            .map(str::to_owned)
            .into_iter()
            .chain([before.clone(), after.clone()]);
        let vocab = number(written.iter().map(String::as_str), self.file)?;
        let special = special.filter(|token| vocab.contains_key(token)).collect();
        let parts = Words {
            vocab,
            // The file does not say; only a vocabulary of lower case has no word with a capital.
            lowercase: !tokens
                .iter()
                .any(|t| t.starts_with('▁') && t.contains(|c: char| c.is_ascii_uppercase())),
            strip_accents: None,
            chinese: true,
            unknown: token(&["unknown_token_id"])?.unwrap_or_else(|| "[UNK]".to_owned()),
            around: Some((before, after)),
        };
        let mut inner = parts.build(self.file)?;
        declare(&mut inner, self.file, special, Vec::new())?;
        Tokenizer::new(inner, self.file.to_owned(), Special::PostProcessor)
    }

    /// The special tokens around a text.
    fn switches(&self, n_tokens: usize, add_bos: bool) -> Result<Special> {
        let add =
            |key: &str, usual: bool| self.metadata.flag(&format!("tokenizer.ggml.{key}")).unwrap_or(usual);
        let before = if add("add_bos_token", add_bos) { self.id("bos_token_id", n_tokens)? } else { None };
        let after = if add("add_eos_token", false) { self.id("eos_token_id", n_tokens)? } else { None };
        Ok(Special::Switches { before, after })
    }

    /// The id of a special token; it must be one of the vocabulary's.
    fn id(&self, key: &str, n_tokens: usize) -> Result<Option<u32>> {
        let key = format!("tokenizer.ggml.{key}");
        let Some(id) = self.metadata.size(&key) else { return Ok(None) };
        match u32::try_from(id).ok().filter(|_| id < n_tokens) {
            Some(id) => Ok(Some(id)),
            None => Err(self.refuse(format!("`{key}` is {id}, but there are {n_tokens} tokens"))),
        }
    }
}

/// What a value of `tokenizer.ggml.pre` stands for.
struct PreTokenizer {
    names: &'static [&'static str],
    cut: Cut,
    ignore_merges: bool,
    add_bos: bool,
}

const fn plain(names: &'static [&'static str], cut: Cut) -> PreTokenizer {
    PreTokenizer { names, cut, ignore_merges: false, add_bos: false }
}

/// Llama 3's words: contractions in any case, numbers by threes, line breaks with what is before them.
const LLAMA3: Cut = Cut::Pattern(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// Qwen's: the same with every digit by itself.
const QWEN: Cut = Cut::Pattern(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// GPT-4o's: words break where a capital follows.
const GPT4O: Cut = Cut::Pattern(concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
));
/// Mistral Nemo's: the same without contractions and with every digit by itself.
const TEKKEN: Cut = Cut::Pattern(concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
));
/// BLOOM's: whatever is between spaces and punctuation.
const BLOOM: Cut = Cut::Pattern(" ?[^(\\s|.,!?…。，、।۔،)]+");

const PRE_TOKENIZERS: &[PreTokenizer] = &[
    plain(
        &[
            "default",
            "gpt-2",
            "mpt",
            "olmo",
            "jais",
            "trillion",
            "granite-docling",
            "phi-2",
            "roberta-bpe",
            "gigachat",
            "mellum",
        ],
        Cut::Gpt2,
    ),
    plain(&["smollm", "starcoder", "starcoder2", "refact", "command-r", "codeshell", "exaone"], Cut::Digits),
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3"],
        cut: LLAMA3,
        ignore_merges: true,
        add_bos: true,
    },
    plain(&["dbrx", "smaug-bpe"], LLAMA3),
    plain(&["qwen2", "stablelm2"], QWEN),
    plain(&["gpt-4o"], GPT4O),
    PreTokenizer { names: &["tekken"], cut: TEKKEN, ignore_merges: true, add_bos: true },
    plain(&["bloom", "gpt3-finnish"], BLOOM),
    plain(&["falcon"], Cut::Falcon),
];
