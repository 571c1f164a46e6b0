//! An open file that is read at positions.
//!
//! Checkpoints are read, not mapped: a file that is truncated while it is mapped kills the process, mapped pages count
//! as the process's memory on top of the converted weights, and a mapping cannot be made without `unsafe`. A positional
//! read of a part that is in the page cache costs a copy to the processor's cache, from where the conversion takes it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::error::{PretrainedError, Result};

/// An open regular file of known length.
#[derive(Debug)]
pub(crate) struct Source {
    path: PathBuf,
    file: File,
    len: u64,
    /// Where reads move the file's cursor, one at a time.
    #[cfg(not(unix))]
    cursor: std::sync::Mutex<()>,
}

impl Source {
    /// Opens a regular file. Anything else (a folder, a pipe, a device) is refused before it is opened.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let metadata = fs::metadata(path).map_err(PretrainedError::file("open", path))?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "neither a file nor a folder" };
            return Err(PretrainedError::NotAModel {
                path: path.to_owned(),
                found: found.to_owned(),
                expected: "a regular file".to_owned(),
            });
        }
        let file = File::open(path).map_err(PretrainedError::file("open", path))?;
        // Of the open file, should the path have been replaced in between.
        let len = file.metadata().map_err(PretrainedError::file("open", path))?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            len,
            #[cfg(not(unix))]
            cursor: std::sync::Mutex::default(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub(crate) fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        self.fill(buffer, offset).map_err(PretrainedError::file("read", &self.path))
    }

    /// `n` bytes from `offset` on, in memory of their own.
    pub(crate) fn bytes(&self, offset: u64, n: u64) -> Result<Vec<u8>> {
        // The length was checked against the file's by whoever asks; a file that shrank since then is caught here.
        let fits = offset.checked_add(n).is_some_and(|end| end <= self.len);
        let Some(size) = usize::try_from(n).ok().filter(|_| fits) else {
            let found = format!("{} bytes", self.len);
            return Err(PretrainedError::corrupt(&self.path, "size", found, format!("{n} from {offset} on")));
        };
        let mut bytes = vec![0; size];
        self.read_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
    }

    #[cfg(not(unix))]
    fn fill(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let _alone = self.cursor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (&self.file).seek(SeekFrom::Start(offset))?;
        (&self.file).read_exact(buffer)
    }
}

/// A text file, if it is no longer than such files are.
pub(crate) fn read_text(path: &Path, longest: u64) -> Result<Vec<u8>> {
    let source = Source::open(path)?;
    if source.len() > longest {
        let found = format!("{} bytes", source.len());
        return Err(PretrainedError::corrupt(path, "size", found, format!("at most {longest}")));
    }
    source.bytes(0, source.len())
}
