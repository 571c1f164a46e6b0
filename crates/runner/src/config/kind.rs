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
use super::overrides::KIND_SECTIONS;
use super::source::{Problem, Sources};
use super::tree::{Node, Tree, show};

/// The section whose tables may hold one of their kind.
pub(crate) const POSITION: &str = "position";
/// An encoding that another one changes stands in its table under this key, with a kind of its own.
pub(crate) const OVER: &str = "over";

/// More encodings over each other than kinds that can be.
const MOST_OVER: usize = 8;

/// The table of `section` without `kind` and the keys in `common`, below its kind; likewise what stands in it under
/// [`OVER`], if `section` may hold that.
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
    let refuse = |message| Err(problem(sources, Some(kind.span()), message, allowed.clone()));
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
    if section.matches('.').count() > MOST_OVER {
        let message =
            format!("`{section}` is the {}th encoding over another; one or two are meant", MOST_OVER + 1);
        return Err(problem(sources, Some(span), message, Vec::new()));
    }
    if section.starts_with(POSITION)
        && let Some((key, over)) = rest.remove_entry(OVER)
    {
        let section = format!("{section}.{OVER}");
        let value = match over.get_ref() {
            DeValue::Table(table) => nested(&section, table, over.span(), known, &[], sources)?,
            other => {
                let message = format!(
                    "`{section}` should be an encoding's name or a table with a `kind`, not {}",
                    show(other)
                );
                return Err(problem(sources, Some(over.span()), message, allowed));
            }
        };
        rest.insert(key, value);
    }
    let mut outer = Tree::new();
    outer.insert(Spanned::new(kind.span(), name.clone()), Spanned::new(span.clone(), DeValue::Table(rest)));
    Ok(Spanned::new(span, DeValue::Table(outer)))
}

/// Whether the value at a dotted key is a table with a kind, or short for one.
pub(crate) fn is_kind_path(path: &[String]) -> bool {
    match path.split_first() {
        Some((section, [])) => KIND_SECTIONS.contains(&section.as_str()),
        Some((section, below)) => section == POSITION && below.iter().all(|key| key == OVER),
        None => false,
    }
}

/// `position = "rope"` is short for `position = { kind = "rope" }`, and so is what stands under [`OVER`].
pub(crate) fn spelled_out(value: Node<'_>) -> Node<'_> {
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(mut table) => {
            if let Some((key, over)) = table.remove_entry(OVER) {
                table.insert(key, spelled_out(over));
            }
            Spanned::new(span, DeValue::Table(table))
        }
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
pub(crate) struct KindTable(Vec<(String, Written)>);

/// A value of such a table.
#[derive(Debug)]
enum Written {
    Value(toml::Value),
    /// That of [`OVER`].
    Kind(KindTable),
}

impl KindTable {
    /// From an externally tagged value; `common` comes right after the kind.
    pub(crate) fn new<T: Serialize>(
        value: &T,
        common: Vec<(String, toml::Value)>,
    ) -> Result<Self, toml::ser::Error> {
        Ok(Self::of(toml::Value::try_from(value)?, common))
    }

    fn of(tagged: toml::Value, common: Vec<(String, toml::Value)>) -> Self {
        let tagged = match tagged {
            toml::Value::Table(table) => table,
            toml::Value::String(kind) => {
                toml::Table::from_iter([(kind, toml::Value::Table(toml::Table::new()))])
            }
            _ => toml::Table::new(),
        };
        let mut entries = Vec::new();
        for (kind, options) in tagged {
            entries.push(("kind".to_string(), Written::Value(toml::Value::String(kind))));
            entries.extend(common.iter().map(|(key, value)| (key.clone(), Written::Value(value.clone()))));
            if let toml::Value::Table(options) = options {
                entries.extend(options.into_iter().map(|(key, value)| {
                    let value = if key == OVER {
                        Written::Kind(Self::of(value, Vec::new()))
                    } else {
                        Written::Value(value)
                    };
                    (key, value)
                }));
            }
        }
        // TOML wants tables after plain values.
        entries.sort_by_key(|(_, value)| match value {
            Written::Value(value) => value.is_table(),
            Written::Kind(_) => true,
        });
        Self(entries)
    }

    /// Every key but the kinds, with its value as TOML writes it.
    pub(crate) fn options(self) -> Vec<(String, String)> {
        let options = self.0.into_iter().filter(|(key, _)| key != "kind");
        options
            .flat_map(|(key, value)| match value {
                Written::Value(value) => vec![(key, value.to_string())],
                Written::Kind(table) => {
                    let below = table.options().into_iter();
                    below.map(|(option, value)| (format!("{key}.{option}"), value)).collect()
                }
            })
            .collect()
    }
}

impl Serialize for KindTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            match value {
                Written::Value(value) => map.serialize_entry(key, value)?,
                Written::Kind(table) => map.serialize_entry(key, table)?,
            }
        }
        map.end()
    }
}
