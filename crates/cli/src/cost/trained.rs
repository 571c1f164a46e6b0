//! `attnlab cost --model MODEL`: a trained model that sees less, and what that saves.

use std::cell::OnceCell;
use std::path::PathBuf;

use anyhow::Result;
use attnlab_report::cost::saved_table;
use attnlab_runner::cost::{Span, saved};
use attnlab_runner::write_file;

use super::{Arguments, style};
use crate::model::{Model, Precision};
use crate::progress::Slow;
use crate::texts::{are_tokens_of, read_text};
use crate::{End, Usage, demo, say};

#[derive(clap::Args)]
pub(super) struct Options {
    /// A trained causal language model: a folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id, or `demo`.
    #[arg(long, value_name = "MODEL", conflicts_with = "config")]
    pub(super) model: Option<String>,
    /// What it reads [default: the built-in sample].
    #[arg(long, value_name = "FILE", requires = "model")]
    text_file: Option<PathBuf>,
    /// Tokens of a piece of the text.
    #[arg(long, value_name = "T", default_value_t = 256, requires = "model")]
    tokens: usize,
    /// Pieces at most, from the beginning of the text.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "model")]
    pieces: usize,
    /// Keys that a query keeps, by each of the forms.
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_values_t = [16, 32, 64, 128], requires = "model")]
    keys: Vec<usize>,
}

pub(super) fn run(name: &str, arguments: &Arguments) -> Result<End> {
    let options = &arguments.trained;
    let spans = spans(arguments)?;
    if arguments.html.is_some() {
        return Err(Usage("--html: with --model there is a table and --json, but no page".to_owned()).into());
    }
    let model = Model::open(name, false, Precision::F32)?;
    let (label, text) = match &options.text_file {
        Some(file) => (file.display().to_string(), read_text(file)?),
        None => ("the built-in sample".to_owned(), demo::TEXT.to_owned()),
    };
    let ids = model.encode(text.trim_end(), true)?;
    are_tokens_of(&model, &label, &ids)?;
    let whole = ids.chunks_exact(options.tokens).take(options.pieces);
    let pieces: Vec<Vec<u32>> = whole.map(<[u32]>::to_vec).collect();
    if pieces.is_empty() {
        let problem = format!(
            "{label} has {} tokens, not one piece of {}; give fewer with --tokens",
            ids.len(),
            options.tokens
        );
        return Err(Usage(problem).into());
    }
    let bar = OnceCell::new();
    let progress = |done, all| bar.get_or_init(|| Slow::new("reading", all)).reach(done);
    let mut found = saved(&model.transformer, &pieces, &spans, &progress)?;
    drop(bar);
    (found.model, found.text) = (model.name, label);
    say::result(saved_table(&found, style()))?;
    if let Some(path) = &arguments.json {
        write_file(path, serde_json::to_string_pretty(&found)?.as_bytes())?;
    }
    Ok(End::Success)
}

/// Each form with so many keys a query: the sinks are some of them, and so is a query's own block.
fn spans(arguments: &Arguments) -> Result<Vec<Span>, Usage> {
    let Options { tokens, pieces, keys, .. } = &arguments.trained;
    let (sinks, block) = (arguments.sinks, arguments.block);
    if *tokens < 2 || *pieces == 0 || block == 0 || keys.contains(&0) {
        let problem = "--tokens must be at least 2, --pieces, --block and each of --keys at least 1";
        return Err(Usage(problem.to_owned()));
    }
    let mut spans: Vec<Span> = keys.iter().map(|&keys| Span::Window(keys)).collect();
    let with_sinks = keys.iter().filter(|&&keys| keys > sinks);
    spans.extend(with_sinks.map(|&keys| Span::WindowSinks { window: keys - sinks, sinks }));
    let blocks = keys.iter().filter(|&&keys| keys >= block);
    spans.extend(blocks.map(|&keys| Span::Blocks { block, keep: keys / block - 1 }));
    spans.extend(keys.iter().map(|&keys| Span::TopK(keys)));
    Ok(spans)
}
