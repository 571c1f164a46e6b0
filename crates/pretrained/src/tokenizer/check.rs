//! What is checked of a `tokenizer.json` before the tokenizers library reads it, which panics on it: that it is JSON
//! in UTF-8, and that its merges make no token longer than the longest.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::error::{PretrainedError, Result, short};

/// Checks the text of a `tokenizer.json`. Nothing of it is kept.
pub(super) fn check(file: &Path, bytes: &[u8]) -> Result<()> {
    let refuse = |problem: String| PretrainedError::Tokenizer { file: file.to_owned(), problem };
    let text = std::str::from_utf8(bytes).map_err(|e| refuse(format!("is not UTF-8 text: {e}")))?;
    let Ok(Whole { model }) = serde_json::from_str::<Whole>(text) else {
        // Another kind of model, or no JSON at all.
        let json = serde_json::from_str::<IgnoredAny>(text);
        return json.map(drop).map_err(|e| {
            refuse(format!("is not the JSON that is expected there: {}", short(&e.to_string())))
        });
    };
    let longest = model.vocab.keys().map(|token| token.len()).max().unwrap_or(0);
    let prefix = model.continuing_subword_prefix.map_or(0, |prefix| prefix.len());
    // A merge is the first part and the second without its prefix.
    let fits = |merge: &Merge| {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.len(), right.len()),
            Merge::Line(line) => {
                line.split_once(' ').map_or((0, prefix), |(left, right)| (left.len(), right.len()))
            }
        };
        right >= prefix && left + right - prefix <= longest
    };
    if !model.merges.iter().all(fits) {
        let problem =
            "has merges that make no token of its vocabulary; vocabulary and merges are not of one model";
        return Err(refuse(problem.to_owned()));
    }
    Ok(())
}

#[derive(Deserialize)]
struct Whole<'a> {
    #[serde(borrow)]
    model: Bpe<'a>,
}

#[derive(Deserialize)]
struct Bpe<'a> {
    #[serde(borrow)]
    vocab: HashMap<Cow<'a, str>, IgnoredAny>,
    #[serde(borrow)]
    merges: Vec<Merge<'a>>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge<'a> {
    Pair(Cow<'a, str>, Cow<'a, str>),
    Line(Cow<'a, str>),
}
