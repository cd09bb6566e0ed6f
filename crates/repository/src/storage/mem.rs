//! A storage in memory, for tests and for trying things out. Nothing outlives the process.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};

/// Files in a map. Clones share the map.
#[derive(Clone, Default)]
pub struct MemStorage {
    files: Arc<Mutex<BTreeMap<FileId, Arc<Vec<u8>>>>>,
}

impl MemStorage {
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage with copies of the same files, independent from now on.
    pub fn fork(&self) -> Self {
        Self { files: Arc::new(Mutex::new(self.files().clone())) }
    }

    /// Replaces, adds or (with `None`) removes a file behind the repository's back.
    pub fn tamper(&self, file: FileId, content: Option<Vec<u8>>) {
        match content {
            Some(content) => self.files().insert(file, Arc::new(content)),
            None => self.files().remove(&file),
        };
    }

    /// All files, for comparisons.
    pub fn contents(&self) -> BTreeMap<FileId, Arc<Vec<u8>>> {
        self.files().clone()
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<FileId, Arc<Vec<u8>>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, op: &'static str, file: FileId) -> Result<Arc<Vec<u8>>, StorageError> {
        let found = self.files().get(&file).map(Arc::clone);
        found.ok_or_else(|| error(StorageErrorKind::NotFound, op, file, "no such file"))
    }
}

fn error(kind: StorageErrorKind, op: &'static str, file: FileId, cause: &str) -> StorageError {
    StorageError { kind, op, file: Some(file), cause: cause.into() }
}

impl Storage for MemStorage {
    fn create(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        let mut content = Vec::new();
        let read = body.reader().read_to_end(&mut content);
        read.map_err(|e| StorageError {
            kind: StorageErrorKind::Io,
            op: "write",
            file: Some(file),
            cause: e.into(),
        })?;
        let mut files = self.files();
        if file.kind == FileKind::Config && files.contains_key(&file) {
            return Err(error(StorageErrorKind::AlreadyExists, "write", file, "the file exists"));
        }
        files.insert(file, Arc::new(content));
        Ok(())
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let content = self.file("read", file)?;
        let part = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .and_then(|(start, end)| content.get(start..end));
        part.map(<[u8]>::to_vec)
            .ok_or_else(|| error(StorageErrorKind::Truncated, "read", file, "the file is too short"))
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        Ok(self.file("inspect", file)?.len() as u64)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        let all: Vec<Stored> = {
            let files = self.files();
            let of_kind = files.iter().filter(|(file, _)| file.kind == kind);
            of_kind.map(|(file, content)| Stored { id: file.id, size: content.len() as u64 }).collect()
        };
        for stored in all {
            if !visit(stored) {
                break;
            }
        }
        Ok(())
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        match self.files().remove(&file) {
            Some(_) => Ok(()),
            None => Err(error(StorageErrorKind::NotFound, "delete", file, "no such file")),
        }
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}
