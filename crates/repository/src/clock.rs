//! The time, handed in so that tests can bend it: what time it is, and how time passes.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Select;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustix::time::{ClockId, clock_gettime};

use crate::ctx::Cancel;

/// Tells the time of day.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// The time since a moment; none when the clock was set back meanwhile.
    fn since(&self, moment: Timestamp) -> Duration {
        self.now().duration_since(moment).try_into().unwrap_or_default()
    }
}

/// The clock and time zone that timestamps in the repository are written with.
#[derive(Clone)]
pub struct Time {
    pub clock: Arc<dyn Clock>,
    pub zone: TimeZone,
}

/// Lets time pass.
pub trait Pace: Send + Sync {
    /// Time since some fixed moment. Nobody can set it, and it goes on while the machine sleeps.
    fn uptime(&self) -> Duration;

    /// Waits; false when one of `cancels` ended the wait early.
    fn wait(&self, duration: Duration, cancels: &[&Cancel]) -> bool;
}

/// Time as it really passes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealPace;

impl Pace for RealPace {
    fn uptime(&self) -> Duration {
        Duration::try_from(clock_gettime(ClockId::Boottime)).expect("the time since the start is positive")
    }

    fn wait(&self, duration: Duration, cancels: &[&Cancel]) -> bool {
        let mut select = Select::new();
        for cancel in cancels {
            select.recv(cancel.closed());
        }
        select.ready_timeout(duration).is_err()
    }
}
