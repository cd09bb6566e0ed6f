//! One error type for the engine. Callers decide by [`ErrorKind`], people read the text, causes hang behind it.

use std::error::Error as StdError;

/// A cause of any type.
pub type Cause = Box<dyn StdError + Send + Sync>;

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// There is no repository in this storage.
    NoRepository,
    /// There is one already where a new one was to be made.
    RepositoryExists,
    /// No key file opens with the password.
    WrongPassword,
    /// Another process holds a conflicting lock.
    Locked,
    /// Our own lock was removed or grew too old; nothing more may be committed.
    LockLost,
    Cancelled,
    /// Stored bytes are not what they were written as.
    Damaged,
    /// A name that no file, blob or path answers to, or that several answer to.
    NotFound,
    /// The storage failed.
    Storage,
    /// The repository uses something this version does not know.
    Unsupported,
    /// The caller asked for something that makes no sense.
    InvalidInput,
    /// A local file (spool, source root, target root) failed.
    Io,
}

/// A failed operation: what was tried, on what. The cause is `source()`.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    pub kind: ErrorKind,
    what: String,
    #[source]
    cause: Option<Cause>,
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    pub fn damaged(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, what)
    }

    /// True when stored bytes are missing or are not what was written, as opposed to a storage that does not
    /// answer.
    pub fn is_of_content(&self) -> bool {
        use crate::storage::{StorageError, StorageErrorKind};
        let cause = self.cause.as_ref().and_then(|cause| cause.downcast_ref::<StorageError>());
        let is_gone = |error: &StorageError| {
            matches!(error.kind, StorageErrorKind::NotFound | StorageErrorKind::Truncated)
        };
        self.kind == ErrorKind::Damaged || cause.is_some_and(is_gone)
    }

    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl From<crate::storage::StorageError> for Error {
    fn from(error: crate::storage::StorageError) -> Self {
        use crate::storage::StorageErrorKind;
        let kind = match error.kind {
            StorageErrorKind::Cancelled => ErrorKind::Cancelled,
            _ => ErrorKind::Storage,
        };
        Self { kind, what: error.to_string(), cause: Some(error.into()) }
    }
}
