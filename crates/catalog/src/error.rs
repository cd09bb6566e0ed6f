//! Why the catalog could not do something.

use std::sync::Arc;

/// What a caller can make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CatalogErrorKind {
    /// There is a row of that name already.
    Exists,
    /// The row to change is not there, or not in a state in which that can happen.
    Conflict,
    /// The database does not answer; later it may.
    Unavailable,
    /// Anything else: a bug, or a row that somebody else has changed.
    Internal,
}

/// A call of the catalog that failed. The text says what was tried; the cause is `source()`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what}")]
pub struct CatalogError {
    pub kind: CatalogErrorKind,
    what: String,
    #[source]
    cause: Option<Arc<sqlx::Error>>,
}

impl CatalogError {
    pub(crate) fn new(kind: CatalogErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    /// Of a call that nobody answered.
    pub fn no_answer() -> Self {
        Self::new(CatalogErrorKind::Unavailable, "the call of the catalog was given up")
    }

    /// A value in the database that none of us has written.
    pub(crate) fn strange(column: &str, value: &str) -> Self {
        let what = format!("the catalog holds {value:?} as {column}, which makes no sense");
        Self::new(CatalogErrorKind::Internal, what)
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(cause: sqlx::Error) -> Self {
        let kind = match &cause {
            sqlx::Error::Database(error) if error.is_unique_violation() => CatalogErrorKind::Exists,
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => CatalogErrorKind::Unavailable,
            _ => CatalogErrorKind::Internal,
        };
        let what = match kind {
            CatalogErrorKind::Exists => "there is such a row in the catalog already",
            CatalogErrorKind::Unavailable => "the catalog's database does not answer",
            _ => "the catalog's database has refused a statement",
        };
        Self { kind, what: what.to_owned(), cause: Some(Arc::new(cause)) }
    }
}
