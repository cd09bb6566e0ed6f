//! The time, handed in so that tests can bend it.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Tells the time of day.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The clock and time zone that timestamps in the repository are written with.
#[derive(Clone)]
pub struct Time {
    pub clock: Arc<dyn Clock>,
    pub zone: TimeZone,
}
