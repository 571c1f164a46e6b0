//! Natural text: windows of a file, every position labelled with the token that comes next.
//!
//! The problem length is the context length: a sequence of `length` tokens with `length` labels. With `<bos>` the
//! first token is `<bos>` and its label the first token of the window; without, tokens and labels are two windows one
//! apart. The last part of the file, `validation` of its tokens, is for [`Split::Test`] alone; training windows never
//! reach into it. Windows start anywhere with equal chance.
//!
//! A path says nothing of what the file holds: a resolved configuration has a digest that the file is held to.

mod files;

use std::path::{Path, PathBuf};

use files::Files;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::registry::{Class, Info, Kind, Setting};
use crate::{Batch, Labelling, Labels, Protocol, Rng, Split, Task, TaskError};

/// Options of `text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The text file. There is no default.
    pub path: PathBuf,
    /// `bytes` (256 tokens, the default) or the path of a Hugging Face tokenizer.json, which needs UTF-8 text.
    pub tokens: String,
    /// Fraction of the tokens at the end that is held out, above 0 and below 1 (default 0.1).
    pub validation: f64,
    /// What the files must hold: 16 hexadecimal digits, the FNV-1a hash of the text's bytes followed by those of the
    /// tokenizer.json, if there is one. Default: whatever they hold; a resolved configuration has it filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config { path: PathBuf::new(), tokens: "bytes".into(), validation: 0.1, digest: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "text",
        title: "Text",
        class: Class::Text,
        protocols: &[Protocol::Language],
        definition: "A window of a file → at every position the next token. The length is the context length, <bos> \
                     included (`bos = false` leaves it out); the end of the file is held out for the test.",
        expected: "Loss rises beyond the training context under absolute encodings; attention sinks, dormant heads \
                   and redundant maps appear here first.",
        source: "language modelling; the shipped excerpt is Austen 1813, in the public domain",
        example: "kind = \"text\"\npath = \"configs/data/pride_and_prejudice.txt\"\ntokens = \"bytes\"\nvalidation = 0.1\n",
    };

    fn resolved(&self, root: &Path) -> Result<Self, TaskError> {
        self.check()?;
        let digest = Files::read(self, root)?.digest(self)?;
        Ok(Config { digest: Some(digest), ..self.clone() })
    }

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(Box::new(Text::open(self, setting.bos, setting.root)?))
    }
}

/// A tokenised file.
pub(crate) struct Text {
    label: String,
    train: Vec<u32>,
    test: Vec<u32>,
    vocabulary: Vec<String>,
    /// The id of `<bos>`, if sequences begin with it.
    bos: Option<u32>,
    /// None for bytes.
    tokenizer: Option<Tokenizer>,
}

impl Text {
    /// Reads and tokenises a file; relative paths are relative to `root`.
    pub(crate) fn open(config: &Config, bos: bool, root: &Path) -> Result<Self, TaskError> {
        config.check()?;
        let files = Files::read(config, root)?;
        if config.digest.is_some() {
            files.digest(config)?;
        }
        let Files { path, text: bytes, tokenizer } = files;
        let tokenizer = tokenizer.map(|(path, bytes)| load(&path, &bytes)).transpose()?;
        let (mut train, mut vocabulary) = match &tokenizer {
            None => (bytes.into_iter().map(u32::from).collect(), byte_names()),
            Some(tokenizer) => {
                let text = String::from_utf8(bytes).map_err(|error| TaskError::Config {
                    kind: "text",
                    field: "path",
                    found: path.display().to_string(),
                    expected: "UTF-8 text for a tokenizer".into(),
                    remedy: format!("convert it ({error}) or use tokens = \"bytes\""),
                })?;
                (encode(tokenizer, &text, &config.tokens)?, token_names(tokenizer))
            }
        };
        let bos = bos.then(|| {
            vocabulary.push("<bos>".into());
            vocabulary.len() as u32 - 1
        });
        let held_out = (train.len() as f64 * config.validation).round() as usize;
        let test = train.split_off(train.len().saturating_sub(held_out));
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let label = format!("text ({}, {})", name(&path), name(Path::new(&config.tokens)));
        let text = Text { label, train, test, vocabulary, bos, tokenizer };
        if text.max_length() == Some(0) {
            return Err(TaskError::Config {
                kind: "text",
                field: "path",
                found: format!("{} with {} tokens", path.display(), text.train.len() + text.test.len()),
                expected: "enough for a window in the training part and in the held-out part".into(),
                remedy: "give a longer text or another `validation`".into(),
            });
        }
        Ok(text)
    }

