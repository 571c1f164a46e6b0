//! The Hub's cache as it lies on the disk: `models--owner--name/{refs/REVISION, snapshots/COMMIT/FILE}`.

use std::fs;
use std::path::{Path, PathBuf};

use super::{HubId, choose};
use crate::error::{PretrainedError, Result};

/// A model's part of the cache.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    pub(super) fn new(root: PathBuf, id: &HubId) -> Self {
        Self { folder: root.join(format!("models--{}--{}", id.owner, id.name)) }
    }

    /// The folder of a commit's files.
    pub(super) fn folder(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Notes which commit a revision is, for the time without a network.
    pub(super) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let file = self.folder.join("refs").join(revision);
        let unfinished = file.with_extension("unfinished");
        let folder = file.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(PretrainedError::file("create", folder))?;
        fs::write(&unfinished, commit).map_err(PretrainedError::file("write", &unfinished))?;
        fs::rename(&unfinished, &file).map_err(PretrainedError::file("rename", &file))
    }

    /// The model as far as it is cached: its folder or its GGUF file. If something is missing, what.
    pub(super) fn find(&self, id: &HubId) -> std::result::Result<PathBuf, String> {
        let revision = id.revision();
        let commit = if is_commit(revision) {
            Some(revision.to_owned())
        } else {
            let noted = fs::read_to_string(self.folder.join("refs").join(revision)).ok();
            noted.map(|commit| commit.trim().to_owned()).filter(|commit| is_commit(commit))
        };
        let commit = commit.ok_or_else(|| format!("the cache has no revision `{revision}` of it"))?;
        let folder = self.folder(&commit);
        let entries =
            fs::read_dir(&folder).map_err(|_| format!("the cache has no files of revision `{revision}`"))?;
        let names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        let names: Vec<_> =
            names.iter().map(String::as_str).filter(|name| folder.join(name).is_file()).collect();
        let plan = choose::plan(id, &names).map_err(|e| format!("its cached files are not whole ({e})"))?;
        if plan.sharded {
            let shards = choose::shards(&folder.join(choose::INDEX)).map_err(|e| e.to_string())?;
            if let Some(missing) = shards.iter().find(|shard| !present(&folder, shard)) {
                return Err(format!("`{missing}` is not cached"));
            }
        }
        Ok(plan.lead.map_or(folder.clone(), |lead| folder.join(lead)))
    }
}

fn present(folder: &Path, name: &str) -> bool {
    folder.join(name).is_file()
}

/// Whether this is a commit's full name.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}
