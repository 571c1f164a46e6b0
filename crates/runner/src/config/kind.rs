//! Tables that name their kind: `{ kind = "rope", base = 500 }` in a file, `{ rope = { base = 500 } }` for serde.
//!
//! Serde's own way to read the first form (an internally tagged enum) buffers the table and loses where its keys
//! stand, and lets unknown keys pass for a kind without fields. So the kind is looked up here, the table is put
//! into the second form with its spans, and the way back puts the kind first.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Serialize, Serializer, ser::SerializeMap};
use toml::Spanned;
use toml::de::DeValue;

use super::hint::{Known, nearest};
use super::message::problem;
use super::source::{Problem, Sources};
use super::tree::{Node, Tree, show};

/// The table of `section` without `kind` and the keys in `common`, below its kind.
pub(crate) fn nested<'t>(
    section: &str,
    table: &Tree<'t>,
    span: Range<usize>,
    known: &[Known<'_>],
    common: &[&str],
    sources: &Sources,
) -> Result<Node<'t>, Problem> {
    let names: Vec<&str> = known.iter().map(|k| k.name).collect();
    let allowed = vec![format!("allowed values: {}", names.join(", "))];
    let Some(kind) = table.get("kind") else {
        return Err(problem(sources, Some(span), format!("`{section}.kind` is missing"), allowed));
    };
    let refuse = |message| Err(problem(sources, Some(kind.span()), message, allowed));
    let DeValue::String(name) = kind.get_ref() else {
        return refuse(format!("`{section}.kind` should be a name in quotes, not {}", show(kind.get_ref())));
    };
    if !names.contains(&name.as_ref()) {
        let unknown = format!("`{section}.kind` cannot be \"{name}\"");
        return refuse(match nearest(name, known) {
            Some(near) => format!("{unknown}; did you mean `{near}`?"),
            None => unknown,
        });
    }
    let mut rest = table.clone();
    for key in common.iter().chain(&["kind"]) {
        rest.remove(*key);
    }
    let mut outer = Tree::new();
    outer.insert(Spanned::new(kind.span(), name.clone()), Spanned::new(span.clone(), DeValue::Table(rest)));
    Ok(Spanned::new(span, DeValue::Table(outer)))
}

/// `position = "rope"` is short for `position = { kind = "rope" }`.
pub(crate) fn spelled_out(value: Node<'_>) -> Node<'_> {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(name) => {
            let mut table = Tree::new();
            let kind = Spanned::new(span.clone(), Cow::Borrowed("kind"));
            table.insert(kind, Spanned::new(span.clone(), DeValue::String(name)));
            Spanned::new(span, DeValue::Table(table))
        }
        other => Spanned::new(span, other),
    }
}

/// A table with its kind first, for writing.
#[derive(Debug)]
pub(crate) struct KindTable(Vec<(String, toml::Value)>);

impl KindTable {
    /// From an externally tagged value; `common` comes right after the kind.
    pub(crate) fn new<T: Serialize>(
        value: &T,
        common: Vec<(String, toml::Value)>,
    ) -> Result<Self, toml::ser::Error> {
        let tagged = match toml::Value::try_from(value)? {
            toml::Value::Table(table) => table,
            toml::Value::String(kind) => {
                toml::Table::from_iter([(kind, toml::Value::Table(toml::Table::new()))])
            }
            _ => toml::Table::new(),
        };
        let mut entries = Vec::new();
        for (kind, options) in tagged {
            entries.push(("kind".to_string(), toml::Value::String(kind)));
            entries.extend(common.iter().cloned());
            if let toml::Value::Table(options) = options {
                entries.extend(options);
            }
        }
        // TOML wants tables after plain values.
        entries.sort_by_key(|(_, value)| value.is_table());
        Ok(Self(entries))
    }

    /// Every key but the kind, with its value as TOML writes it.
    pub(crate) fn options(self) -> Vec<(String, String)> {
        let options = self.0.into_iter().filter(|(key, _)| key != "kind");
        options.map(|(key, value)| (key, value.to_string())).collect()
    }
}

impl Serialize for KindTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}
