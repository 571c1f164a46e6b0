//! A configuration before it has types: tables that remember where each key and value was written.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A table with spans.
pub(crate) type Tree<'t> = DeTable<'t>;
/// A value with its span.
pub(crate) type Node<'t> = Spanned<DeValue<'t>>;
/// A key with its span.
pub(crate) type Key<'t> = Spanned<Cow<'t, str>>;

/// A syntax error: what is wrong, and where.
pub(crate) type SyntaxError = (String, Range<usize>);

/// Parses a document whose first byte has the offset `base`.
pub(crate) fn parse_document(text: &str, base: usize) -> Result<Tree<'_>, SyntaxError> {
    match DeTable::parse(text) {
        Ok(table) => Ok(shifted_table(table.into_inner(), base)),
        Err(error) => Err(syntax_error(&error, text, base)),
    }
}

/// Parses one value whose first byte has the offset `base`.
pub(crate) fn parse_value(text: &str, base: usize) -> Result<Node<'_>, SyntaxError> {
    match DeValue::parse(text) {
        Ok(value) => Ok(shifted(value, base)),
        Err(error) => Err(syntax_error(&error, text, base)),
    }
}

fn syntax_error(error: &toml::de::Error, text: &str, base: usize) -> SyntaxError {
    let span = error.span().unwrap_or(0..0);
    let rest = text.get(span.start..).unwrap_or_default().trim_start_matches([' ', '\t']);
    // The parser answers a missing value with advice on quotes.
    let is_missing = error.message().starts_with("string values must be quoted")
        && (rest.is_empty() || rest.starts_with(['\n', '\r', '#']));
    let message = match (error.message(), text.get(span.clone())) {
        _ if is_missing => "a value is missing after `=`".to_string(),
        ("duplicate key", Some(key)) => format!("`{key}` is given twice"),
        (message, _) => message.to_string(),
    };
    (message, span.start + base..span.end + base)
}

fn shifted(value: Node<'_>, by: usize) -> Node<'_> {
    let span = value.span();
    let moved = match value.into_inner() {
        DeValue::Array(items) => DeValue::Array(items.into_iter().map(|item| shifted(item, by)).collect()),
        DeValue::Table(table) => DeValue::Table(shifted_table(table, by)),
        scalar => scalar,
    };
    Spanned::new(span.start + by..span.end + by, moved)
}

fn shifted_table(table: Tree<'_>, by: usize) -> Tree<'_> {
    if by == 0 {
        return table;
    }
    let mut moved = Tree::new();
    for (key, value) in table {
        let span = key.span();
        moved.insert(Spanned::new(span.start + by..span.end + by, key.into_inner()), shifted(value, by));
    }
    moved
}

/// Puts `value` at the dotted `path`, creating tables on the way; whatever stood there is replaced.
/// A value on the way that is no table is an error: its path is returned.
pub(crate) fn assign<'t>(
    table: &mut Tree<'t>,
    path: &[String],
    key_span: Range<usize>,
    value: Node<'t>,
) -> Result<(), String> {
    let Some((first, rest)) = path.split_first() else {
        return Ok(());
    };
    let key = || Spanned::new(key_span.clone(), Cow::Owned(first.clone()));
    if rest.is_empty() {
        // An insertion would keep the old key and its span.
        table.remove(first.as_str());
        table.insert(key(), value);
        return Ok(());
    }
    if !table.contains_key(first.as_str()) {
        table.insert(key(), Spanned::new(key_span.clone(), DeValue::Table(Tree::new())));
    }
    match table.get_mut(first.as_str()).map(Spanned::get_mut) {
        Some(DeValue::Table(inner)) => assign(inner, rest, key_span, value)
            .map_err(|below| if below.is_empty() { first.clone() } else { format!("{first}.{below}") }),
        _ => Err(first.clone()),
    }
}

/// The value at a dotted path; a number among the keys counts into a list.
pub(crate) fn find<'a, 't>(table: &'a Tree<'t>, path: &str) -> Option<&'a Node<'t>> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let mut node = table.get(first)?;
    let mut rest = rest;
    while let Some(path) = rest {
        node = match node.get_ref() {
            DeValue::Table(inner) => return find(inner, path),
            DeValue::Array(items) => {
                let (index, below) = match path.split_once('.') {
                    Some((index, below)) => (index, Some(below)),
                    None => (path, None),
                };
                rest = below;
                items.get(index.parse::<usize>().ok()?)?
            }
            _ => return None,
        };
    }
    Some(node)
}

/// The dotted path of the key or value that has exactly this span; the deepest one, if several have it.
pub(crate) fn path_of(table: &Tree<'_>, span: &Range<usize>) -> Option<String> {
    for (key, value) in table.iter() {
        if let Some(below) = path_below(value, span) {
            return Some(join(key.get_ref(), &below));
        }
        if key.span() == *span || value.span() == *span {
            return Some(key.get_ref().to_string());
        }
    }
    None
}

