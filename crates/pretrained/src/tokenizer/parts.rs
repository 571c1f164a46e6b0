//! Tokenizers from vocabularies.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, Tokenizer as Inner};

use super::guarded;
use crate::error::{PretrainedError, Result, short};

/// How texts are cut before merges: the patterns that the models were trained with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// GPT-2's words.
    Gpt2,
    /// Every digit by itself, then GPT-2's words.
    Digits,
    /// A pattern of its own.
    Pattern(&'static str),
    /// Punctuation, GPT-2's words, and digits by threes.
    Falcon,
}

impl Cut {
    /// As `tokenizer.json` writes a pre-tokenizer.
    fn pre_tokenizer(self, add_prefix_space: bool) -> Value {
        let bytes = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": add_prefix_space, "trim_offsets": true, "use_regex": use_regex});
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let parts = match self {
            Self::Gpt2 => return bytes(true),
            Self::Digits => vec![json!({"type": "Digits", "individual_digits": true}), bytes(true)],
            Self::Pattern(pattern) => vec![split(pattern), bytes(false)],
            Self::Falcon => vec![
                json!({"type": "Punctuation", "behavior": "Contiguous"}),
                bytes(true),
                json!({"type": "Digits", "individual_digits": false}),
                split("[0-9][0-9][0-9]"),
            ],
        };
        json!({"type": "Sequence", "pretokenizers": parts})
    }
}

/// A byte-level BPE.
pub(super) struct ByteLevel {
    pub(super) vocab: Vocab,
    pub(super) merges: Vec<(String, String)>,
    pub(super) cut: Cut,
    /// A word that is a token is that token, whatever the merges make of it.
    pub(super) ignore_merges: bool,
    pub(super) add_prefix_space: bool,
    /// Normalised to composed characters first.
    pub(super) composed: bool,
}

impl ByteLevel {
    pub(super) fn build(self, file: &Path) -> Result<Inner> {
        check_merges(file, &self.vocab, &self.merges)?;
        guarded(file, "be built", || {
            let model = BPE::builder()
                .vocab_and_merges(self.vocab, self.merges)
                .ignore_merges(self.ignore_merges)
                .build()?;
            let mut inner = Inner::new(model);
            let pre_tokenizer: tokenizers::PreTokenizerWrapper =
                serde_json::from_value(self.cut.pre_tokenizer(self.add_prefix_space))?;
            let bytes = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
            let decoder: tokenizers::DecoderWrapper = serde_json::from_value(bytes)?;
            inner.with_pre_tokenizer(Some(pre_tokenizer));
            inner.with_decoder(Some(decoder));
            if self.composed {
                let normalizer: tokenizers::NormalizerWrapper =
                    serde_json::from_value(json!({"type": "NFC"}))?;
                inner.with_normalizer(Some(normalizer))?;
            }
            Ok(inner)
        })
    }
}

/// A SentencePiece BPE: merges by the pieces' scores, bytes where there is no piece.
pub(super) struct Pieces {
    /// Every piece with its score, by id.
    pub(super) pieces: Vec<(String, f32)>,
    /// What stands for a piece that is not there.
    pub(super) unknown: Option<String>,
    /// A space before the text, so that its first word is like the others.
    pub(super) prefix_space: bool,
    /// Whether there are pieces for bytes.
    pub(super) bytes: bool,
}

/// Longer pieces are not made of merges: SentencePiece's own longest are 16 characters.
const LONGEST_PIECE: usize = 256;

impl Pieces {
    pub(super) fn build(self, file: &Path) -> Result<Inner> {
        let vocab = number(self.pieces.iter().map(|(piece, _)| piece.as_str()), file)?;
        let mut merges: Vec<(f32, &str, &str)> = Vec::new();
        for (piece, score) in self.pieces.iter().filter(|(piece, _)| piece.len() <= LONGEST_PIECE) {
            let begin = merges.len();
            for (at, _) in piece.char_indices().skip(1) {
                let (left, right) = piece.split_at(at);
                if vocab.contains_key(left) && vocab.contains_key(right) {
                    merges.push((*score, left, right));
                }
            }
            merges[begin..].sort_by_key(|(_, left, right)| (vocab.get(*left), vocab.get(*right)));
        }
        // The best score first; equal ones in the vocabulary's order.
        merges.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
        let merges = merges.into_iter().map(|(_, left, right)| (left.to_owned(), right.to_owned())).collect();
        guarded(file, "be built", || {
            let mut model =
                BPE::builder().vocab_and_merges(vocab, merges).fuse_unk(true).byte_fallback(self.bytes);
            if let Some(unknown) = self.unknown {
                model = model.unk_token(unknown);
            }
            let mut inner = Inner::new(model.build()?);
            let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
            let normalizer = if self.prefix_space {
                json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, spaces]})
            } else {
                spaces
            };
            let mut decoders = vec![
                json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
                json!({"type": "ByteFallback"}),
                json!({"type": "Fuse"}),
            ];
            if self.prefix_space {
                decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
            }
            let normalizer: tokenizers::NormalizerWrapper = serde_json::from_value(normalizer)?;
            let decoder: tokenizers::DecoderWrapper =
                serde_json::from_value(json!({"type": "Sequence", "decoders": decoders}))?;
            inner.with_normalizer(Some(normalizer))?;
            inner.with_decoder(Some(decoder));
            Ok(inner)
        })
    }
}

