//! Where a repository keeps its files: a flat set of immutable files by kind and name.
//!
//! A file appears whole or not at all, and what `put` has returned for survives a power cut. Nothing here
//! knows what the bytes mean. Retry, throttle and cache are wrappers around another `Storage`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use crate::error::Cause;
use crate::id::{Id, IndexId, KeyId, LockId, PackId, SnapshotId};
use crate::spool::Spool;

pub mod cache;
pub mod interruptible;
pub mod local;
pub mod mem;
pub mod retry;
pub mod throttle;

pub use cache::Cache;
pub use interruptible::Interruptible;
pub use local::LocalStorage;
pub use mem::MemStorage;
pub use retry::{Retry, RetryPolicy};
pub use throttle::{RateSource, Rates, Throttle};

/// The six kinds of files of a repository (restic: Design, section "Repository Layout").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    Config,
    Key,
    Lock,
    Snapshot,
    Index,
    Pack,
}

/// Names one stored file. The config has no id of its own; it is all zeros there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    pub kind: FileKind,
    pub id: Id,
}

impl FileId {
    pub const CONFIG: Self = Self { kind: FileKind::Config, id: Id::from_bytes([0; 32]) };

    pub const fn new(kind: FileKind, id: Id) -> Self {
        Self { kind, id }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Key => "key",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
            Self::Index => "index",
            Self::Pack => "pack",
        })
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == FileKind::Config {
            f.write_str("config")
        } else {
            write!(f, "{} {}", self.kind, self.id)
        }
    }
}

macro_rules! file_ids {
    ($($name:ident => $kind:ident),*) => {$(
        impl From<$name> for FileId {
            fn from(id: $name) -> Self {
                Self::new(FileKind::$kind, id.id())
            }
        }
    )*};
}

file_ids!(PackId => Pack, IndexId => Index, SnapshotId => Snapshot, KeyId => Key, LockId => Lock);

/// What a caller decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    NotFound,
    AlreadyExists,
    /// The file is shorter than the range asked for.
    Truncated,
    /// No room, no quota: trying again at once is pointless.
    Full,
    /// Not allowed, read-only.
    Denied,
    /// The call was given up because its operation was cancelled.
    Cancelled,
    /// Anything else; may be worth another try.
    Io,
}

/// A storage call that failed. The text says what was tried on which file; the cause is `source()`.
#[derive(Debug, thiserror::Error)]
#[error("cannot {op}{}", .file.map(|file| format!(" {file}")).unwrap_or_default())]
pub struct StorageError {
    pub kind: StorageErrorKind,
    pub op: &'static str,
    pub file: Option<FileId>,
    #[source]
    pub cause: Cause,
}

/// The content of a file to store; cheap to clone, readable more than once (for retries).
#[derive(Clone, Debug)]
pub enum Body {
    Bytes(Arc<Vec<u8>>),
    /// Content too large for memory, kept in a temporary file.
    Spool(Arc<Spool>),
}

impl Body {
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self::Bytes(Arc::new(bytes))
    }

    #[expect(clippy::len_without_is_empty, reason = "no file of a repository is empty")]
    pub fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Spool(spool) => spool.len(),
        }
    }

    /// Reads the content from the start.
    pub fn reader(&self) -> Box<dyn std::io::Read + '_> {
        match self {
            Self::Bytes(bytes) => Box::new(bytes.as_slice()),
            Self::Spool(spool) => Box::new(spool.reader()),
        }
    }
}

/// One file of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stored {
    pub id: Id,
    pub size: u64,
}

/// A place for repository files. Calls may come from many threads at once.
pub trait Storage: Send + Sync {
    /// Makes the place ready for a new repository (folders); harmless when it is ready already.
    fn create(&self) -> Result<(), StorageError>;

    /// Stores a whole file durably. Putting the same content under the same id again is harmless; a second
    /// config is refused with `AlreadyExists`.
    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError>;

    /// Reads exactly `range`; `Truncated` when the file ends before it does.
    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError>;

    fn size(&self, file: FileId) -> Result<u64, StorageError>;

    /// Visits every file of a kind, in no order. Names that are not ids (temporary files) are passed over.
    /// The visitor returns false to stop early.
    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError>;

    /// Removes a file; `NotFound` when there is none.
    fn delete(&self, file: FileId) -> Result<(), StorageError>;

    /// Removes what interrupted writes left behind before that time, and says how many files that were. Never
    /// touches what a process of this host is still writing.
    fn sweep(&self, _before: Timestamp) -> Result<u64, StorageError> {
        Ok(0)
    }

    /// Where this is, for messages to people.
    fn describe(&self) -> String;
}

impl<S: Storage + ?Sized> Storage for Arc<S> {
    fn create(&self) -> Result<(), StorageError> {
        (**self).create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        (**self).put(file, body)
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        (**self).read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        (**self).size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        (**self).list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        (**self).delete(file)
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        (**self).sweep(before)
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// The ids of all files of a kind, sorted. Takes 32 bytes for each: what is done to each of them would otherwise be
/// done inside the listing, and a prune must be able to tell later what was not there.
pub fn list_ids(storage: &dyn Storage, kind: FileKind) -> Result<Vec<Id>, StorageError> {
    let mut ids = Vec::new();
    storage.list(kind, &mut |stored| {
        ids.push(stored.id);
        true
    })?;
    ids.sort_unstable();
    Ok(ids)
}
