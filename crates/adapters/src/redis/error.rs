//! One error type for Redis. Callers decide by [`RedisErrorKind`], people read the text, causes hang behind it.
//!
//! Texts name what was tried on what and never hold a password. What a server answered is part of the text: it is the
//! server's own words, and they say what to do.

use std::io;

use lifeboat_repository::error::Cause;
use lifeboat_repository::{Error, ErrorKind};

use super::rdb::{RdbError, RdbErrorKind};
use crate::patience::is_cancelled;

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisErrorKind {
    /// Nobody answers at the address, or not as Redis does.
    Unreachable,
    /// The server refuses the user or the password, or its certificate is not one to trust.
    Authentication,
    /// The user may not do what is needed.
    Rights,
    /// A version, a module, a role or a feature with which this cannot be done.
    Unsupported,
    /// A server that cannot do it now: it is loading, has lost its master, is full, or parts of a cluster are down.
    Unready,
    /// The caller asked for something that makes no sense.
    InvalidInput,
    /// The server went away in the middle of the work.
    SourceGone,
    /// What came is not what was sent, or not all of it.
    Damaged,
    Cancelled,
    /// The vault failed; the cause is the engine's own error.
    Repository,
}

/// A failed operation on a Redis server: what was tried, on what. The cause is `source()`.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct RedisError {
    pub kind: RedisErrorKind,
    what: String,
    #[source]
    cause: Option<Cause>,
}

pub type Result<T, E = RedisError> = std::result::Result<T, E>;

impl RedisError {
    pub fn new(kind: RedisErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None }
    }

    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// The same with more to say.
    pub(super) fn adding(mut self, more: &str) -> Self {
        self.what.push_str(more);
        self
    }

    /// What an established connection said. What it hides, such as a cancel or a full vault, comes to light.
    pub(super) fn of_stream(kind: RedisErrorKind, what: impl Into<String>, error: io::Error) -> Self {
        if is_cancelled(&error) {
            return Self::new(RedisErrorKind::Cancelled, "the operation was cancelled");
        }
        match error.downcast::<Self>() {
            Ok(inner) => inner,
            Err(error) => match error.downcast::<Error>() {
                Ok(inner) => inner.into(),
                Err(error) => Self::new(kind, what).because(error),
            },
        }
    }

    /// An error that a server answered to `what`.
    pub(super) fn of_reply(what: &str, answer: &str) -> Self {
        let word = answer.split(' ').next().unwrap_or_default();
        let kind = match word {
            "NOAUTH" | "WRONGPASS" => RedisErrorKind::Authentication,
            "NOPERM" => RedisErrorKind::Rights,
            "LOADING" | "NOMASTERLINK" | "MASTERDOWN" | "CLUSTERDOWN" | "OOM" | "MISCONF" | "BUSY"
            | "TRYAGAIN" | "MOVED" | "ASK" | "NOREPLICAS" => RedisErrorKind::Unready,
            _ if answer.contains("invalid password") => RedisErrorKind::Authentication,
            _ => RedisErrorKind::Unsupported,
        };
        Self::new(kind, format!("{what}: the server answers {answer:?}"))
    }
}

impl From<Error> for RedisError {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::Cancelled => RedisErrorKind::Cancelled,
            _ => RedisErrorKind::Repository,
        };
        Self { kind, what: error.to_string(), cause: Some(error.into()) }
    }
}

impl From<RdbError> for RedisError {
    fn from(error: RdbError) -> Self {
        let what = error.to_string();
        match error.kind {
            RdbErrorKind::Unsupported => Self::new(RedisErrorKind::Unsupported, what),
            RdbErrorKind::Damaged | RdbErrorKind::Long => Self::new(RedisErrorKind::Damaged, what),
            RdbErrorKind::Read => match error.into_cause() {
                Some(cause) => Self::of_stream(RedisErrorKind::SourceGone, what, cause),
                None => Self::new(RedisErrorKind::SourceGone, what),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_has_a_kind() {
        let kind = |answer| RedisError::of_reply("try", answer).kind;
        assert_eq!(kind("NOAUTH Authentication required."), RedisErrorKind::Authentication);
        assert_eq!(kind("ERR invalid password"), RedisErrorKind::Authentication);
        assert_eq!(kind("NOPERM this user has no permissions"), RedisErrorKind::Rights);
        assert_eq!(kind("LOADING Redis is loading the dataset in memory"), RedisErrorKind::Unready);
        assert_eq!(kind("ERR unknown command"), RedisErrorKind::Unsupported);
    }

    #[test]
    fn what_failed_behind_a_stream_comes_to_light() {
        let of = |cause| RedisError::of_stream(RedisErrorKind::SourceGone, "read", cause).kind;
        let engine = |kind| io::Error::other(Error::new(kind, "it failed"));
        assert_eq!(of(engine(ErrorKind::Cancelled)), RedisErrorKind::Cancelled);
        assert_eq!(of(engine(ErrorKind::Storage)), RedisErrorKind::Repository);
        assert_eq!(of(io::ErrorKind::ConnectionReset.into()), RedisErrorKind::SourceGone);
    }
}
