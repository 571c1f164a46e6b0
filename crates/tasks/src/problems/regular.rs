//! A regular language of the user's own, by a pattern or by the table of an automaton. Example: with the pattern
//! (ab|ba)*, after a b b the only symbol that may come is a.

mod table;

use serde::{Deserialize, Serialize};

use self::table::from_table;
pub use self::table::Table;
use crate::automaton::{Language, LanguageLabels, from_pattern};
use crate::registry::{Class, Info, Kind, Setting};
use crate::{Protocol, Task, TaskError};

/// Options of `regular`: a `pattern` or an `automaton`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The name in labels; by default the pattern, or a digest of the automaton.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A regular expression in the syntax of Rust's `regex`, that a word matches as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// The symbols of the pattern's words, a character each; by default the printable ASCII characters that occur in
    /// some word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alphabet: Option<Vec<String>>,
    /// What is said of a prefix (default `next`).
    pub labels: LanguageLabels,
    /// The table of a complete automaton.
    // Last, because TOML wants tables after plain values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automaton: Option<Table>,
}

impl Default for Config {
    fn default() -> Self {
        Config { name: None, pattern: None, alphabet: None, labels: LanguageLabels::Next, automaton: None }
    }
}

impl Kind for Config {
    const INFO: Info = Info {
        kind: "regular",
        title: "A regular language of your own",
        class: Class::Periodic,
        protocols: &[Protocol::Prefix],
        definition: "A word of the language, uniform among those of its length. The language is what `pattern` matches \
                     as a whole over `alphabet`, or what `automaton` accepts: a table of the number of `states`, the \
                     `start`, the list `accept`, and for each state in `moves` the state after each symbol of its \
                     `alphabet`. Labels of a prefix x: `next`, the set of symbols s such that some word begins with \
                     xs; `accepted`, the set of s such that xs is a word; `membership`, whether x is a word.",
        expected: "Depends on the language: whether it counts modulo a period, nests, or needs the last symbols only. \
                   Look at the tasks listed for the class it belongs to.",
        source: "this project; labels as in Bhattamishra et al. 2020 (arXiv 2009.11264)",
        example: "kind = \"regular\"\nprotocol = \"prefix\"\npattern = \"(ab|ba)*\"\nalphabet = [\"a\", \"b\"]\nlabels = \"next\"\n",
    };

    fn build(&self, setting: &Setting<'_>) -> Result<Box<dyn Task>, TaskError> {
        Ok(setting.pose(self.language()?))
    }
}

impl Config {
    fn language(&self) -> Result<Language, TaskError> {
        let (alphabet, automaton, label) = match (&self.pattern, &self.automaton) {
            (Some(pattern), None) => {
                let symbols = self.characters()?;
                let (symbols, automaton) = from_pattern(pattern, symbols.as_deref()).map_err(|reason| {
                    refused(
                        "pattern",
                        format!("`{pattern}`: {reason}"),
                        "a regular expression with words, whose automaton has at most 4096 states",
                        "correct or simplify it",
                    )
                })?;
                let alphabet: Vec<String> = symbols.iter().map(char::to_string).collect();
                let over = match self.alphabet {
                    Some(_) => format!(" over {}", alphabet.join(" ")),
                    None => String::new(),
                };
                (alphabet, automaton, format!("regular {pattern}{over}"))
            }
            (None, Some(table)) => {
                if self.alphabet.is_some() {
                    let found = "given beside `automaton`".to_owned();
                    return Err(refused(
                        "alphabet",
                        found,
                        "none there",
                        "move it into `automaton`, whose columns it names",
                    ));
                }
                let automaton = from_table(table)?;
                (table.alphabet.clone(), automaton, format!("automaton {}", table.digest()))
            }
            (pattern, _) => {
                let found = if pattern.is_some() { "given beside `automaton`" } else { "missing" };
                return Err(refused(
                    "pattern",
                    found.to_owned(),
                    "one of `pattern` and `automaton`",
                    "describe the language once, such as pattern = \"(ab|ba)*\"",
                ));
            }
        };
        let label = self.name.clone().unwrap_or(label);
        let label = match self.labels {
            LanguageLabels::Next => label,
            labels => format!("{label} ({})", labels.name()),
        };
        Ok(Language::new(label, alphabet, automaton, self.labels))
    }

    /// The alphabet as characters.
    fn characters(&self) -> Result<Option<Vec<char>>, TaskError> {
        let Some(names) = &self.alphabet else { return Ok(None) };
        check_alphabet("alphabet", names)?;
        let character = |name: &String| {
            let mut characters = name.chars();
            match (characters.next(), characters.next()) {
                (Some(one), None) => Ok(one),
                _ => Err(refused(
                    "alphabet",
                    format!("{names:?}"),
                    "single characters",
                    &format!(
                        "replace \"{name}\", or give an `automaton`, whose symbols may have longer names"
                    ),
                )),
            }
        };
        names.iter().map(character).collect::<Result<_, _>>().map(Some)
    }
}