    /// The tokens of a split, in order.
    fn tokens(&self, split: Split) -> &[u32] {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// Tokens of the file that a sequence of the given length takes.
    fn window(&self, length: usize) -> usize {
        length.saturating_add(usize::from(self.bos.is_none()))
    }
}

impl Config {
    fn check(&self) -> Result<(), TaskError> {
        let wrong = |field, found: String, expected: &str, remedy: &str| {
            let (expected, remedy) = (expected.to_owned(), remedy.to_owned());
            Err(TaskError::Config { kind: "text", field, found, expected, remedy })
        };
        if self.path.as_os_str().is_empty() {
            return wrong("path", "empty".into(), "a text file", "set path = \"FILE\"");
        }
        // Written so that NaN is refused too.
        if !(self.validation > 0.0 && self.validation < 1.0) {
            let found = self.validation.to_string();
            return wrong("validation", found, "above 0 and below 1", "0.1 is usual");
        }
        Ok(())
    }
}

impl Task for Text {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn setting(&self) -> String {
        let bos = if self.bos.is_some() { "" } else { ", no bos" };
        format!("next token{bos}")
    }

    fn vocabulary(&self) -> &[String] {
        &self.vocabulary
    }

    fn output_names(&self) -> &[String] {
        &self.vocabulary
    }

    fn labels_are_sets(&self) -> bool {
        false
    }

    fn causal(&self) -> bool {
        true
    }

    fn has_answer(&self) -> bool {
        false
    }

    fn max_length(&self) -> Option<usize> {
        let shorter = self.train.len().min(self.test.len());
        Some(shorter.saturating_sub(self.window(0)))
    }

    fn admits(&self, length: usize) -> bool {
        length >= 1 && self.max_length().is_some_and(|max| length <= max)
    }

    fn token_len(&self, length: usize) -> usize {
        length
    }

    fn batch_as(
        &self,
        split: Split,
        rows: usize,
        length: usize,
        labelling: Labelling,
        rng: &mut Rng,
    ) -> Result<Batch, TaskError> {
        if labelling != Labelling::True {
            return Err(TaskError::Labelling { task: self.label(), found: labelling });
        }
        if !self.admits(length) {
            let max = self.max_length().unwrap_or(0);
            let expected = format!("1 to {max}, what both parts of the file hold");
            return Err(TaskError::Length { task: self.label(), length, expected });
        }
        let text = self.tokens(split);
        let window = self.window(length);
        let mut tokens = Vec::with_capacity(rows * length);
        let mut classes = Vec::with_capacity(rows * length);
        for _ in 0..rows {
            let start = rng.random_range(0..=(text.len() - window) as u64) as usize;
            let window = &text[start..start + window];
            tokens.extend(self.bos);
            tokens.extend_from_slice(&window[..window.len() - 1]);
            classes.extend_from_slice(&window[window.len() - length..]);
        }
        Ok(Batch { rows, len: length, tokens, labels: Labels::Classes(classes) })
    }

    fn encode(&self, prompt: &str) -> Result<Vec<u32>, TaskError> {
        match &self.tokenizer {
            None => Ok(prompt.bytes().map(u32::from).collect()),
            Some(tokenizer) => encode(tokenizer, prompt, &self.label),
        }
    }
}

fn load(path: &Path, bytes: &[u8]) -> Result<Tokenizer, TaskError> {
    let unusable = |reason: String| TaskError::Tokenizer { path: path.to_owned(), reason };
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| unusable(e.to_string()))?;
    // A file made for batches would cut the text at its model's length.
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(|e| unusable(e.to_string()))?;
    Ok(tokenizer)
}

