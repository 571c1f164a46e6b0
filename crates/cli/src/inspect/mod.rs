//! `attnlab inspect MODEL`: the attention heads of one model.

mod dump;
mod tensors;

use std::path::PathBuf;

use anyhow::Result;
use attnlab_heads::MapScope;
use attnlab_ops::{Threads, on_threads};

use crate::model::{Model, Precision};
use crate::texts::Texts;
use crate::{End, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A folder in Hugging Face's form, a .gguf file, a run's folder, a Hub id (owner/name), or `demo`.
    model: String,
    #[command(flatten)]
    texts: Texts,
    /// Only these layers: `0,2,5-7`.
    #[arg(long, value_name = "LIST")]
    layers: Option<String>,
    /// Only these query heads of each layer.
    #[arg(long, value_name = "LIST")]
    heads: Option<String>,
    /// Only these query rows, of maps that are written.
    #[arg(long, value_name = "LIST")]
    rows: Option<String>,
    /// Write input ids, maps, hidden states and logits as safetensors.
    #[arg(long, value_name = "FILE")]
    dump: Option<PathBuf>,
    /// Write the activations at this hook point into the dump, too: `blocks.*.attn.hook_z`. May be given several times.
    #[arg(long = "point", value_name = "NAME", requires = "dump")]
    points: Vec<String>,
    /// The numbers it computes in.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Threads [default: one a core]. Results do not depend on it.
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    let model = Model::open(&arguments.model, arguments.texts.ids_only(), arguments.precision)?;
    let anatomy = model.transformer.anatomy();
    let texts = arguments.texts.read(&model)?;
    let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
    let scope = MapScope {
        layers: dump::selection("layers", arguments.layers.as_deref(), anatomy.n_layers)?,
        heads: dump::selection("heads", arguments.heads.as_deref(), anatomy.n_heads)?,
        rows: dump::selection("rows", arguments.rows.as_deref(), longest)?,
    };
    let threads = Threads::new(crate::threads(arguments.threads))?;
    on_threads(&threads, || -> Result<()> {
        if let Some(file) = &arguments.dump {
            let entries = dump::entries(&model, &texts, &scope, &arguments.points)?;
            tensors::write(file, &entries)?;
            for entry in &entries {
                say::result(format_args!("{} {:?}", entry.name, entry.shape))?;
            }
        }
        Ok(())
    })?;
    Ok(End::Success)
}
