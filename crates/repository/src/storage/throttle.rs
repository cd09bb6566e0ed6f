//! Limits how many bytes a second go to and come from a storage, over all threads together.
//!
//! Each call books the time its bytes take at the given rate and waits for the bookings before it; so the rate
//! holds on average, and a single call is as fast as the storage is.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::clock::Pace;
use crate::ctx::Cancel;

/// Bytes a second; `None` is as fast as can be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub upload: Option<NonZeroU64>,
    pub download: Option<NonZeroU64>,
}

/// A storage with a speed limit.
pub struct Throttle<S> {
    inner: S,
    upload: Lane,
    download: Lane,
    pace: Arc<dyn Pace>,
    cancel: Cancel,
}

/// One direction.
struct Lane {
    bytes_per_second: Option<NonZeroU64>,
    /// When, in uptime, everything booked so far will be through.
    booked_until: Mutex<Duration>,
}

impl Lane {
    fn new(bytes_per_second: Option<NonZeroU64>) -> Self {
        Self { bytes_per_second, booked_until: Mutex::default() }
    }

    /// Books `bytes` and returns how long to wait before they may go.
    fn book(&self, bytes: u64, now: Duration) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let needed = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut booked_until = self.booked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let start = now.max(*booked_until);
        *booked_until = start.saturating_add(needed);
        start.saturating_sub(now)
    }
}

impl<S: Storage> Throttle<S> {
    pub fn new(inner: S, rates: Rates, pace: Arc<dyn Pace>, cancel: Cancel) -> Self {
        let (upload, download) = (Lane::new(rates.upload), Lane::new(rates.download));
        Self { inner, upload, download, pace, cancel }
    }

    fn wait_for(&self, lane: &Lane, bytes: u64, op: &'static str, file: FileId) -> Result<(), StorageError> {
        let wait = lane.book(bytes, self.pace.uptime());
        if wait.is_zero() || self.pace.wait(wait, &[&self.cancel]) {
            return Ok(());
        }
        let cause = "cancelled while waiting for the speed limit".into();
        Err(StorageError { kind: StorageErrorKind::Cancelled, op, file: Some(file), cause })
    }
}

impl<S: Storage> Storage for Throttle<S> {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.wait_for(&self.upload, body.len(), "write", file)?;
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.wait_for(&self.download, range.end.saturating_sub(range.start), "read", file)?;
        self.inner.read(file, range)
    }

    fn size(&self, file: FileId) -> Result<u64, StorageError> {
        self.inner.size(file)
    }

    fn list(&self, kind: FileKind, visit: &mut dyn FnMut(Stored) -> bool) -> Result<(), StorageError> {
        self.inner.list(kind, visit)
    }

    fn delete(&self, file: FileId) -> Result<(), StorageError> {
        self.inner.delete(file)
    }

    fn sweep(&self, before: Timestamp) -> Result<u64, StorageError> {
        self.inner.sweep(before)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
