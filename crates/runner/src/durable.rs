//! Files that are either whole or absent: written under a temporary name, flushed to the disk, renamed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{Result, RunError};

/// What unfinished files and folders end in. They are removed when a run starts.
const UNFINISHED: &str = ".unfinished";

/// Replaces `path` by a file with these bytes, or leaves it as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = unfinished(path);
    let mut file = File::create(&unfinished).map_err(RunError::file("create", &unfinished))?;
    file.write_all(bytes).map_err(RunError::file("write", &unfinished))?;
    file.sync_all().map_err(RunError::file("flush", &unfinished))?;
    rename(&unfinished, path)
}

/// Makes the folder `path` with what `fill` puts into it, or makes nothing.
pub(crate) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let unfinished = unfinished(path);
    remove_folder(&unfinished)?;
    create_folder(&unfinished)?;
    fill(&unfinished)?;
    remove_folder(path)?;
    rename(&unfinished, path)
}

/// Appends bytes and flushes them: a checkpoint written afterwards counts on them.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file =
        OpenOptions::new().create(true).append(true).open(path).map_err(RunError::file("open", path))?;
    file.write_all(bytes).map_err(RunError::file("append to", path))?;
    file.sync_all().map_err(RunError::file("flush", path))
}

/// Cuts a file to `length` bytes; a missing file counts as empty. A file that is shorter is an error, and stays.
pub(crate) fn truncate(path: &Path, length: u64) -> Result<()> {
    let found = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(RunError::file("read", path)(e)),
    };
    if found < length {
        let problem = format!(
            "holds {found} bytes where the checkpoint counts on {length}: the file was changed; delete the folder \
             `checkpoints` beside it to begin the run again"
        );
        return Err(RunError::Folder { path: path.to_owned(), problem });
    }
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(RunError::file("open", path))?;
    file.set_len(length).map_err(RunError::file("truncate", path))?;
    file.sync_all().map_err(RunError::file("flush", path))
}

/// Keeps other processes from working in `folder` until the result is dropped or this process ends, however it does.
/// Systems that cannot lock a folder go without.
pub(crate) fn lock(folder: &Path) -> Result<Option<File>> {
    let Ok(held) = File::open(folder) else { return Ok(None) };
    match held.try_lock() {
        Ok(()) => Ok(Some(held)),
        Err(TryLockError::Error(_)) => Ok(None),
        Err(TryLockError::WouldBlock) => Err(RunError::Folder {
            path: folder.to_owned(),
            problem: "another attnlab is at work on this run; let it finish, or choose another --out"
                .to_string(),
        }),
    }
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(RunError::file("create folder", path))
}

/// Removes a folder with all that is in it, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(RunError::file("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes what an interrupted run left half-written in `folder`.
pub(crate) fn sweep(folder: &Path) -> Result<()> {
    for path in entries(folder)? {
        if path.to_string_lossy().ends_with(UNFINISHED) {
            if path.is_dir() {
                remove_folder(&path)?;
            } else {
                fs::remove_file(&path).map_err(RunError::file("remove", &path))?;
            }
        }
    }
    Ok(())
}

/// The name of something in `folder` that an interrupted write of its first file, `own`, does not account for.
pub(crate) fn stranger(folder: &Path, own: &str) -> Result<Option<String>> {
    let leftover = unfinished(&folder.join(own));
    let found = entries(folder)?.into_iter().find(|path| *path != leftover);
    Ok(found.map(|path| path.file_name().unwrap_or_default().to_string_lossy().into_owned()))
}

/// The paths in a folder, by name; none if there is no such folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RunError::file("list", folder)(e)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(RunError::file("list", folder))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    PathBuf::from(name)
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(RunError::file("rename to", to))?;
    // A rename is on the disk once its folder is. Some systems cannot open a folder as a file; they flush by themselves.
    if let Some(Ok(folder)) = to.parent().map(File::open) {
        folder.sync_all().map_err(RunError::file("flush", to))?;
    }
    Ok(())
}
