//! What a model is asked to read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use attnlab_heads::Repeat;
use rand::Rng as _;

use crate::Usage;
use crate::model::Model;

/// Where tokens come from: exactly one of these.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Texts {
    /// A text; several may be given and are compared.
    #[arg(long, value_name = "TEXT", group = "source")]
    prompt: Vec<String>,
    /// A file that holds one text.
    #[arg(long, value_name = "FILE", group = "source")]
    text_file: Option<PathBuf>,
    /// A file of which each line is a text: statistics are means over texts, with confidence intervals.
    #[arg(long, value_name = "FILE", group = "source")]
    lines: Option<PathBuf>,
    /// Token ids, `1,2,3`; rows of a batch are separated by `;`. No tokenizer is asked, no special token added.
    #[arg(long, value_name = "IDS", group = "source")]
    tokens: Option<String>,
    /// A file with token ids, written as for --tokens.
    #[arg(long, value_name = "FILE", group = "source")]
    tokens_file: Option<PathBuf>,
    /// Random tokens, so many, said twice: what induction heads answer to. Begins with the checkpoint's first special
    /// token, if it has one.
    #[arg(long, value_name = "N", group = "source")]
    repeat: Option<usize>,
    /// Segment ids, written as --tokens (BERT's token types).
    #[arg(long, value_name = "IDS", requires = "tokens")]
    token_types: Option<String>,
    /// Read no more than so many tokens of each text.
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Add no special tokens around a text.
    #[arg(long)]
    no_special: bool,
    /// Where random tokens come from.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// A text as a model reads it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// What it is called.
    pub(crate) label: String,
    pub(crate) ids: Vec<u32>,
    pub(crate) segments: Option<Vec<u32>>,
    /// The sequence that is said twice, if it is nothing else.
    pub(crate) repeated: Option<Repeat>,
}

impl Texts {
    /// Whether there are ids only, and no tokenizer is needed.
    pub(crate) fn ids_only(&self) -> bool {
        self.tokens.is_some() || self.tokens_file.is_some()
    }

    /// Whether nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        let files = [&self.text_file, &self.lines, &self.tokens_file];
        let given = files.iter().any(|file| file.is_some()) || self.tokens.is_some() || self.repeat.is_some();
        self.prompt.is_empty() && !given
    }

    /// What the file of --text-file holds, to be cut into several texts.
    pub(crate) fn whole_file(&self) -> Result<Option<String>> {
        self.text_file.as_deref().map(read_text).transpose()
    }

    /// One more text.
    pub(crate) fn add(&mut self, text: &str) {
        self.prompt.push(text.to_owned());
    }

    /// Whether each line of a file is one: then means over all of them are wanted.
    pub(crate) fn are_lines(&self) -> bool {
        self.lines.is_some()
    }

    /// The texts, each with at least one token that the model has.
    pub(crate) fn read(&self, model: &Model) -> Result<Vec<Text>> {
        let mut texts = self.given(model)?;
        if let Some(most) = self.max_tokens {
            for text in &mut texts {
                text.ids.truncate(most.max(1));
                if let Some(segments) = &mut text.segments {
                    segments.truncate(most.max(1));
                }
            }
        }
        for text in &texts {
            are_tokens_of(model, &text.label, &text.ids)?;
        }
        Ok(texts)
    }

    fn given(&self, model: &Model) -> Result<Vec<Text>> {
        let encoded = |label: String, text: &str| -> Result<Text> {
            Ok(Text { label, ids: model.encode(text, self.no_special)?, segments: None, repeated: None })
        };
        if let Some(file) = &self.text_file {
            return Ok(vec![encoded(file.display().to_string(), read_text(file)?.trim_end())?]);
        }
        if let Some(file) = &self.lines {
            let text = read_text(file)?;
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            let texts: Vec<Text> =
                lines.map(|(at, line)| encoded(format!("line {}", at + 1), line)).collect::<Result<_>>()?;
            if texts.is_empty() {
                return Err(Usage(format!("{}: there are no lines in it", file.display())).into());
            }
            return Ok(texts);
        }
        if let Some(ids) = &self.tokens {
            return self.rows("--tokens", ids);
        }
        if let Some(file) = &self.tokens_file {
            return self.rows(&file.display().to_string(), &read_text(file)?);
        }
        if let Some(len) = self.repeat {
            return Ok(vec![self.repeated(model, len)?]);
        }
        let short = |text: &str| {
            let line = text.lines().next().unwrap_or_default();
            let cut: String = line.chars().take(40).collect();
            if cut.len() < text.len() { format!("{cut}…") } else { cut }
        };
        self.prompt.iter().map(|text| encoded(format!("“{}”", short(text)), text)).collect()
    }

    fn rows(&self, what: &str, text: &str) -> Result<Vec<Text>> {
        let rows = numbers(what, text)?;
        let segments = match &self.token_types {
            Some(text) => Some(numbers("--token-types", text)?),
            None => None,
        };
        if let Some(segments) = &segments {
            let shape = |rows: &[Vec<u32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
            if shape(segments) != shape(&rows) {
                let (found, expected) = (shape(segments), shape(&rows));
                let problem = format!(
                    "--token-types has rows of {found:?} ids, --tokens of {expected:?}; they must be alike"
                );
                return Err(Usage(problem).into());
            }
        }
        let row = |(at, ids): (usize, Vec<u32>)| Text {
            label: format!("row {}", at + 1),
            segments: segments.as_ref().and_then(|rows| rows.get(at).cloned()),
            repeated: Repeat::find(&ids),
            ids,
        };
        Ok(rows.into_iter().enumerate().map(row).collect())
    }

    fn repeated(&self, model: &Model, len: usize) -> Result<Text> {
        // No model reads more; a slip of the finger must not fill the memory.
        const MOST: usize = 1 << 20;
        if !(2..=MOST).contains(&len) {
            return Err(Usage(format!(
                "--repeat {len}: a sequence that is said twice has 2 to {MOST} tokens"
            ))
            .into());
        }
        let vocab = model.transformer.config().vocab_size as u32;
        let special = if model.has_words() && !self.no_special {
            model.encode("", false).unwrap_or_default()
        } else {
            Vec::new()
        };
        let mut ids: Vec<u32> = special.into_iter().take(1).collect();
        let first = ids.len();
        let mut rng = attnlab_ops::Streams::new(self.seed).rng("repeat", 0);
        // The first ids are special tokens in most vocabularies that are large enough to leave some out.
        let least = if vocab > 1000 { vocab / 50 } else { 0 };
        let said: Vec<u32> = (0..len).map(|_| rng.random_range(least..vocab)).collect();
        ids.extend(said.iter().chain(&said));
        let label = format!("{len} random tokens said twice");
        Ok(Text { label, ids, segments: None, repeated: Some(Repeat { start: first, period: len }) })
    }
}

