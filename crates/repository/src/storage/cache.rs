//! Keeps copies of index and snapshot files in a local folder, so that a distant storage sends each once.
//!
//! A copy is believed only if the storage still has the file, with the same size, and the copy's digest is its
//! name; anything else is thrown away and fetched again. So a copy can be lost, cut, altered or out of date
//! and nobody notices. Copies are not flushed to disk, and failing to keep one fails nothing.

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::id::Id;

/// Larger files are passed through; no index or snapshot of a sane repository is.
const LARGEST_COPY_BYTES: u64 = 64 << 20;
const TEMPORARY: &str = "tmp-";

/// A storage with a memory on the local disk.
pub struct Cache<S> {
    inner: S,
    folder: PathBuf,
}

impl<S: Storage> Cache<S> {
    /// Keeps copies in `folder`, which must belong to this one repository.
    pub fn new(inner: S, folder: impl Into<PathBuf>) -> Self {
        Self { inner, folder: folder.into() }
    }

    fn folder(&self, kind: FileKind) -> Option<PathBuf> {
        match kind {
            FileKind::Index => Some(self.folder.join("index")),
            FileKind::Snapshot => Some(self.folder.join("snapshots")),
            FileKind::Config | FileKind::Key | FileKind::Lock | FileKind::Pack => None,
        }
    }

    /// The whole file, from the copy or from the storage, which has it with this size.
    fn whole(&self, file: FileId, folder: &Path, size: u64) -> Result<Vec<u8>, StorageError> {
        let path = folder.join(file.id.to_string());
        if let Some(copy) = intact_copy(&path, file.id, size) {
            return Ok(copy);
        }
        forget(&path);
        let content = self.inner.read(file, 0..size)?;
        if Id::of(&content) == file.id {
            keep(folder, &path, &content);
        }
        Ok(content)
    }

    /// Throws away copies of files that a listing no longer has.
    fn trim(&self, folder: &Path, listed: &HashSet<Id>) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let is_gone = name.parse().is_ok_and(|id| !listed.contains(&id));
            if is_gone || name.starts_with(TEMPORARY) {
                forget(&entry.path());
            }
        }
    }
}

fn intact_copy(path: &Path, id: Id, size: u64) -> Option<Vec<u8>> {
    let found = fs::metadata(path).ok()?;
    if !found.is_file() || found.len() != size {
        return None;
    }
    fs::read(path).ok().filter(|copy| Id::of(copy) == id)
}

fn forget(path: &Path) {
    match fs::remove_file(path) {
        // A copy that stays is checked again before it is believed.
        Ok(()) | Err(_) => {}
    }
}

fn keep(folder: &Path, path: &Path, content: &[u8]) {
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let mut temporary = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        temporary.write_all(content)?;
        temporary.persist(path)?;
        Ok(())
    };
    match write() {
        // Without room for a copy, the file is fetched again next time.
        Ok(()) | Err(_) => {}
    }
}

impl<S: Storage> Storage for Cache<S> {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.inner.put(file, body)?;
        if let (Some(folder), Body::Bytes(content)) = (self.folder(file.kind), body)
            && body.len() <= LARGEST_COPY_BYTES
        {
            keep(&folder, &folder.join(file.id.to_string()), content);
        }
        Ok(())
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let Some(folder) = self.folder(file.kind) else { return self.inner.read(file, range) };
        let size = self.inner.size(file)?;
        if size > LARGEST_COPY_BYTES || range.end > size {
            return self.inner.read(file, range);
        }
        let mut content = self.whole(file, &folder, size)?;
        if range == (0..size) {
            return Ok(content);
        }
        let part = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        let part = part.filter(|(start, end)| start <= end && *end <= content.len());
        let (start, end) = part.ok_or_else(|| StorageError {
            kind: StorageErrorKind::Truncated,
            op: "read",
            file: Some(file),
            cause: "the file is too short".into(),
        })?;
        content.truncate(end);
        content.drain(..start);
        Ok(content)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        let Some(folder) = self.folder(kind) else { return self.inner.list(kind, visit) };
        let mut listed = HashSet::new();
        let mut is_complete = true;
        self.inner.list(kind, &mut |stored| {
            listed.insert(stored.id);
            is_complete = visit(stored);
            is_complete
        })?;
        if is_complete {
            self.trim(&folder, &listed);
        }
        Ok(())
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)?;
        if let Some(folder) = self.folder(file.kind) {
            forget(&folder.join(file.id.to_string()));
        }
        Ok(())
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        self.inner.sweep(before)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
