//! Why an RDB cannot be read: what was found, and at which of its bytes.

use std::io;

/// What a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RdbErrorKind {
    /// The bytes are not what Redis writes, or not all of them are there.
    Damaged,
    /// Redis wrote something that cannot be handled here, such as the value of a module.
    Unsupported,
    /// The bytes cannot be read; the cause says why.
    Read,
    /// A value is longer than what was to be held of it. It can be read again from its start.
    Long,
}

/// What was found at which byte. The cause, if there is one, is `source()`.
#[derive(Debug, thiserror::Error)]
#[error("{what} at byte {offset} of the RDB")]
pub struct RdbError {
    pub kind: RdbErrorKind,
    pub offset: u64,
    what: String,
    #[source]
    cause: Option<io::Error>,
}

pub type Result<T, E = RdbError> = std::result::Result<T, E>;

impl RdbError {
    pub(super) fn new(kind: RdbErrorKind, offset: u64, what: impl Into<String>) -> Self {
        Self { kind, offset, what: what.into(), cause: None }
    }

    pub(super) fn read(offset: u64, cause: io::Error) -> Self {
        Self { kind: RdbErrorKind::Read, offset, what: "cannot read on".into(), cause: Some(cause) }
    }

    pub(crate) fn into_cause(self) -> Option<io::Error> {
        self.cause
    }
}
