//! Exit codes: restic's, so that scripts need not care which of the two they run.

use std::io;

use lifeboat_repository::ErrorKind;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success = 0,
    Failure = 1,
    /// Something could not be read (or removed); the rest was done.
    Incomplete = 3,
    NoVault = 10,
    Locked = 11,
    WrongPassword = 12,
    Interrupted = 130,
    /// Whoever read our output stopped reading: what a death by SIGPIPE looks like to a shell.
    PipeClosed = 141,
}

impl Status {
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    /// The outcome of two steps: failed if one has failed.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Success, other) => other,
            (_, Self::Failure) => Self::Failure,
            (first, _) => first,
        }
    }

    /// The exit code for a failure; decided by the outermost error that has a kind.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            let io = cause.downcast_ref::<io::Error>();
            // Readers hand errors of the engine on inside errors of their own.
            let inner = io.and_then(io::Error::get_ref).and_then(|inner| inner.downcast_ref());
            if let Some(error) = cause.downcast_ref::<lifeboat_repository::Error>().or(inner) {
                return Self::of_kind(error.kind);
            }
            if io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
                return Self::PipeClosed;
            }
        }
        Self::Failure
    }

    fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::NoRepository => Self::NoVault,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::WrongPassword => Self::WrongPassword,
            ErrorKind::Cancelled => Self::Interrupted,
            ErrorKind::RepositoryExists
            | ErrorKind::LockLost
            | ErrorKind::Damaged
            | ErrorKind::NotFound
            | ErrorKind::Storage
            | ErrorKind::Unsupported
            | ErrorKind::InvalidInput
            | ErrorKind::Io => Self::Failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use lifeboat_repository::Error;

    use super::*;

    fn code_of(error: impl Into<anyhow::Error>) -> u8 {
        Status::of(&error.into()).code()
    }

    #[test]
    fn exit_codes_are_restics() {
        let kind = |kind| code_of(Error::new(kind, "x"));
        assert_eq!(kind(ErrorKind::NoRepository), 10);
        assert_eq!(kind(ErrorKind::Locked), 11);
        assert_eq!(kind(ErrorKind::WrongPassword), 12);
        assert_eq!(kind(ErrorKind::Cancelled), 130);
        assert_eq!(kind(ErrorKind::Damaged), 1);
        assert_eq!(code_of(anyhow::anyhow!("x")), 1);
        assert_eq!(code_of(io::Error::from(io::ErrorKind::BrokenPipe)), 141);
        assert_eq!(code_of(io::Error::other(Error::new(ErrorKind::Cancelled, "x"))), 130);
    }

    #[test]
    fn context_does_not_hide_the_kind() {
        let error = Err::<(), _>(Error::new(ErrorKind::Locked, "x")).context("while y").unwrap_err();
        assert_eq!(Status::of(&error), Status::Locked);
    }
}
