//! What failed at a database, with the token that clients are shown.

use lifeboat_adapters::redis::{RedisError, RedisErrorKind};
use lifeboat_adapters::sql::{SqlError, SqlErrorKind};

use crate::JobError;

/// Why a job about a database has no result.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct DatabaseError {
    pub code: &'static str,
    what: String,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DatabaseError {
    pub(crate) fn new(code: &'static str, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), cause: None }
    }
}

/// The token for a kind of failure; all of them are in `docs/wire/rds.md` and `docs/wire/tair.md`.
fn code(kind: SqlErrorKind) -> &'static str {
    match kind {
        SqlErrorKind::Unreachable => "SOURCE_UNREACHABLE",
        SqlErrorKind::Authentication => "SOURCE_AUTHENTICATION",
        SqlErrorKind::Rights => "SOURCE_RIGHTS",
        SqlErrorKind::Unsupported => "SOURCE_UNSUPPORTED",
        SqlErrorKind::NotFound => "DATABASE_NOT_EXIST",
        SqlErrorKind::Exists => "TARGET_EXISTS",
        SqlErrorKind::InvalidInput => "INVALID_REQUEST",
        SqlErrorKind::SourceGone => "SOURCE_GONE",
        SqlErrorKind::Damaged => "SOURCE_DAMAGED",
        SqlErrorKind::Cancelled => "CANCELED",
        SqlErrorKind::Repository => "ACCESS_VAULT_FAIL",
        SqlErrorKind::Program => "PROGRAM_FAILED",
        SqlErrorKind::Statement => "STATEMENT_REFUSED",
        SqlErrorKind::Io => "LOCAL_FILES_FAILED",
    }
}

fn redis_code(kind: RedisErrorKind) -> &'static str {
    match kind {
        RedisErrorKind::Unreachable => "SOURCE_UNREACHABLE",
        RedisErrorKind::Authentication => "SOURCE_AUTHENTICATION",
        RedisErrorKind::Rights => "SOURCE_RIGHTS",
        RedisErrorKind::Unsupported => "SOURCE_UNSUPPORTED",
        RedisErrorKind::Unready => "SOURCE_UNREADY",
        RedisErrorKind::InvalidInput => "INVALID_REQUEST",
        RedisErrorKind::SourceGone => "SOURCE_GONE",
        RedisErrorKind::Damaged => "SOURCE_DAMAGED",
        RedisErrorKind::Cancelled => "CANCELED",
        RedisErrorKind::Repository => "ACCESS_VAULT_FAIL",
    }
}

impl From<SqlError> for JobError {
    fn from(error: SqlError) -> Self {
        if error.kind == SqlErrorKind::Cancelled {
            return Self::Cancelled;
        }
        let (code, what) = (code(error.kind), error.to_string());
        Self::Database(DatabaseError { code, what, cause: Some(error.into()) })
    }
}

impl From<RedisError> for JobError {
    fn from(error: RedisError) -> Self {
        if error.kind == RedisErrorKind::Cancelled {
            return Self::Cancelled;
        }
        let (code, what) = (redis_code(error.kind), error.to_string());
        Self::Database(DatabaseError { code, what, cause: Some(error.into()) })
    }
}
