//! Changes to a configuration: `--set` arguments and the entries of a grid, both as assignments to dotted keys.
//!
//! A value that is a table is merged into the section, key by key, except a table with a `kind`: that one replaces
//! what was there, since options of one kind mean nothing to another.

use std::ops::Range;

use toml::de::DeValue;

use super::hint::nearest_name;
use super::kind::{is_kind_path, spelled_out};
use super::source::Sources;
use super::tree::{Node, Tree, assign, in_order, parse_value};

/// The tables of a run, and that of its controls.
pub(crate) const SECTIONS: [&str; 7] = ["task", "model", "position", "train", "eval", "plants", CONTROLS];
/// The table of runs that are planned beside.
pub(crate) const CONTROLS: &str = "controls";
/// The tables that name their kind.
pub(crate) const KIND_SECTIONS: [&str; 2] = ["task", "position"];

/// One value for one dotted key.
#[derive(Clone, Debug)]
pub(crate) struct Assignment<'t> {
    pub(crate) path: Vec<String>,
    pub(crate) key_span: Range<usize>,
    pub(crate) value: Node<'t>,
}

impl<'t> Assignment<'t> {
    /// The dotted key.
    pub(crate) fn key(&self) -> String {
        self.path.join(".")
    }

    /// Whether this assignment stands at or beneath `path`.
    pub(crate) fn is_within(&self, path: &[String]) -> bool {
        self.path.starts_with(path)
    }

    /// Carries the assignment out; the error is the key on the way that holds no table.
    pub(crate) fn apply(&self, tree: &mut Tree<'t>) -> Result<(), String> {
        assign(tree, &self.path, self.key_span.clone(), self.value.clone())
    }
}

/// The assignments that `value` at `path` stands for.
pub(crate) fn flattened<'t>(
    path: Vec<String>,
    key_span: Range<usize>,
    value: Node<'t>,
) -> Vec<Assignment<'t>> {
    let value = if is_kind_path(&path) { spelled_out(value) } else { value };
    match value.get_ref() {
        DeValue::Table(table) if !table.contains_key("kind") => in_order(table)
            .into_iter()
            .flat_map(|(key, below)| {
                let path = path.iter().cloned().chain([key.get_ref().to_string()]).collect();
                flattened(path, key.span(), below.clone())
            })
            .collect(),
        _ => vec![Assignment { path, key_span, value }],
    }
}

/// Splits a dotted key; the error says what is wrong with it. `others` are allowed beside the sections.
pub(crate) fn split_key(key: &str, others: &[&str]) -> Result<Vec<String>, String> {
    let path: Vec<String> = key.split('.').map(|part| part.trim().to_string()).collect();
    if path.iter().any(String::is_empty) {
        return Err(format!("`{key}` is not a dotted key such as `train.steps`"));
    }
    let allowed: Vec<&str> = SECTIONS.iter().chain(others).copied().collect();
    match path.first() {
        Some(first) if !allowed.contains(&first.as_str()) => {
            let hint = match nearest_name(first, &allowed) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it should begin with one of {}", allowed.join(", ")),
            };
            Err(format!("unknown key `{key}`; {hint}"))
        }
        _ => Ok(path),
    }
}

/// Reads a `KEY=VALUE` argument: VALUE is TOML, and a bare word is a string.
pub(crate) fn parse_argument<'t>(
    argument: &'t str,
    sources: &mut Sources,
) -> Result<Assignment<'t>, (String, Range<usize>)> {
    let base = sources.add_argument(argument);
    let whole = base..base + argument.len();
    let Some((key, value)) = argument.split_once('=') else {
        return Err(("expected KEY=VALUE, such as train.steps=500".to_string(), whole));
    };
    let key_span = base..base + key.len();
    let path = split_key(key, &["name", "description", "seed", "grid"])
        .map_err(|message| (message, key_span.clone()))?;
    let lead = value.len() - value.trim_start().len();
    let value_base = base + key.len() + 1 + lead;
    let value = value.trim();
    if value.is_empty() {
        return Err((format!("`{}` is given no value", path.join(".")), whole));
    }
    let value = match parse_value(value, value_base) {
        Ok(value) => value,
        Err(error) if value.starts_with(['"', '\'', '[', '{']) => return Err(error),
        Err(_) => toml::Spanned::new(value_base..value_base + value.len(), DeValue::String(value.into())),
    };
    Ok(Assignment { path, key_span, value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::tree::show;
    use super::*;

    fn assignments(argument: &str) -> Vec<String> {
        let mut sources = Sources::default();
        let assignment = parse_argument(argument, &mut sources).unwrap();
        let flat = flattened(assignment.path, assignment.key_span, assignment.value);
        flat.iter().map(|a| format!("{} := {}", a.key(), show(a.value.get_ref()))).collect()
    }

    #[test]
    fn values_are_toml_and_bare_words_are_strings() {
        assert_eq!(assignments("train.steps=500"), ["train.steps := 500"]);
        assert_eq!(assignments("task.path=data/a=b.txt"), ["task.path := data/a=b.txt"]);
        assert_eq!(assignments(" train.lengths = [1, 8] "), ["train.lengths := [1, 8]"]);
        assert_eq!(assignments("model.qk_norm=true"), ["model.qk_norm := true"]);
    }

    #[test]
    fn a_table_is_merged_unless_it_names_a_kind() {
        assert_eq!(
            assignments("model={n_heads=4, d_model=32}"),
            ["model.n_heads := 4", "model.d_model := 32"]
        );
        assert_eq!(assignments("position={kind='rope', base=5}"), ["position := rope base=5"]);
        assert_eq!(assignments("position={base=5}"), ["position.base := 5"]);
        assert_eq!(assignments("position=rope"), ["position := rope"]);
        assert_eq!(assignments("position={over='rope'}"), ["position.over := rope"]);
        assert_eq!(assignments("position.over={base=5}"), ["position.over.base := 5"]);
        assert_eq!(
            assignments("position={kind='windowed', over={kind='log_n', over='alibi'}, window=2}"),
            ["position := windowed over={log_n over=alibi} window=2"]
        );
    }
}
