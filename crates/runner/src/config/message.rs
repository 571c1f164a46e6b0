//! Serde's messages in the words of a person who edits a file.

use std::ops::Range;

use super::hint::nearest_name;
use super::source::{Problem, Sources};
use super::tree::{Tree, path_of};

/// What the deserialiser found wrong in `tree`; `also` are keys that are allowed beside those it knows.
pub(crate) fn explained(
    error: &toml::de::Error,
    section: &str,
    tree: &Tree<'_>,
    also: &[&str],
    sources: &Sources,
) -> Problem {
    let span = error.span();
    let path = span.as_ref().and_then(|s| path_of(tree, s)).unwrap_or_else(|| section.to_string());
    let (message, notes) = reworded(error.message(), &path, also);
    problem(sources, span, message, notes)
}

/// A problem at a span, or of the file as a whole.
pub(crate) fn problem(
    sources: &Sources,
    span: Option<Range<usize>>,
    message: String,
    notes: Vec<String>,
) -> Problem {
    let place = span.and_then(|s| sources.place(s)).map(Box::new);
    Problem { place, source: sources.main_name(), message, notes }
}

fn reworded(message: &str, path: &str, also: &[&str]) -> (String, Vec<String>) {
    let quoted = backticked(message);
    let (found, allowed) = match quoted.split_first() {
        Some((found, allowed)) => (*found, allowed),
        None => ("", quoted.as_slice()),
    };
    if message.starts_with("unknown field") {
        let allowed: Vec<&str> = also.iter().chain(allowed).copied().collect();
        return unknown(&format!("unknown key `{path}`"), found, &allowed, "keys");
    }
    if message.starts_with("unknown variant") {
        return unknown(&format!("`{path}` cannot be \"{found}\""), found, allowed, "values");
    }
    if message.starts_with("missing field") {
        return (format!("`{path}.{found}` is missing"), Vec::new());
    }
    let mistyped = message.split_once("invalid type: ").or_else(|| message.split_once("invalid value: "));
    if let Some((found, expected)) = mistyped.and_then(|(_, rest)| rest.rsplit_once(", expected ")) {
        let (expected, found) = (in_words(expected), found_in_words(found));
        return (format!("`{path}` should be {expected}, not {found}"), Vec::new());
    }
    if message == "wanted string or table" {
        return (format!("`{path}` should be a name in quotes"), Vec::new());
    }
    (format!("`{path}`: {message}"), Vec::new())
}

/// "No such name" with the nearest one and all of them.
pub(crate) fn unknown(what: &str, found: &str, allowed: &[&str], noun: &str) -> (String, Vec<String>) {
    let message = match nearest_name(found, allowed) {
        Some(near) => format!("{what}; did you mean `{near}`?"),
        None => what.to_string(),
    };
    let notes = if allowed.is_empty() {
        vec![format!("no {noun} are allowed here")]
    } else {
        vec![format!("allowed {noun}: {}", allowed.join(", "))]
    };
    (message, notes)
}

/// The parts of serde's messages that stand between backticks.
fn backticked(message: &str) -> Vec<&str> {
    message.split('`').skip(1).step_by(2).collect()
}

/// A Rust type as people who write TOML call it.
fn in_words(expected: &str) -> &str {
    match expected {
        "usize" | "u64" | "u32" | "u16" | "u8" => "a whole number, 0 or more",
        "i64" | "i32" | "isize" => "a whole number",
        "f64" | "f32" => "a number",
        "bool" | "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        _ if expected.starts_with("struct ") => "a table",
        _ => expected,
    }
}

fn found_in_words(found: &str) -> String {
    match found {
        "map" => "a table".to_string(),
        "sequence" => "a list".to_string(),
        _ => {
            let value = found.trim_start_matches("floating point ").trim_start_matches("boolean ");
            value.trim_start_matches("integer ").trim_start_matches("string ").replace('`', "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_speak_of_files_not_of_rust() {
        let say = |message: &str| reworded(message, "train.steps", &[]).0;
        assert_eq!(
            say("invalid type: string \"many\", expected usize"),
            "`train.steps` should be a whole number, 0 or more, not \"many\""
        );
        assert_eq!(
            say("invalid value: integer `-1`, expected usize"),
            "`train.steps` should be a whole number, 0 or more, not -1"
        );
        assert_eq!(
            say("invalid type: sequence, expected a boolean"),
            "`train.steps` should be true or false, not a list"
        );
        assert_eq!(say("something new"), "`train.steps`: something new");
    }
}
