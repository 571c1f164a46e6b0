//! A checkpoint's `config.json`, read with errors that name the file and the key.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{PretrainedError, Result, short};

/// The keys and values of a `config.json`, or of a table in it.
#[derive(Clone, Debug)]
pub struct Config {
    file: PathBuf,
    /// The keys that lead to this table, each followed by a dot.
    place: String,
    keys: Map<String, Value>,
}

impl Config {
    /// A configuration that was read from `file`.
    ///
    /// # Errors
    /// It is not a table.
    pub fn new(file: &Path, value: Value) -> Result<Self> {
        match value {
            Value::Object(keys) => Ok(Self { file: file.to_owned(), place: String::new(), keys }),
            other => Err(PretrainedError::corrupt(file, "the configuration", kind(&other), "an object")),
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The value of the first of these keys that is there and not null.
    fn any(&self, keys: &[&str]) -> Option<(String, &Value)> {
        let found = keys
            .iter()
            .find_map(|&key| self.keys.get(key).map(|value| (key, value)).filter(|(_, v)| !v.is_null()));
        found.map(|(key, value)| (format!("{}{key}", self.place), value))
    }

    /// Whether the key is there, be it null.
    pub fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// A value that is read by `read`, if one of the keys is there and not null; `keys` are aliases, split by `|`.
    fn optional<T>(
        &self,
        keys: &str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let names: Vec<&str> = keys.split('|').collect();
        let Some((key, value)) = self.any(&names) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(value)),
            None => {
                let expected = format!("{expected}, found {}", short(&value.to_string()));
                Err(PretrainedError::MissingConfig { file: self.file.clone(), key, expected })
            }
        }
    }

    fn missing(&self, keys: &str, expected: &str) -> PretrainedError {
        let key = format!("{}{}", self.place, keys.replace('|', "` or `"));
        PretrainedError::MissingConfig { file: self.file.clone(), key, expected: expected.to_owned() }
    }

    /// A count, if the key is there and not null. `keys` are aliases, split by `|`.
    pub fn maybe_count(&self, keys: &str) -> Result<Option<usize>> {
        // 2^30 is above any model, and products of two such sizes stay inside usize.
        self.optional(keys, "a whole number from 0 to 1073741824", |value| {
            let whole = value
                .as_u64()
                .or_else(|| value.as_f64().filter(|x| x.fract() == 0.0 && *x >= 0.0).map(|x| x as u64));
            whole.filter(|&n| n <= 1 << 30).map(|n| n as usize)
        })
    }

    /// A count that must be there.
    pub fn count(&self, keys: &str) -> Result<usize> {
        let expected = "a whole number above 0";
        self.maybe_count(keys)?.filter(|&n| n > 0).ok_or_else(|| self.missing(keys, expected))
    }

    /// A count, or a default where the key is absent or null.
    pub fn count_or(&self, keys: &str, default: usize) -> Result<usize> {
        Ok(self.maybe_count(keys)?.unwrap_or(default))
    }

    /// A count; `default` where the key is absent, `None` where it is null.
    pub fn count_or_null(&self, key: &str, default: Option<usize>) -> Result<Option<usize>> {
        if self.has(key) { self.maybe_count(key) } else { Ok(default) }
    }

    /// A number, if the key is there and not null.
    pub fn maybe_number(&self, keys: &str) -> Result<Option<f64>> {
        self.optional(keys, "a finite number", |value| value.as_f64().filter(|x| x.is_finite()))
    }

    /// A number, or a default where the key is absent or null.
    pub fn number_or(&self, keys: &str, default: f64) -> Result<f64> {
        Ok(self.maybe_number(keys)?.unwrap_or(default))
    }

    /// A number; `default` where the key is absent, `None` where it is null.
    pub fn number_or_null(&self, key: &str, default: Option<f64>) -> Result<Option<f64>> {
        if self.has(key) { self.maybe_number(key) } else { Ok(default) }
    }

    /// A switch, or a default where the key is absent or null.
    pub fn flag_or(&self, keys: &str, default: bool) -> Result<bool> {
        Ok(self.optional(keys, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A text, if the key is there and not null.
    pub fn maybe_text(&self, keys: &str) -> Result<Option<String>> {
        self.optional(keys, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A table, if the key is there and not null.
    pub fn table(&self, key: &str) -> Result<Option<Self>> {
        let table = self.optional(key, "a table", |value| value.as_object().cloned())?;
        Ok(table.map(|keys| Self { file: self.file.clone(), place: format!("{}{key}.", self.place), keys }))
    }

    /// Whether a table holds tables.
    pub fn holds_tables(&self) -> bool {
        self.keys.values().any(Value::is_object)
    }

    /// A list, each entry of which is read by `read`, if the key is there and not null.
    pub fn maybe_list<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        self.optional(key, expected, |value| value.as_array()?.iter().map(read).collect())
    }

    /// A list of numbers, if the key is there and not null.
    pub fn maybe_numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.maybe_list(key, "a list of numbers", Value::as_f64)
    }

    /// A list of texts, if the key is there and not null.
    pub fn maybe_texts(&self, key: &str) -> Result<Option<Vec<String>>> {
        self.maybe_list(key, "a list of texts", |value| value.as_str().map(str::to_owned))
    }

    /// The raw value, if the key is there and not null.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.keys.get(key).filter(|value| !value.is_null())
    }

    /// The same with these values in place of its own.
    #[must_use]
    pub fn with(&self, values: &Map<String, Value>) -> Self {
        let mut changed = self.clone();
        changed.keys.extend(values.iter().map(|(key, value)| (key.clone(), value.clone())));
        changed
    }

    /// The error for a value that this program does not honour.
    pub fn unsupported(&self, key: &str, supported: &str) -> PretrainedError {
        let value = self.keys.get(key).map_or("absent".to_owned(), |value| short(&value.to_string()));
        let key = format!("{}{key}", self.place);
        PretrainedError::Unsupported { file: self.file.clone(), key, value, supported: supported.to_owned() }
    }

    /// Refuses a switch that is on: it is not honoured here, and it would change what the model computes.
    pub fn refuse_flag(&self, key: &str) -> Result<()> {
        if self.flag_or(key, false)? { Err(self.unsupported(key, "false")) } else { Ok(()) }
    }

    /// Refuses any value but this one, where the key is there and not null.
    pub fn refuse_unless(&self, key: &str, supported: &Value) -> Result<()> {
        let same = |found: &Value| {
            found == supported || matches!((found.as_f64(), supported.as_f64()), (Some(a), Some(b)) if a == b)
        };
        match self.value(key) {
            Some(found) if !same(found) => Err(self.unsupported(key, &supported.to_string())),
            _ => Ok(()),
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a switch",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
