//! Limits how many bytes a second go to and come from a storage, over all threads together.
//!
//! A call begins once its bytes, and those booked before it, have had their time at the rate of the moment; so no stretch
//! of time sees more than the rate allows, but for the last call of it. A rate that changes counts from that moment on,
//! also for who waits already. Locks pass: they are small, and one that is late is lost.

use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use super::{Body, FileId, FileKind, Storage, StorageError, StorageErrorKind, Stored};
use crate::clock::Pace;
use crate::ctx::Cancel;

/// Bytes a second; `None` is as fast as can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub upload: Option<NonZeroU64>,
    pub download: Option<NonZeroU64>,
}

/// Says how fast things may go at this moment, and for how long at most to rely on that.
pub trait RateSource: Send + Sync {
    fn rates(&self) -> (Rates, Duration);
}

/// Rates that never change.
impl RateSource for Rates {
    fn rates(&self) -> (Rates, Duration) {
        (*self, Duration::MAX)
    }
}

/// A storage with a speed limit.
pub struct Throttle<S> {
    inner: S,
    upload: Lane,
    download: Lane,
    rates: Arc<dyn RateSource>,
    pace: Arc<dyn Pace>,
    cancel: Cancel,
}

/// One direction: what was booked and how much of it is through, in billionths of a byte.
#[derive(Default)]
struct Lane(Mutex<Traffic>);

#[derive(Default)]
struct Traffic {
    booked: u128,
    through: u128,
    /// The uptime at which that much was through, and the rate since.
    at: Duration,
    rate: Option<NonZeroU64>,
}

const BYTE: u128 = 1_000_000_000;
/// Nobody waits for less.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

impl Traffic {
    fn advance(&mut self, now: Duration, rate: Option<NonZeroU64>) {
        let elapsed = now.saturating_sub(self.at).as_nanos();
        self.through = match self.rate {
            None => self.booked,
            Some(rate) => self.booked.min(self.through + elapsed * u128::from(rate.get())),
        };
        (self.at, self.rate) = (now, rate);
        if rate.is_none() {
            self.through = self.booked;
        }
    }

    /// How long until `goal` is through, should the rate stay.
    fn time_to(&self, goal: u128) -> Duration {
        let left = goal.saturating_sub(self.through);
        let nanoseconds = self.rate.map_or(0, |rate| left.div_ceil(u128::from(rate.get())));
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Lane {
    fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Storage> Throttle<S> {
    pub fn new(inner: S, rates: Arc<dyn RateSource>, pace: Arc<dyn Pace>, cancel: Cancel) -> Self {
        let (upload, download) = (Lane::default(), Lane::default());
        Self { inner, upload, download, rates, pace, cancel }
    }

    fn wait_for(
        &self,
        lane: &Lane,
        bytes: u64,
        (op, file): (&'static str, FileId),
        rate_of: fn(&Rates) -> Option<NonZeroU64>,
    ) -> Result<(), StorageError> {
        if file.kind == FileKind::Lock {
            return Ok(());
        }
        let mut goal = None;
        loop {
            let (rates, at_most) = self.rates.rates();
            let wait = {
                let mut traffic = lane.traffic();
                traffic.advance(self.pace.uptime(), rate_of(&rates));
                let goal = *goal.get_or_insert_with(|| {
                    traffic.booked += u128::from(bytes) * BYTE;
                    traffic.booked
                });
                if traffic.rate.is_none() {
                    traffic.through = traffic.booked;
                }
                traffic.time_to(goal)
            };
            if wait.is_zero() {
                return Ok(());
            }
            if !self.pace.wait(wait.min(at_most).max(SHORTEST_WAIT), &[&self.cancel]) {
                let cause = "cancelled while waiting for the speed limit".into();
                return Err(StorageError { kind: StorageErrorKind::Cancelled, op, file: Some(file), cause });
            }
        }
    }
}

impl<S: Storage> Storage for Throttle<S> {
    fn create(&self) -> Result<(), StorageError> {
        self.inner.create()
    }

    fn put(&self, file: FileId, body: &Body) -> Result<(), StorageError> {
        self.wait_for(&self.upload, body.len(), ("write", file), |rates| rates.upload)?;
        self.inner.put(file, body)
    }

    fn read(&self, file: FileId, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let bytes = range.end.saturating_sub(range.start);
        self.wait_for(&self.download, bytes, ("read", file), |rates| rates.download)?;
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
