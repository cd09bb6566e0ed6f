//! One error type for all databases. Callers decide by [`SqlErrorKind`], people read the text, causes hang behind it.
//!
//! Texts name what was tried on what and never hold a password: neither ours, nor one out of a program's words.

use std::io;

use lifeboat_repository::error::Cause;
use lifeboat_repository::{Error, ErrorKind};

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// Nobody answers at the address, or not in the protocol.
    Unreachable,
    /// The server refuses the user or the password, or its certificate is not one to trust.
    Authentication,
    /// The user may not do what is needed.
    Rights,
    /// A version, a setting or a feature with which this cannot be done.
    Unsupported,
    /// A database or a table that is not there.
    NotFound,
    /// A database, a table or a folder that is there already and is not to be overwritten.
    Exists,
    /// The caller asked for something that makes no sense.
    InvalidInput,
    /// The server went away in the middle of the work.
    SourceGone,
    /// What came is not what was sent, or not all of it.
    Damaged,
    Cancelled,
    /// The vault failed; the cause is the engine's own error.
    Repository,
    /// A program of the database is missing or failed.
    Program,
    /// The database refused a statement.
    Statement,
    /// A local file or folder failed.
    Io,
}

/// A failed operation on a database: what was tried, on what. The cause is `source()`.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct SqlError {
    pub kind: SqlErrorKind,
    what: String,
    #[source]
    cause: Option<Cause>,
}

pub type Result<T, E = SqlError> = std::result::Result<T, E>;

impl SqlError {
    pub fn new(kind: SqlErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    pub fn damaged(what: impl Into<String>) -> Self {
        Self::new(SqlErrorKind::Damaged, what)
    }

    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// A local file that failed.
    pub fn io(what: impl Into<String>, cause: io::Error) -> Self {
        Self::new(SqlErrorKind::Io, what).because(cause)
    }
}

impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Cancelled => SqlErrorKind::Cancelled,
            _ => SqlErrorKind::Repository,
        };
        Self { kind, what: error.to_string(), cause: Some(error.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_of_the_engine_is_a_cancel_and_all_else_a_failure_of_the_vault() {
        let kind = |kind| SqlError::from(Error::new(kind, "it failed")).kind;
        assert_eq!(kind(ErrorKind::Cancelled), SqlErrorKind::Cancelled);
        assert_eq!(kind(ErrorKind::Storage), SqlErrorKind::Repository);
    }
}