/// The most symbols of an alphabet.
const SYMBOLS: usize = 256;

/// Refuses an alphabet that is empty, large, or ambiguous in print.
fn check_alphabet(field: &'static str, names: &[String]) -> Result<(), TaskError> {
    let wrong = |remedy: String| {
        let expected = format!("1 to {SYMBOLS} different names without spaces");
        Err(refused(field, format!("{names:?}"), &expected, &remedy))
    };
    if names.is_empty() || names.len() > SYMBOLS {
        return wrong(format!("these are {}; name as many as the words need", names.len()));
    }
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return wrong("prompts are split at spaces, so no symbol may be or hold one".to_owned());
        }
        if ["<bos>", "<sep>", "<eos>", "<empty>"].contains(&name.as_str()) {
            return wrong(format!("\"{name}\" is a token of the protocols; call the symbol otherwise"));
        }
        if names[..place].contains(name) {
            return wrong(format!("\"{name}\" comes twice; remove one"));
        }
    }
    Ok(())
}

fn refused(field: &'static str, found: String, expected: &str, remedy: &str) -> TaskError {
    TaskError::Config {
        kind: "regular",
        field,
        found,
        expected: expected.to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Problem;
    use crate::problems::exhaustive::language;

    fn config(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[track_caller]
    fn refuses(text: &str, reasons: &[&str]) {
        let error = config(text).language().err().unwrap().to_string();
        for reason in reasons {
            assert!(error.contains(reason), "no `{reason}` in: {error}");
        }
    }

    const EVEN_ONES: &str = "automaton = { alphabet = [\"zero\", \"one\"], states = 2, start = 0, accept = [0], \
                             moves = [[0, 1], [1, 0]] }";

    #[test]
    fn a_pattern_is_the_language_of_the_strings_it_matches() {
        let is_word = |x: &[u32]| x.chunks(2).all(|pair| pair == [0, 1] || pair == [1, 0]);
        for labels in [LanguageLabels::Next, LanguageLabels::Accepted, LanguageLabels::Membership] {
            let config = Config { labels, ..config("pattern = \"(ab|ba)*\"") };
            language::labels_are(&config.language().unwrap(), labels, 8, 3, is_word);
        }
        let problem = config("pattern = \"(ab|ba)*\"").language().unwrap();
        language::words_are_uniform(&problem, 6, is_word);
        language::words_are_uniform(&problem, 7, is_word);
    }

    #[test]
    fn an_automaton_is_the_language_it_accepts() {
        let is_word = |x: &[u32]| x.iter().sum::<u32>() % 2 == 0;
        let problem = config(EVEN_ONES).language().unwrap();
        assert_eq!(problem.alphabet(), ["zero", "one"]);
        language::labels_are(&problem, LanguageLabels::Next, 8, 2, is_word);
        language::words_are_uniform(&problem, 6, is_word);
    }

    #[test]
    fn labels_name_the_language_its_alphabet_and_what_is_asked() {
        for (text, label) in [
            ("pattern = \"(ab)*\"", "regular (ab)*"),
            ("pattern = \"(ab)*\"\nlabels = \"membership\"", "regular (ab)* (membership)"),
            ("pattern = \"(ab)*\"\nalphabet = [\"b\", \"a\", \"c\"]", "regular (ab)* over b a c"),
            ("pattern = \"(ab)*\"\nname = \"ab\"", "ab"),
        ] {
            assert_eq!(config(text).language().unwrap().label(), label);
        }
        let one = config(EVEN_ONES).language().unwrap().label();
        let other = config(&EVEN_ONES.replace("accept = [0]", "accept = [1]")).language().unwrap().label();
        assert!(one.starts_with("automaton ") && one != other, "{one} {other}");
    }

    #[test]
    fn what_is_no_language_is_refused_with_the_field_and_the_reason() {
        refuses("", &["task.regular.pattern is missing", "`automaton`"]);
        refuses(&format!("pattern = \"a\"\n{EVEN_ONES}"), &["task.regular.pattern", "beside `automaton`"]);
        refuses("pattern = \"(ab\"", &["task.regular.pattern is `(ab`", "unclosed group"]);
        refuses("pattern = \"(a|b)*a(a|b){12}\"", &["`(a|b)*a(a|b){12}`", "more than 4096"]);
        refuses("pattern = \"a*\"\nalphabet = [\"b\"]", &["task.regular.pattern", "no word"]);
        refuses("pattern = \"a*\"\nalphabet = [\"ab\"]", &["task.regular.alphabet", "single characters"]);
        refuses("pattern = \"a*\"\nalphabet = []", &["task.regular.alphabet is []", "1 to 256"]);
        refuses("pattern = \"a*\"\nalphabet = [\"a\", \"a\"]", &["\"a\" comes twice"]);
        refuses("pattern = \"a*\"\nalphabet = [\" \"]", &["task.regular.alphabet", "spaces"]);
        refuses(&format!("alphabet = [\"a\"]\n{EVEN_ONES}"), &["task.regular.alphabet", "into `automaton`"]);
    }
}
