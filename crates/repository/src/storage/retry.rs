//! Tries failed storage calls again, after growing pauses, until they succeed, prove hopeless or are cancelled.
//!
//! Only failures that may pass are tried again (`Io`); a full or forbidden or missing storage stays so. A call
//! that failed may have worked all the same, so the second answer is read with that in mind: a file to delete
//! that is gone by then was deleted, a config that is there by then and equal was stored.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::clock::Pace;
use crate::ctx::Cancel;

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub retries: u32,
    /// Each pause is twice as long as the one before it.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    /// About two minutes in all.
    fn default() -> Self {
        Self { retries: 10, first_pause: Duration::from_millis(200), longest_pause: Duration::from_secs(30) }
    }
}

/// A storage whose calls are tried more than once.
pub struct Retry<S> {
    inner: S,
    policy: RetryPolicy,
    pace: Arc<dyn Pace>,
    cancel: Cancel,
}

impl<S: Storage> Retry<S> {
    pub fn new(inner: S, policy: RetryPolicy, pace: Arc<dyn Pace>, cancel: Cancel) -> Self {
        Self { inner, policy, pace, cancel }
    }

    /// Calls until it works; `call` is told how often it has failed before.
    fn persist<T>(&self, mut call: impl FnMut(u32) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let mut pause = self.policy.first_pause;
        for failures in 0..self.policy.retries {
            match call(failures) {
                Err(error) if error.kind == StorageErrorKind::Io => {
                    if self.cancel.is_cancelled() || !self.pace.wait(pause, &[&self.cancel]) {
                        return Err(cancelled(error));
                    }
                }
                result => return result,
            }
            pause = pause.saturating_mul(2).min(self.policy.longest_pause);
        }
        call(self.policy.retries)
    }

    fn holds(&self, file: FileId, body: &Body) -> bool {
        let Body::Bytes(bytes) = body else { return false };
        let is_as_long = self.inner.size(file).is_ok_and(|size| size == body.len());
        is_as_long && self.inner.read(file, 0..body.len()).is_ok_and(|stored| stored == **bytes)
    }
}

/// The error of a call that nobody waits for any more.
fn cancelled(error: StorageError) -> StorageError {
    let StorageError { op, file, .. } = error;
    StorageError { kind: StorageErrorKind::Cancelled, op, file, cause: error.into() }
}

impl<S: Storage> Storage for Retry<S> {
    fn create(&self) -> Result<(), StorageError> {
        self.persist(|_| self.inner.create())
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.persist(|failures| match self.inner.put(file, body) {
            Err(error) if error.kind == StorageErrorKind::AlreadyExists && failures > 0 => {
                if self.holds(file, body) { Ok(()) } else { Err(error) }
            }
            result => result,
        })
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.persist(|_| self.inner.read(file, range.clone()))
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.persist(|_| self.inner.size(file))
    }

    /// Starts again only as long as nothing was visited: no file is visited twice.
    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        let mut has_begun = false;
        let outcome = self.persist(|_| {
            let listed = self.inner.list(kind, &mut |stored| {
                has_begun = true;
                visit(stored)
            });
            match listed {
                Err(error) if has_begun => Ok(Err(error)),
                listed => listed.map(Ok),
            }
        });
        outcome?
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.persist(|failures| match self.inner.delete(file) {
            Err(error) if error.kind == StorageErrorKind::NotFound && failures > 0 => Ok(()),
            result => result,
        })
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        self.persist(|_| self.inner.sweep(before))
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
