//! `attnlab list`: the registries, as tables or JSON, and one kind of task with samples of it.

mod show;

use anyhow::Result;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Value, json};

use crate::{End, Usage, say};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Of what.
    kind: Kind,
    /// One kind of task: its definition, samples under each protocol, and what guesses earn.
    #[arg(long, value_name = "NAME")]
    show: Option<String>,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Positional encodings.
    Encodings,
    /// Tasks.
    Tasks,
    /// Statistics of a head.
    Metrics,
    /// Families of checkpoints that can be opened.
    Families,
}

pub(crate) fn run(arguments: Arguments) -> Result<End> {
    match (&arguments.show, arguments.kind) {
        (Some(name), Kind::Tasks) => return show::run(name, arguments.json),
        (Some(_), _) => {
            return Err(Usage("--show is for tasks: `attnlab list tasks --show NAME`".into()).into());
        }
        (None, _) => {}
    }
    let entries = match arguments.kind {
        Kind::Encodings => encodings(),
        Kind::Tasks => tasks(),
        Kind::Metrics => metrics(),
        Kind::Families => families(),
    };
    if arguments.json {
        say::result(serde_json::to_string_pretty(&entries)?)?;
    } else {
        say::result(table(&entries))?;
    }
    Ok(End::Success)
}

fn encodings() -> Vec<Value> {
    let entry = |info: &attnlab_positions::Info| {
        json!({
            "kind": info.kind, "title": info.title, "formula": info.formula, "enters": info.enters.to_string(),
            "parameters": info.parameters, "source": info.source, "example": info.example,
        })
    };
    attnlab_positions::registry().iter().map(entry).collect()
}

fn tasks() -> Vec<Value> {
    let entry = |info: &attnlab_tasks::Info| {
        let protocols: Vec<&str> = info.protocols.iter().map(|protocol| protocol.name()).collect();
        json!({
            "kind": info.kind, "title": info.title, "class": info.class, "protocols": protocols,
            "definition": info.definition, "expected": info.expected, "source": info.source, "example": info.example,
        })
    };
    attnlab_tasks::registry().iter().map(entry).collect()
}

fn metrics() -> Vec<Value> {
    let entry = |metric: &attnlab_heads::Metric| {
        let attnlab_heads::Metric { name, title, formula, source, .. } = metric;
        json!({ "name": name, "title": title, "formula": formula, "source": source })
    };
    attnlab_heads::registry().iter().map(entry).collect()
}

fn families() -> Vec<Value> {
    let entry = |family: &attnlab_pretrained::families::Family| json!({ "title": family.title, "model_types": family.model_types });
    attnlab_pretrained::families::registry().iter().map(entry).collect()
}

/// One row an entry; the example, which is a table of its own, only in JSON.
fn table(entries: &[Value]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    let keys = |entry: &Value| -> Vec<String> {
        entry
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone())
            .filter(|key| key != "example")
            .collect()
    };
    let Some(first) = entries.first() else { return table };
    table.set_header(keys(first));
    for entry in entries {
        table.add_row(keys(entry).iter().map(|key| match &entry[key] {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        }));
    }
    table
}