/// BERT's word pieces.
pub(super) struct Words {
    pub(super) vocab: Vocab,
    pub(super) lowercase: bool,
    /// Takes accents off; where it is not said, as `lowercase`.
    pub(super) strip_accents: Option<bool>,
    pub(super) chinese: bool,
    pub(super) unknown: String,
    /// The tokens before and after a text.
    pub(super) around: Option<(String, String)>,
}

impl Words {
    pub(super) fn build(self, file: &Path) -> Result<Inner> {
        guarded(file, "be built", || {
            let around = self.around.as_ref().and_then(|(before, after)| {
                let id = |token: &str| self.vocab.get(token).copied();
                Some(((after.clone(), id(after)?), (before.clone(), id(before)?)))
            });
            let model = WordPiece::builder().vocab(self.vocab).unk_token(self.unknown).build()?;
            let mut inner = Inner::new(model);
            let normalizer: tokenizers::NormalizerWrapper = serde_json::from_value(json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": self.chinese,
                "strip_accents": self.strip_accents,
                "lowercase": self.lowercase,
            }))?;
            let pre_tokenizer: tokenizers::PreTokenizerWrapper =
                serde_json::from_value(json!({"type": "BertPreTokenizer"}))?;
            let decoder: tokenizers::DecoderWrapper =
                serde_json::from_value(json!({"type": "WordPiece", "prefix": "##", "cleanup": true}))?;
            inner.with_normalizer(Some(normalizer))?;
            inner.with_pre_tokenizer(Some(pre_tokenizer));
            inner.with_decoder(Some(decoder));
            if let Some((sep, cls)) = around {
                let processor: tokenizers::PostProcessorWrapper =
                    serde_json::from_value(json!({"type": "BertProcessing", "sep": sep, "cls": cls}))?;
                inner.with_post_processor(Some(processor));
            }
            Ok(inner)
        })
    }
}

/// Declares tokens of the vocabulary that stand for themselves in a text: special ones, and words of a user's.
pub(super) fn declare(
    inner: &mut Inner,
    file: &Path,
    special: Vec<String>,
    words: Vec<String>,
) -> Result<()> {
    let known = |token: &String| !token.is_empty();
    guarded(file, "take its special tokens", || {
        inner.add_special_tokens(
            special.into_iter().filter(known).map(|t| AddedToken::from(t, true).normalized(false)),
        )?;
        inner.add_tokens(
            words.into_iter().filter(known).map(|t| AddedToken::from(t, false).normalized(false)),
        )?;
        Ok(())
    })
}

/// Tokens numbered in their order. A token that comes twice keeps its first id.
pub(super) fn number<'a>(tokens: impl Iterator<Item = &'a str>, file: &Path) -> Result<Vocab> {
    let mut vocab = Vocab::new();
    for (id, token) in tokens.enumerate() {
        let id = u32::try_from(id).map_err(|_| PretrainedError::Tokenizer {
            file: file.to_owned(),
            problem: "has more tokens than can be numbered".to_owned(),
        })?;
        vocab.entry(token.to_owned()).or_insert(id);
    }
    Ok(vocab)
}

/// Every merge must be of tokens, and make one: the library panics where it does not.
pub(super) fn check_merges(file: &Path, vocab: &Vocab, merges: &[(String, String)]) -> Result<()> {
    for (left, right) in merges {
        for token in [left, right, &format!("{left}{right}")] {
            if !vocab.contains_key(token) {
                let problem = format!(
                    "merges `{}` and `{}`, but `{}` is no token; vocabulary and merges are not of one model",
                    short(left),
                    short(right),
                    short(token)
                );
                return Err(PretrainedError::Tokenizer { file: file.to_owned(), problem });
            }
        }
    }
    Ok(())
}