fn path_below(value: &Node<'_>, span: &Range<usize>) -> Option<String> {
    match value.get_ref() {
        DeValue::Table(inner) => path_of(inner, span),
        DeValue::Array(items) => items.iter().enumerate().find_map(|(i, item)| {
            let below = path_below(item, span).or_else(|| (item.span() == *span).then(String::new))?;
            Some(join(&i.to_string(), &below))
        }),
        _ => None,
    }
}

fn join(first: &str, rest: &str) -> String {
    if rest.is_empty() { first.to_string() } else { format!("{first}.{rest}") }
}

/// Keys and values in the order of the text, which the map does not keep.
pub(crate) fn in_order<'a, 't>(table: &'a Tree<'t>) -> Vec<(&'a Key<'t>, &'a Node<'t>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// A value as people read it: `rope base=500`, `0.001`, `[1, 32]`.
pub(crate) fn show(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(s) => s.to_string(),
        DeValue::Integer(i) => i.to_string(),
        DeValue::Float(x) => x.to_string(),
        DeValue::Boolean(b) => b.to_string(),
        DeValue::Datetime(d) => d.to_string(),
        DeValue::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| show(item.get_ref())).collect();
            format!("[{}]", items.join(", "))
        }
        DeValue::Table(table) => {
            let mut words: Vec<String> =
                table.get("kind").map(|kind| show(kind.get_ref())).into_iter().collect();
            for (key, value) in in_order(table) {
                if key.get_ref() != "kind" {
                    let (key, shown) = (key.get_ref(), show(value.get_ref()));
                    let is_one_word = !matches!(value.get_ref(), DeValue::Table(_)) || !shown.contains(' ');
                    words.push(if is_one_word {
                        format!("{key}={shown}")
                    } else {
                        format!("{key}={{{shown}}}")
                    });
                }
            }
            words.join(" ")
        }
    }
}

/// The first value that no setting can have: not a number, or an integer beyond what TOML can write.
pub(crate) fn first_impossible(value: &Node<'_>) -> Option<(Range<usize>, String)> {
    match value.get_ref() {
        DeValue::Integer(i) => {
            let digits = i.as_str().trim_start_matches('+');
            let fits = i64::from_str_radix(digits, i.radix()).is_ok();
            (!fits).then(|| {
                (value.span(), format!("is {}, beyond the largest integer, {}", i.as_str(), i64::MAX))
            })
        }
        DeValue::Float(x) => {
            let is_nan = x.as_str().parse::<f64>().is_ok_and(f64::is_nan);
            is_nan.then(|| (value.span(), "is nan, which is not a number".to_string()))
        }
        DeValue::Array(items) => items.iter().find_map(first_impossible),
        DeValue::Table(table) => table.values().find_map(first_impossible),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_and_a_span_lead_to_each_other() {
        let text = "[eval]\nbins = [[1, 32], [33, 64]]\n[a.b]\nc = 1";
        let tree = parse_document(text, 100).unwrap();
        let bin = find(&tree, "eval.bins.1").unwrap();
        assert_eq!(&text[bin.span().start - 100..bin.span().end - 100], "[33, 64]");
        assert_eq!(path_of(&tree, &bin.span()).unwrap(), "eval.bins.1");
        assert_eq!(path_of(&tree, &find(&tree, "a.b.c").unwrap().span()).unwrap(), "a.b.c");
        assert!(find(&tree, "eval.bins.x").is_none() && find(&tree, "a.b.c.d").is_none());
    }

    #[test]
    fn an_assignment_replaces_the_key_too_and_cannot_pass_through_a_number() {
        let mut tree = parse_document("a.b = 1\nc = 2", 0).unwrap();
        let path = |p: &str| p.split('.').map(String::from).collect::<Vec<_>>();
        assign(&mut tree, &path("a.b"), 50..53, parse_value("7", 60).unwrap()).unwrap();
        assert_eq!(path_of(&tree, &(50..53)).unwrap(), "a.b");
        assign(&mut tree, &path("x.y"), 50..53, parse_value("7", 60).unwrap()).unwrap();
        assert_eq!(show(find(&tree, "x").unwrap().get_ref()), "y=7");
        assert_eq!(assign(&mut tree, &path("c.d"), 0..0, parse_value("7", 0).unwrap()), Err("c".to_string()));
    }

    #[test]
    fn values_are_shown_as_written_with_the_kind_first() {
        let shown = |text: &str| show(parse_value(text, 0).unwrap().get_ref());
        assert_eq!(shown("{ base = 500.0, kind = \"rope\" }"), "rope base=500.0");
        assert_eq!(shown("[1e-3, [true]]"), "[1e-3, [true]]");
        let over = "{ over = { kind = \"rope\", base = 5 }, kind = \"windowed\", window = 2 }";
        assert_eq!(shown(over), "windowed over={rope base=5} window=2");
    }
}