/// Refuses a text without tokens, and one with tokens that the model does not have.
pub(crate) fn are_tokens_of(model: &Model, label: &str, ids: &[u32]) -> Result<()> {
    if ids.is_empty() {
        return Err(Usage(format!("{label}: there are no tokens in it")).into());
    }
    let vocab = model.transformer.config().vocab_size;
    if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
        let most = vocab - 1;
        let problem = format!("{label}: token id {id} is beyond the model's vocabulary, 0 to {most}");
        return Err(Usage(problem).into());
    }
    Ok(())
}

/// A file as text.
pub(crate) fn read_text(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("could not read {} as text", file.display()))
}

/// `1,2,3;4,5,6` as rows of numbers.
pub(crate) fn numbers(what: &str, text: &str) -> Result<Vec<Vec<u32>>> {
    let row = |row: &str| -> Result<Vec<u32>> {
        let number = |word: &str| {
            let problem = || {
                Usage(format!("{what}: `{word}` is no token id; expected numbers such as 1,2,3 or 1,2;3,4"))
            };
            word.parse::<u32>().map_err(|_| problem().into())
        };
        row.split(|c: char| c == ',' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(number)
            .collect()
    };
    let rows: Vec<Vec<u32>> = text.trim().trim_end_matches(';').split(';').map(row).collect::<Result<_>>()?;
    match rows.iter().position(Vec::is_empty) {
        Some(at) => Err(Usage(format!("{what}: row {} has no ids", at + 1)).into()),
        None => Ok(rows),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn rows_of_numbers_are_read_with_commas_spaces_and_a_last_semicolon() {
        let rows = |text| numbers("--tokens", text).unwrap();
        assert_eq!(rows("1,2,3"), [[1, 2, 3]]);
        assert_eq!(rows(" 1, 2 3\n"), [[1, 2, 3]]);
        assert_eq!(rows("1,2;3"), [vec![1, 2], vec![3]]);
        assert_eq!(rows("1;2;"), [[1], [2]]);
        assert_eq!(rows("4294967295"), [[u32::MAX]]);
    }

    #[test]
    fn what_is_no_number_is_refused_and_quoted() {
        for (text, quoted) in [
            ("1,x,3", "`x`"),
            ("-1", "`-1`"),
            ("1.5", "`1.5`"),
            ("4294967296", "`4294967296`"),
            ("", "row 1"),
            (";", "row 1"),
            ("1;;2", "row 2"),
        ] {
            let error = numbers("--tokens", text).unwrap_err();
            assert!(error.is::<Usage>(), "{text}");
            assert!(error.to_string().contains("--tokens"), "{text}: {error}");
            assert!(error.to_string().contains(quoted), "{text}: {error}");
        }
    }
}
