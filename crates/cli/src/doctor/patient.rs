//! Whom the doctor sees: a model, and the texts it reads.

use std::path::Path;

use anyhow::Result;
use attnlab_heads::analysis::{Input, Targets};
use attnlab_ops::Streams;
use attnlab_runner::Trained;
use attnlab_tasks::{Batch, IGNORE, Labels, Split};

use crate::Usage;
use crate::model::{Model, Precision};
use crate::texts::{Texts, are_tokens_of};

/// Tokens of a text where nobody says how many.
const LENGTH: usize = 256;
/// The built-in text: the first chapters of Pride and Prejudice (1813), in the public domain.
const TEXT: &str = include_str!("../../../../configs/data/pride_and_prejudice.txt");

/// A model and what it reads.
pub(super) struct Patient {
    pub(super) model: Model,
    pub(super) inputs: Vec<Input>,
    /// What the texts are, in words.
    pub(super) texts: String,
}

impl Patient {
    /// Opens a model and chooses `count` texts of `length` for it: the user's; else of a run its own task, unless that is
    /// text; else the built-in one.
    pub(super) fn open(name: &str, given: &Texts, (count, length): (usize, Option<usize>)) -> Result<Self> {
        let path = Path::new(name);
        if given.is_empty() && path.is_dir() && Trained::is_run(path) {
            let trained = Trained::open(path)?;
            let length = length.unwrap_or(trained.run.train.lengths[1]);
            return Self::of_run(name_of(path), trained, count, length);
        }
        let model = Model::open(name, given.ids_only(), Precision::F32)?;
        let longest = model.transformer.config().max_len;
        let length = length.unwrap_or(LENGTH).min(longest);
        if given.is_empty() {
            let inputs = pieces(&model, TEXT, (count, length))?;
            let texts = format!("the built-in text (Pride and Prejudice), {}", shape(&inputs));
            return Ok(Self { model, inputs, texts });
        }
        if let Some(text) = given.whole_file()? {
            let inputs = pieces(&model, &text, (count, length))?;
            let texts = format!("the given file, {}", shape(&inputs));
            return Ok(Self { model, inputs, texts });
        }
        let given = given.read(&model)?.into_iter();
        let inputs: Vec<Input> =
            given.map(|text| Input { segments: text.segments, ..Input::new(text.ids) }).collect();
        let texts = format!("the given texts, {}", shape(&inputs));
        Ok(Self { model, inputs, texts })
    }

    /// A run's model on sequences of its task's test split, whose labels are the targets.
    pub(super) fn of_run(name: String, trained: Trained, count: usize, length: usize) -> Result<Self> {
        let task = trained.task.as_ref();
        if !task.admits(length) {
            let [from, to] = trained.run.train.lengths;
            return Err(Usage(format!(
                "--length {length}: {} has no sequences of this length; it was trained on {from} to {to}",
                task.label()
            ))
            .into());
        }
        let most = trained.model.config().max_len;
        if task.token_len(length) > most {
            return Err(Usage(format!(
                "--length {length}: that is {} tokens, and the model was built for {most}",
                task.token_len(length)
            ))
            .into());
        }
        let mut rng = Streams::new(trained.run.seed).rng("doctor", 0);
        let batch = task.batch(Split::Test, count, length, &mut rng)?;
        let inputs = inputs_of(&batch);
        let texts = format!("the run's own task, {}: {}", task.label(), shape(&inputs));
        Ok(Self { model: Model::trained(name, trained), inputs, texts })
    }
}

/// The last part of a path.
pub(super) fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The sequences of a batch with their labels as targets; labels that are sets have no single target.
fn inputs_of(batch: &Batch) -> Vec<Input> {
    let labels = |row: usize| match &batch.labels {
        Labels::Classes(classes) => {
            let of_row = classes[row * batch.len..(row + 1) * batch.len].iter().enumerate();
            of_row.filter(|(_, class)| **class != IGNORE).map(|(at, class)| (at, *class)).collect()
        }
        Labels::Sets { .. } => Vec::new(),
    };
    let input = |row: usize| Input {
        targets: Targets::At(labels(row)),
        ..Input::new(&batch.tokens[row * batch.len..(row + 1) * batch.len])
    };
    (0..batch.rows).map(input).collect()
}

/// `count` pieces of `length` tokens of a text, spread over it, each with the special tokens that the checkpoint puts
/// around one.
fn pieces(model: &Model, text: &str, (count, length): (usize, usize)) -> Result<Vec<Input>> {
    let ids = model.encode(text, true)?;
    let around = model.encode("", false).unwrap_or_default();
    let (before, after) = around.split_at(around.len().min(1));
    let own = length.saturating_sub(around.len());
    if own == 0 {
        return Err(
            Usage(format!("--length {length}: there is no room for text beside special tokens")).into()
        );
    }
    let whole = (ids.len() / own).max(1);
    let count = count.min(whole);
    let piece = |at: usize| {
        let from = at * whole / count * own;
        let ids = ids[from..(from + own).min(ids.len())].iter();
        Input::new(before.iter().chain(ids).chain(after).copied().collect::<Vec<u32>>())
    };
    let inputs: Vec<Input> = (0..count).map(piece).collect();
    for input in &inputs {
        are_tokens_of(model, "the text", &input.tokens)?;
    }
    Ok(inputs)
}

/// `16 texts of 256 tokens`.
fn shape(inputs: &[Input]) -> String {
    let lengths = || inputs.iter().map(Input::len);
    let (least, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
    let tokens = if least == most { most.to_string() } else { format!("{least} to {most}") };
    format!("{} of {tokens} tokens", crate::say::count(inputs.len(), "text"))
}
