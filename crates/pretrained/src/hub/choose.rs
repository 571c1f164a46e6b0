//! Which of a repository's files a model needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::{HubId, refuse};
use crate::error::{PretrainedError, Result, short, some};
use crate::tensors::read_text;

/// The index of a checkpoint in shards.
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The longest index that is read.
const LONGEST_INDEX: u64 = 64 << 20;

/// The files to have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Their names.
    pub(super) files: Vec<String>,
    /// Whether the index's shards are wanted too.
    pub(super) sharded: bool,
    /// The file that is the model; where there is none, the folder is.
    pub(super) lead: Option<String>,
}

/// What a model needs of the files at the top of its repository.
pub(super) fn plan(id: &HubId, names: &[&str]) -> Result<Plan> {
    let has = |name: &str| names.contains(&name);
    let ending = |end: &str| -> Vec<String> {
        let ends = |name: &&&str| !name.contains('/') && name.to_lowercase().ends_with(end);
        names.iter().filter(ends).map(|name| (*name).to_owned()).collect()
    };
    let ggufs = ending(".gguf");
    let whole = |name: String| Ok(Plan { files: vec![name.clone()], sharded: false, lead: Some(name) });
    if let Some(file) = &id.file {
        if has(file) {
            return whole(file.clone());
        }
        let there = if ggufs.is_empty() { "no GGUF files".to_owned() } else { some(&ggufs) };
        return Err(refuse(id, format!("there is no `{file}`; there are {there}")));
    }

    let safetensors = ending(".safetensors");
    let weights = match &safetensors[..] {
        _ if has("model.safetensors") => "model.safetensors".to_owned(),
        _ if has(INDEX) => INDEX.to_owned(),
        [one] => one.clone(),
        [] => match &ggufs[..] {
            [one] => return whole(one.clone()),
            [] if names
                .iter()
                .any(|name| name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth")) =>
            {
                let problem = "has its weights as Python pickles only, which are not read, since unpickling runs \
                               whatever code they hold; look for a revision with safetensors (such as @refs/pr/1), or \
                               convert it where torch and transformers are installed"
                    .to_owned();
                return Err(refuse(id, problem));
            }
            [] => return Err(refuse(id, "has no weights".to_owned())),
            several => {
                return Err(refuse(
                    id,
                    format!("has several GGUF files: {}; name one as {id}:FILE", some(several)),
                ));
            }
        },
        several => {
            let problem =
                format!("has several files of weights and no index: {}; download one by hand", some(several));
            return Err(refuse(id, problem));
        }
    };
    if !has("config.json") {
        return Err(refuse(id, "has no config.json, so that it is not known what model it is".to_owned()));
    }
    let sharded = weights == INDEX;
    let mut files = vec!["config.json".to_owned(), weights];
    let tokenizer = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
    // The older files, where they are all there is.
    let older = [
        "vocab.json",
        "merges.txt",
        "vocab.txt",
        "tokenizer.model",
        "spiece.model",
        "sentencepiece.bpe.model",
    ];
    let older = older.into_iter().filter(|_| !has("tokenizer.json"));
    files.extend(tokenizer.into_iter().chain(older).filter(|name| has(name)).map(str::to_owned));
    Ok(Plan { files, sharded, lead: None })
}

/// The shards that an index names. What else it says is checked when the checkpoint is opened.
pub(super) fn shards(index: &Path) -> Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = read_text(index, LONGEST_INDEX)?;
    let index_of: Index = serde_json::from_slice(&text).map_err(|e| {
        PretrainedError::corrupt(index, "index", format!("`{}`", short(&e.to_string())), "a `weight_map`")
    })?;
    Ok(index_of.weight_map.into_values().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{HubId, Plan, plan};

    fn of(id: &str, names: &[&str]) -> Result<Plan, String> {
        plan(&HubId::parse(id).unwrap(), names).map_err(|e| e.to_string())
    }

    #[test]
    fn only_what_is_needed_is_chosen() {
        let names = [
            "README.md",
            "config.json",
            "model.safetensors",
            "onnx/model.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "vocab.json",
        ];
        assert_eq!(of("a/b", &names).unwrap().files, ["config.json", "model.safetensors", "tokenizer.json"]);
        let older = ["config.json", "model.safetensors", "vocab.json", "merges.txt"];
        assert_eq!(
            of("a/b", &older).unwrap().files,
            ["config.json", "model.safetensors", "vocab.json", "merges.txt"]
        );
        assert!(of("a/b", &["config.json", "model.safetensors.index.json"]).unwrap().sharded);
        assert_eq!(of("a/b", &["x.gguf"]).unwrap().lead.unwrap(), "x.gguf");
        assert_eq!(of("a/b:y.gguf", &["x.gguf", "y.gguf"]).unwrap().lead.unwrap(), "y.gguf");
    }

    #[test]
    fn what_cannot_be_loaded_is_not_downloaded() {
        assert!(
            of("a/b", &["config.json", "pytorch_model.bin"])
                .unwrap_err()
                .contains("a/b: has its weights as Python pickles")
        );
        assert!(of("a/b", &["x.gguf", "y.gguf"]).unwrap_err().contains("name one as a/b:FILE"));
        assert!(
            of("a/b:z.gguf", &["x.gguf"]).unwrap_err().contains("there is no `z.gguf`; there are `x.gguf`")
        );
        assert!(of("a/b", &["model.safetensors"]).unwrap_err().contains("no config.json"));
        assert!(of("a/b", &["config.json"]).unwrap_err().contains("no weights"));
    }
}
