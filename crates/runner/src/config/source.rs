//! Where a setting was written: a file or a `--set` argument, with line and column, for messages that point.
//!
//! Every text that settings come from is given its own range of offsets. A span is thereby enough to find its
//! text again, wherever overrides have carried the value.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// A line longer than this is cut around the marked part.
const WIDEST_EXCERPT: usize = 120;

/// The texts that settings come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    texts: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    name: String,
    is_file: bool,
    text: String,
    base: usize,
}

impl Sources {
    /// Adds a file's text; returns the offset of its first byte.
    pub(crate) fn add_file(&mut self, name: &str, text: &str) -> usize {
        self.add(name.to_string(), true, text)
    }

    /// Adds a `--set` argument; returns the offset of its first byte.
    pub(crate) fn add_argument(&mut self, text: &str) -> usize {
        self.add(format!("--set {text}"), false, text)
    }

    fn add(&mut self, name: String, is_file: bool, text: &str) -> usize {
        // One offset more than bytes, so that the end of a text is not the start of the next.
        let base = self.texts.last().map_or(0, |s| s.base + s.text.len() + 1);
        self.texts.push(Source { name, is_file, text: text.to_string(), base });
        base
    }

    /// The line that holds the start of `span`.
    pub(crate) fn place(&self, span: Range<usize>) -> Option<Place> {
        let source = self.texts.iter().rev().find(|s| s.base <= span.start)?;
        let text = &source.text;
        let start = floor_char(text, span.start - source.base);
        let end = floor_char(text, span.end.saturating_sub(source.base)).max(start);
        let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let marked_end = end.min(line_start + line.len()).max(start);
        Some(Place {
            source: source.name.clone(),
            is_file: source.is_file,
            line: 1 + text[..line_start].matches('\n').count(),
            column: 1 + text[line_start..start].chars().count(),
            width: text[start..marked_end].chars().count().max(1),
            // Control characters could steer the terminal that the message is printed on.
            text: line.chars().map(|c| if c.is_control() && c != '\t' { '\u{FFFD}' } else { c }).collect(),
        })
    }

    /// What a message without a place begins with.
    pub(crate) fn main_name(&self) -> String {
        self.texts.first().map(|s| s.name.clone()).unwrap_or_default()
    }
}

/// The greatest character boundary of `text` up to `at`.
fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A marked part of one line of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path, or the `--set` argument.
    pub source: String,
    /// Whether `source` is a file, which has lines to count.
    pub is_file: bool,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Number of characters marked, at least 1.
    pub width: usize,
    /// The whole line.
    pub text: String,
}

impl Place {
    /// The line with a caret under the marked part.
    fn excerpt(&self) -> String {
        let chars: Vec<char> = self.text.chars().collect();
        let before = self.column - 1;
        let first = if chars.len() > WIDEST_EXCERPT { before.saturating_sub(WIDEST_EXCERPT / 3) } else { 0 };
        let shown: Vec<char> = chars.iter().skip(first).take(WIDEST_EXCERPT).copied().collect();
        let is_cut = first + shown.len() < chars.len();
        let lead = if first > 0 { "…" } else { "" };
        let trail = if is_cut { "…" } else { "" };
        // Tabs stay tabs, so that the caret stands where the terminal puts the text.
        let pad: String =
            shown.iter().take(before - first).map(|&c| if c == '\t' { '\t' } else { ' ' }).collect();
        let pad = if first > 0 { format!(" {pad}") } else { pad };
        let carets = "^".repeat(self.width.min(shown.len().saturating_sub(before - first)).max(1));
        let number = if self.is_file { self.line.to_string() } else { String::new() };
        let gutter = " ".repeat(number.len());
        let line: String = shown.into_iter().collect();
        format!("  {number} | {lead}{line}{trail}\n  {gutter} | {pad}{carets}")
    }
}

/// One thing wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written, when it was written anywhere.
    pub place: Option<Box<Place>>,
    /// The file, for a problem without a place.
    pub source: String,
    /// What was found and what was expected.
    pub message: String,
    /// What to do, one line each.
    pub notes: Vec<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(p) if p.is_file => write!(f, "{}:{}:{}: {}", p.source, p.line, p.column, self.message)?,
            Some(p) => write!(f, "{}: {}", p.source, self.message)?,
            None => write!(f, "{}: {}", self.source, self.message)?,
        }
        if let Some(place) = &self.place {
            write!(f, "\n{}", place.excerpt())?;
        }
        for note in &self.notes {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

/// A configuration that cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{}: cannot read the configuration: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// Everything wrong that was found, at least one thing.
    #[error("{}", listed(.0))]
    Invalid(Vec<Problem>),
    /// A value that TOML cannot hold.
    #[error("the resolved configuration cannot be written as TOML: {0}")]
    Write(#[from] toml::ser::Error),
}

/// Problems below each other, the first few in full.
fn listed(problems: &[Problem]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        text.push(format!("and {} more problems", problems.len() - SHOWN));
    }
    text.join("\n\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn problem(text: &str, span: Range<usize>) -> String {
        let mut sources = Sources::default();
        sources.add_file("a.toml", text);
        let place = sources.place(span).map(Box::new);
        Problem { place, source: "a.toml".into(), message: "no".into(), notes: vec![] }.to_string()
    }

    #[test]
    fn the_caret_counts_characters_and_keeps_tabs() {
        assert_eq!(
            problem("é = 1\n\tb = \"ü\"\r\nc", 12..16),
            "a.toml:2:6: no\n  2 | \tb = \"ü\"\n    | \t    ^^^"
        );
    }

    #[test]
    fn the_end_of_a_text_and_the_middle_of_a_character_are_places() {
        assert_eq!(problem("a = ", 4..4), "a.toml:1:5: no\n  1 | a = \n    |     ^");
        assert_eq!(problem("é", 1..9), "a.toml:1:1: no\n  1 | é\n    | ^");
        assert_eq!(problem("", 0..0), "a.toml:1:1: no\n  1 | \n    | ^");
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark_and_control_characters_are_not_printed() {
        let long = format!("{}\u{1b}X{}", "a".repeat(300), "b".repeat(300));
        let shown = problem(&long, 301..302);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[1].chars().nth(lines[2].find('^').unwrap()), Some('X'), "{shown}");
        assert!(lines[1].chars().count() < 140 && !shown.contains('\u{1b}'), "{shown}");
    }

    #[test]
    fn a_span_finds_its_own_text() {
        let mut sources = Sources::default();
        sources.add_file("a.toml", "a = 1");
        let base = sources.add_argument("x=2");
        assert_eq!(sources.place(5..5).unwrap().source, "a.toml");
        assert_eq!(sources.place(base + 2..base + 3).unwrap().source, "--set x=2");
    }
}
