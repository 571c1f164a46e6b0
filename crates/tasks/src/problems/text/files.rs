//! The files of a text, and a digest of what they hold: enough to notice that they have changed, not to resist
//! forgery.

use std::path::{Path, PathBuf};

use super::Config;
use crate::TaskError;

/// The bytes of a text and of its tokenizer.
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) text: Vec<u8>,
    /// None for bytes.
    pub(super) tokenizer: Option<(PathBuf, Vec<u8>)>,
}

impl Files {
    pub(super) fn read(config: &Config, root: &Path) -> Result<Self, TaskError> {
        let path = root.join(&config.path);
        let text = std::fs::read(&path);
        let text = text.map_err(|source| TaskError::File { path: path.clone(), source })?;
        let tokenizer = match config.tokens.as_str() {
            "bytes" => None,
            file => {
                let path = root.join(file);
                let unusable =
                    |e: std::io::Error| TaskError::Tokenizer { path: path.clone(), reason: e.to_string() };
                let bytes = std::fs::read(&path).map_err(unusable)?;
                Some((path, bytes))
            }
        };
        Ok(Files { path, text, tokenizer })
    }

    /// The digest, which is the configured one where there is one.
    pub(super) fn digest(&self, config: &Config) -> Result<String, TaskError> {
        let tokenizer = self.tokenizer.as_ref().map_or(&[][..], |(_, bytes)| bytes);
        let found = digest(&[&self.text, tokenizer]);
        match &config.digest {
            Some(expected) if *expected != found => {
                let files = match &self.tokenizer {
                    None => self.path.display().to_string(),
                    Some((tokenizer, _)) => format!("{} with {}", self.path.display(), tokenizer.display()),
                };
                Err(TaskError::Changed { files, expected: expected.clone(), found })
            }
            _ => Ok(found),
        }
    }
}

/// The 64-bit FNV-1a hash (Fowler, Noll, Vo) of the parts, one after the other.
fn digest(parts: &[&[u8]]) -> String {
    let hash = parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_the_published_ones_and_join_the_parts() {
        // Test vectors of the authors.
        assert_eq!(digest(&[]), "cbf29ce484222325");
        assert_eq!(digest(&[b"a"]), "af63dc4c8601ec8c");
        assert_eq!(digest(&[b"foobar"]), "85944171f73967e8");
        assert_eq!(digest(&[b"foo", b"", b"bar"]), digest(&[b"foobar"]));
    }
}
