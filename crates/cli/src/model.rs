//! What `MODEL` means on the command line: a folder, a file, a run, a Hub id, or `demo`.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use attnlab_model::Transformer;
use attnlab_pretrained::{ModelFiles, Tokenizer, load};
use attnlab_runner::Trained;
use attnlab_tasks::Task;
use candle_core::DType;

use crate::{Usage, say};

/// A model that can be looked at.
pub(crate) struct Model {
    /// What it is called in tables and pages.
    pub(crate) name: String,
    /// Family, size, where it is from.
    pub(crate) note: String,
    pub(crate) transformer: Transformer,
    words: Words,
}

/// What text is to a model.
enum Words {
    Tokenizer(Box<Tokenizer>),
    Task(Box<dyn Task>),
    /// Ids only.
    None,
}

/// The number type a model computes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Precision {
    F32,
    /// Twice the memory, much slower: tells rounding from error.
    F64,
}

impl From<Precision> for DType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::F64 => Self::F64,
        }
    }
}

impl Model {
    /// Opens `text`: `demo`, a path, or a Hub id. `ids_only` leaves the tokenizer aside.
    pub(crate) fn open(text: &str, ids_only: bool, precision: Precision) -> Result<Self> {
        let path = Path::new(text);
        if !path.exists() {
            if text == crate::demo::NAME {
                return crate::demo::model();
            }
            let folder = hub(text)?;
            return Self::pretrained(text.to_owned(), &folder, ids_only, precision);
        }
        if path.is_dir() && Trained::is_run(path) {
            let trained = Trained::open(path)?;
            return Ok(Self::trained(name_of(path), trained));
        }
        Self::pretrained(name_of(path), path, ids_only, precision)
    }

    /// The model of a run.
    pub(crate) fn trained(name: String, trained: Trained) -> Self {
        let Trained { model, run, task, step } = trained;
        let step = step.map(|step| format!(", step {step}")).unwrap_or_default();
        let note = format!("{}, {}{step}", task.label(), run.position.label());
        Self { name, note: format!("{note}; {}", size(&model)), transformer: model, words: Words::Task(task) }
    }

    /// A model with a tokenizer of its own.
    pub(crate) fn with_tokenizer(
        name: &str,
        note: &str,
        transformer: Transformer,
        tokenizer: Tokenizer,
    ) -> Self {
        let note = format!("{note}; {}", size(&transformer));
        Self { name: name.to_owned(), note, transformer, words: Words::Tokenizer(Box::new(tokenizer)) }
    }

    fn pretrained(name: String, path: &Path, ids_only: bool, precision: Precision) -> Result<Self> {
        let tokenizer = if ids_only { None } else { Tokenizer::open(path)? };
        let loaded = load(ModelFiles::open(path)?, precision.into())?;
        let config = loaded.model.config();
        if let Some(tokenizer) = &tokenizer {
            tokenizer.fits(config.vocab_size, path)?;
        }
        let note = format!("{}, {}; {}", loaded.family.title, config.position.label(), size(&loaded.model));
        let words = match tokenizer {
            Some(tokenizer) => Words::Tokenizer(Box::new(tokenizer)),
            None => Words::None,
        };
        Ok(Self { name, note, transformer: loaded.model, words })
    }

    /// The ids of a text, with the special tokens that the checkpoint puts around one unless `bare`.
    pub(crate) fn encode(&self, text: &str, bare: bool) -> Result<Vec<u32>> {
        match &self.words {
            Words::Tokenizer(tokenizer) => Ok(tokenizer.encode(text, !bare)?),
            Words::Task(task) => Ok(task.encode(text)?),
            Words::None => {
                bail!("{}: there is no tokenizer beside the weights; give ids with --tokens", self.name)
            }
        }
    }

    /// Whether it takes text.
    pub(crate) fn has_words(&self) -> bool {
        !matches!(self.words, Words::None)
    }

    /// A token as a display shows it.
    pub(crate) fn label(&self, id: u32) -> String {
        match &self.words {
            Words::Tokenizer(tokenizer) => tokenizer.token_label(id),
            Words::Task(task) => {
                let name = task.vocabulary().get(id as usize).cloned();
                name.map_or_else(|| format!("<{id}>"), |name| attnlab_report::inspect::token_label(&name))
            }
            Words::None => id.to_string(),
        }
    }

    /// Ids as text.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(match &self.words {
            Words::Tokenizer(tokenizer) => tokenizer.decode(ids)?,
            Words::Task(task) => {
                let words: Vec<&str> = ids
                    .iter()
                    .filter_map(|&id| task.vocabulary().get(id as usize))
                    .map(String::as_str)
                    .collect();
                // A text's tokens are its characters, an algorithm's are words.
                words.join(if task.has_answer() { " " } else { "" })
            }
            Words::None => ids.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        })
    }

    /// The ids that end a text, as its tokenizer calls them.
    pub(crate) fn ends(&self) -> Vec<u32> {
        const NAMES: [&str; 7] =
            ["<|endoftext|>", "</s>", "<eos>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>"];
        match &self.words {
            Words::Tokenizer(tokenizer) => NAMES.iter().filter_map(|name| tokenizer.token_id(name)).collect(),
            Words::Task(_) | Words::None => Vec::new(),
        }
    }
}

/// The last part of a path that says something.
fn name_of(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    whole.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// `30 layers, 9 heads, 134.5 M parameters`.
fn size(model: &Transformer) -> String {
    let a = &model.config().architecture;
    let (layers, heads) = (say::count(a.n_layers, "layer"), say::count(a.n_heads, "head"));
    let shared =
        if a.kv_heads() == a.n_heads { String::new() } else { format!(" ({} for keys)", a.kv_heads()) };
    format!("{layers}, {heads}{shared}, width {}", a.d_model)
}

/// The folder that holds what the Hub has under this id, or the `.gguf` file of it.
#[cfg(feature = "hub")]
fn hub(text: &str) -> Result<PathBuf> {
    use attnlab_pretrained::hub::{HubId, HubOptions, Transfer, fetch};

    let id = HubId::parse(text).ok_or_else(|| unknown(text))?;
    let bar = std::sync::Arc::new(crate::progress::Download::default());
    let told = std::sync::Arc::clone(&bar);
    let tell = move |transfer: &Transfer| told.tell(&transfer.file, transfer.done, transfer.total);
    Ok(fetch(&id, &HubOptions::default(), Some(std::sync::Arc::new(tell)))?)
}

/// Without the Hub every model is a path.
#[cfg(not(feature = "hub"))]
fn hub(text: &str) -> Result<PathBuf> {
    Err(unknown(text).into())
}

fn unknown(text: &str) -> Usage {
    let hub = if cfg!(feature = "hub") {
        "no Hub id (owner/name)"
    } else {
        "this program was built without the Hub"
    };
    Usage(format!(
        "`{text}`: no such file or folder, and {hub}; give a folder with config.json and model.safetensors, a .gguf \
         file, a run's folder, or `demo`"
    ))
}
