//! Text → ids and back, as the checkpoint's own files say.

mod check;
mod embedded;
mod files;
mod label;
mod parts;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use tokenizers::Tokenizer as Inner;

use crate::error::{PretrainedError, Result};
use crate::gguf::Gguf;
use label::Writing;

/// A checkpoint's tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Inner,
    /// The file that errors name.
    file: PathBuf,
    special: Special,
    writing: Writing,
    /// The largest id, plus one.
    n_ids: usize,
}

/// What adds special tokens around a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Special {
    /// The tokenizer's post-processor.
    PostProcessor,
    /// Switches of the configuration, such as `add_bos_token`.
    Switches {
        /// Before the text.
        before: Option<u32>,
        /// After the text.
        after: Option<u32>,
    },
}

impl Tokenizer {
    /// The tokenizer of a model's folder: `tokenizer.json`, or `vocab.json` and `merges.txt` (GPT-2's), or `vocab.txt`
    /// (BERT's), with the switches of `tokenizer_config.json`; or the vocabulary of a `.gguf` file. Nothing where there
    /// is none.
    ///
    /// # Errors
    /// The files cannot be read or contradict themselves, or are of a kind that is not read.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        use crate::tensors::{Found, find};
        if path.is_dir()
            && let Some(tokenizer) = files::open(path)?
        {
            return Ok(Some(tokenizer));
        }
        match find(path) {
            Ok(Found::Gguf(file)) => Gguf::open(&file)?.tokenizer(),
            // A file of weights: its tokenizer lies beside it.
            Ok(Found::Safetensors(file) | Found::Index(file)) if !path.is_dir() => {
                file.parent().map_or(Ok(None), files::open)
            }
            _ => Ok(None),
        }
    }

    /// The tokenizer of a `tokenizer.json` that is in memory; `file` is named in errors.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn from_json(bytes: &[u8], file: &Path) -> Result<Self> {
        let inner = guarded(file, "be read", || Inner::from_bytes(bytes))?;
        Self::new(inner, file.to_owned(), Special::PostProcessor)
    }

    /// Wraps a tokenizer that was read from `file`.
    fn new(mut inner: Inner, file: PathBuf, special: Special) -> Result<Self> {
        // What a text is cut or filled up to is for the caller to say.
        inner.with_padding(None);
        let refused = inner.with_truncation(None).err().map(|e| e.to_string());
        if let Some(problem) = refused {
            return Err(PretrainedError::Tokenizer { file, problem });
        }
        let n_ids = inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1);
        let writing = Writing::of(&inner);
        Ok(Self { inner, file, special, writing, n_ids })
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// A text's ids; with `add_special`, the special tokens that the checkpoint puts around a text.
    ///
    /// # Errors
    /// The tokenizer has no id for some of the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let processed = add_special && self.special == Special::PostProcessor;
        let encoding = guarded(&self.file, "encode this text", || self.inner.encode_fast(text, processed))?;
        let mut ids = encoding.get_ids().to_vec();
        if let Special::Switches { before, after } = self.special
            && add_special
        {
            if let Some(before) = before {
                ids.insert(0, before);
            }
            ids.extend(after);
        }
        Ok(ids)
    }

    /// The text of ids, special tokens included.
    ///
    /// # Errors
    /// The tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        guarded(&self.file, "decode ids", || self.inner.decode(ids, false))
    }

    /// A token as a display shows it: spaces as `␣`, line breaks and other invisible characters escaped, bytes that
    /// are no character as `\xE2`. An id that the tokenizer does not have is its number in brackets.
    pub fn token_label(&self, id: u32) -> String {
        let Some(token) = self.inner.id_to_token(id) else { return format!("<{id}>") };
        let added = self.inner.get_added_vocabulary().get_added_tokens_decoder().contains_key(&id);
        if added { label::shown(&token) } else { self.writing.label(&token) }
    }

    /// How many ids a model needs to have for this tokenizer: the largest, plus one.
    pub fn vocab_size(&self) -> usize {
        self.n_ids
    }

    /// The id of a token as the vocabulary writes it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether a model of so many embeddings, as `model` says, takes this tokenizer's ids.
    ///
    /// # Errors
    /// It does not: an error that names both.
    pub fn fits(&self, vocab_size: usize, model: &Path) -> Result<()> {
        if self.n_ids <= vocab_size {
            return Ok(());
        }
        let problem = format!(
            "has ids up to {}, but the model of {} has embeddings for 0 to {} only; this is another model's tokenizer",
            self.n_ids - 1,
            model.display(),
            vocab_size.saturating_sub(1)
        );
        Err(PretrainedError::Tokenizer { file: self.file.clone(), problem })
    }
}

/// Runs code of the tokenizers library, which panics on some files that contradict themselves.
fn guarded<T>(file: &Path, what: &str, run: impl FnOnce() -> tokenizers::Result<T>) -> Result<T> {
    let refuse = |problem: String| PretrainedError::Tokenizer { file: file.to_owned(), problem };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(e)) => Err(refuse(format!("cannot {what}: {}", crate::error::short(&e.to_string())))),
        Err(_) => Err(refuse(format!("cannot {what}: the file contradicts itself; download it again"))),
    }
}
