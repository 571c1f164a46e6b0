//! `attnlab list`: the registries, as text or JSON, and one kind of task with samples of it.

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
    /// Forms of attention.
    Attention,
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
        Kind::Attention => attention(),
        Kind::Metrics => metrics(),
        Kind::Families => families(),
    };
    if arguments.json {
        say::result(serde_json::to_string_pretty(&entries)?)?;
    } else {
        say::result(text(&entries))?;
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

fn attention() -> Vec<Value> {
    let entry = |form: &attnlab_model::Form| {
        json!({
            "name": form.name, "title": form.title, "formula": form.formula, "cost": form.cost, "effect": form.effect,
            "source": form.source, "example": form.example, "fused": form.fused,
        })
    };
    attnlab_model::registry().map(entry).collect()
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

/// A row an entry if there is little to say of each, else a paragraph.
fn text(entries: &[Value]) -> String {
    let known = entries.first().and_then(Value::as_object).map_or(0, |entry| entry.len());
    if known > 2 {
        return entries.iter().map(paragraph).collect::<Vec<_>>().join("\n\n");
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(say::width());
    table.set_header(entries.first().iter().flat_map(|entry| fields(entry)).map(|(key, _)| key));
    for entry in entries {
        table.add_row(fields(entry).map(|(_, text)| text));
    }
    table.trim_fmt()
}

/// The first two fields, name and title, in a line of their own; under it the others.
fn paragraph(entry: &Value) -> String {
    let mut fields = fields(entry);
    let heading: Vec<String> = fields.by_ref().take(2).map(|(_, text)| text).collect();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(say::width());
    for (key, text) in fields {
        table.add_row([key, &text]);
    }
    if let Some(keys) = table.column_mut(0) {
        keys.set_padding((4, 1));
    }
    format!("{}\n{}", heading.join(": "), table.trim_fmt())
}

/// What is known of an entry, in words; the lines of an example as the inline table that they are the same as.
fn fields(entry: &Value) -> impl Iterator<Item = (&str, String)> {
    entry.as_object().into_iter().flatten().map(|(key, value)| {
        let text = match value {
            Value::String(lines) if key == "example" => {
                format!("{{ {} }}", lines.lines().collect::<Vec<_>>().join(", "))
            }
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        (key.as_str(), text)
    })
}