/// Ids of a text without special tokens.
fn encode(tokenizer: &Tokenizer, text: &str, what: &str) -> Result<Vec<u32>, TaskError> {
    let encoding = tokenizer
        .encode_fast(text, false)
        .map_err(|error| TaskError::Tokenizer { path: PathBuf::from(what), reason: error.to_string() })?;
    Ok(encoding.get_ids().to_vec())
}

fn token_names(tokenizer: &Tokenizer) -> Vec<String> {
    // Ids may have gaps, so the size is one more than the largest.
    let largest = tokenizer.get_vocab(true).into_values().max();
    let name = |id| tokenizer.id_to_token(id).unwrap_or_else(|| format!("<{id}>"));
    largest.map(|largest| (0..=largest).map(name).collect()).unwrap_or_default()
}

/// Printable ASCII as it is, space as ␣, the rest escaped as in \n or \xff.
fn byte_names() -> Vec<String> {
    let name = |byte: u8| match byte {
        b' ' => "␣".to_owned(),
        b'!'..=b'~' => char::from(byte).to_string(),
        other => other.escape_ascii().to_string(),
    };
    (0..=u8::MAX).map(name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rand::SeedableRng;

    use super::*;

    const WORDS: &str = r#"{"version":"1.0","truncation":{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0},
        "padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,
        "decoder":null,"model":{"type":"WordLevel","vocab":{"?":0,"one":1,"two":2,"six":5},"unk_token":"?"}}"#;

    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("t.txt"), text).unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), WORDS).unwrap();
        folder
    }

    fn config(tokens: &str) -> Config {
        Config { path: "t.txt".into(), tokens: tokens.into(), validation: 0.25, digest: None }
    }

    #[test]
    fn labels_are_the_next_tokens_at_every_position() {
        let folder = folder("abcdefghijklmnopqrst");
        for bos in [true, false] {
            let task = Text::open(&config("bytes"), bos, folder.path()).unwrap();
            let batch = task.batch(Split::Train, 50, 4, &mut Rng::seed_from_u64(0)).unwrap();
            let Labels::Classes(classes) = &batch.labels else { panic!("not classes") };
            assert_eq!(batch.len, 4);
            for (tokens, classes) in batch.tokens.chunks(4).zip(classes.chunks(4)) {
                assert_eq!(tokens[1..], classes[..3]);
                let first = if bos { 256 } else { classes[0] - 1 };
                assert_eq!(tokens[0], first);
                assert!(classes.windows(2).all(|pair| pair[1] == pair[0] + 1));
            }
        }
    }

    #[test]
    fn the_end_of_the_file_is_for_the_test_alone_and_all_of_it_is_reached() {
        let folder = folder("abcdefghijklmnopqrst");
        for bos in [true, false] {
            let task = Text::open(&config("bytes"), bos, folder.path()).unwrap();
            let seen = |split| {
                let batch = task.batch(split, 400, 2, &mut Rng::seed_from_u64(1)).unwrap();
                let Labels::Classes(mut all) = batch.labels else { panic!("not classes") };
                all.extend(batch.tokens.into_iter().filter(|t| *t != 256));
                all.sort_unstable();
                all.dedup();
                all
            };
            assert_eq!(seen(Split::Train), (u32::from(b'a')..=u32::from(b'o')).collect::<Vec<_>>());
            assert_eq!(seen(Split::Test), (u32::from(b'p')..=u32::from(b't')).collect::<Vec<_>>());
            assert_eq!(task.tokens(Split::Test).len(), 5);
        }
    }

    #[test]
    fn a_context_longer_than_a_part_of_the_file_is_an_error() {
        let folder = folder("abcdefghijklmnopqrst");
        let with = Text::open(&config("bytes"), true, folder.path()).unwrap();
        let without = Text::open(&config("bytes"), false, folder.path()).unwrap();
        assert_eq!((with.max_length(), without.max_length()), (Some(5), Some(4)));
        let mut rng = Rng::seed_from_u64(0);
        assert!(with.batch(Split::Test, 1, 5, &mut rng).is_ok());
        for length in [0, 6, usize::MAX] {
            let error = with.batch(Split::Train, 1, length, &mut rng).unwrap_err().to_string();
            assert!(error.contains("1 to 5"), "{error}");
        }
    }

    #[test]
    fn a_tokenizer_file_gives_its_ids_and_names_and_its_truncation_is_lifted() {
        let folder = folder("one two six one two seven one two");
        let task = Text::open(&config("tokenizer.json"), true, folder.path()).unwrap();
        assert_eq!(task.vocabulary(), ["?", "one", "two", "<3>", "<4>", "six", "<bos>"]);
        assert_eq!(task.tokens(Split::Train), [1, 2, 5, 1, 2, 0]);
        assert_eq!(task.tokens(Split::Test), [1, 2]);
        assert_eq!(task.encode("six two").unwrap(), [5, 2]);
        assert_eq!(task.label(), "text (t.txt, tokenizer.json)");
    }

    #[test]
    fn a_resolved_configuration_is_held_to_what_its_files_held() {
        let folder = folder("one two six one two seven one two");
        let write = |file: &str, bytes: &str| std::fs::write(folder.path().join(file), bytes).unwrap();
        let resolved = |tokens: &str| config(tokens).resolved(folder.path()).unwrap();
        let (bytes, words) = (resolved("bytes"), resolved("tokenizer.json"));
        assert_eq!(bytes.resolved(folder.path()).unwrap(), bytes);
        assert_ne!(bytes.digest, words.digest);
        assert!(Text::open(&words, true, folder.path()).is_ok());

        write("tokenizer.json", &WORDS.replace("six", "ten"));
        assert!(Text::open(&bytes, true, folder.path()).is_ok(), "bytes need no tokenizer");
        let error = Text::open(&words, true, folder.path()).err().unwrap().to_string();
        assert!(error.contains("t.txt with ") && error.contains("tokenizer.json"), "{error}");
        write("tokenizer.json", WORDS);
        assert_eq!(resolved("tokenizer.json"), words);

        write("t.txt", "one two six one two seven one six");
        assert_ne!(resolved("bytes").digest, bytes.digest);
        for config in [&bytes, &words] {
            for error in [
                config.resolved(folder.path()).unwrap_err(),
                Text::open(config, true, folder.path()).err().unwrap(),
            ] {
                let error = error.to_string();
                assert!(
                    error.contains("the text has changed since this configuration was resolved"),
                    "{error}"
                );
                assert!(error.contains(config.digest.as_ref().unwrap()), "{error}");
            }
        }
    }

    #[test]
    fn bytes_are_named_readably() {
        let folder = folder("abcdefgh");
        let task = Text::open(&config("bytes"), false, folder.path()).unwrap();
        let name = |byte: u8| task.vocabulary()[byte as usize].as_str();
        assert_eq!([name(b'A'), name(b' '), name(b'\n'), name(255)], ["A", "␣", "\\n", "\\xff"]);
        assert_eq!(task.outputs(), 256);
        assert_eq!(task.encode("é").unwrap(), [0xc3, 0xa9]);
    }

    #[test]
    fn bad_files_and_fractions_are_errors_that_name_them() {
        let folder = folder("x");
        let error = |config: Config| Text::open(&config, true, folder.path()).err().unwrap().to_string();
        assert!(error(Config::default()).contains("task.text.path is empty"));
        assert!(error(Config { path: "no.txt".into(), ..config("bytes") }).contains("no.txt"));
        assert!(error(Config { validation: 1.0, ..config("bytes") }).contains("task.text.validation is 1"));
        assert!(error(Config { validation: f64::NAN, ..config("bytes") }).contains("NaN"));
        assert!(error(config("t.txt")).contains("no usable tokenizer.json"));
        assert!(error(config("bytes")).contains("with 1 tokens"));
    }
}
