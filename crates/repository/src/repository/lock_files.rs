//! Locks as sealed files of a repository.

use std::sync::Arc;

use super::{Repository, SealedFiles};
use crate::Ctx;
use crate::error::{Error, Result};
use crate::id::Id;
use crate::lock::{LockGuard, LockOptions, UnpackedFiles};
use crate::storage::{FileId, FileKind, StorageErrorKind, Stored};

impl Repository {
    /// Takes a lock on this repository; it is given up when the guard is dropped.
    pub fn lock(&self, options: LockOptions, ctx: &Ctx) -> Result<LockGuard> {
        LockGuard::acquire(Arc::clone(self.files()) as Arc<dyn UnpackedFiles>, options, ctx)
    }
}

impl UnpackedFiles for SealedFiles {
    fn save(&self, kind: FileKind, content: &[u8]) -> Result<Id> {
        self.save_unpacked(kind, content)
    }

    fn load(&self, kind: FileKind, id: Id) -> Result<Option<Vec<u8>>> {
        if !self.exists(kind, id)? {
            return Ok(None);
        }
        match self.load_unpacked(kind, id) {
            Ok(content) => Ok(Some(content)),
            // It may have been removed between the two calls.
            Err(error) => {
                if self.exists(kind, id)? {
                    Err(error)
                } else {
                    Ok(None)
                }
            }
        }
    }

    fn exists(&self, kind: FileKind, id: Id) -> Result<bool> {
        found(self.storage().size(FileId::new(kind, id)))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Stored>> {
        let mut all = Vec::new();
        self.storage().list(kind, &mut |stored| {
            all.push(stored);
            true
        })?;
        Ok(all)
    }

    fn delete(&self, kind: FileKind, id: Id) -> Result<bool> {
        found(self.storage().delete(FileId::new(kind, id)))
    }
}

/// False for a file that is not there.
fn found<T>(result: Result<T, crate::storage::StorageError>) -> Result<bool> {
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.kind == StorageErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::from(error)),
    }
}
