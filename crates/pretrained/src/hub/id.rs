//! The name of a model on the Hub.

use std::fmt;

/// `owner/name`, perhaps with `@revision` and `:file.gguf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubId {
    pub(super) owner: String,
    pub(super) name: String,
    revision: Option<String>,
    pub(super) file: Option<String>,
}

impl HubId {
    /// Reads `owner/name[@revision][:file.gguf]`; nothing if the text is not of that form. A path that exists is a
    /// path: try that first.
    pub fn parse(text: &str) -> Option<Self> {
        let (text, file) = match text.split_once(':') {
            Some((text, file)) => (text, Some(file)),
            None => (text, None),
        };
        let (text, revision) = match text.split_once('@') {
            Some((text, revision)) => (text, Some(revision)),
            None => (text, None),
        };
        let (owner, name) = text.split_once('/')?;
        let part = |part: &str| {
            let plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
            plain && !part.is_empty() && part.len() <= 96 && !part.starts_with(['.', '-'])
        };
        // A revision becomes a path in the cache: `refs/pr/1` is one.
        let fits = part(owner)
            && part(name)
            && revision.is_none_or(|revision| revision.split('/').all(part))
            && file.is_none_or(|file| part(file) && file.to_lowercase().ends_with(".gguf"));
        let own = |part: &str| part.to_owned();
        fits.then(|| Self {
            owner: own(owner),
            name: own(name),
            revision: revision.map(own),
            file: file.map(own),
        })
    }

    /// The revision: a branch, a tag or a commit. `main` if none was named.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::HubId;

    #[test]
    fn names_are_read_with_revision_and_file() {
        for text in ["a/b", "a-1/b.c_2", "a/b@refs/pr/3", "a/b:x.Q4_1.gguf", "a/b@v1.0:x.gguf"] {
            assert_eq!(HubId::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HubId::parse("a/b").unwrap().revision(), "main");
    }

    #[test]
    fn paths_are_no_names() {
        let none = [
            "",
            "a",
            "a/b/c",
            "../b",
            "./b",
            "/b",
            "a/",
            "a/..",
            "a/b@../x",
            "a/b@",
            "a/b:x.bin",
            "a/b:../x.gguf",
            "a b/c",
        ];
        for text in none {
            assert_eq!(HubId::parse(text), None, "{text}");
        }
    }
}
