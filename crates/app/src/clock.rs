//! The real clock, for the parts that have the time handed to them.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_repository::clock::{Clock, Time};

/// The clock of this machine.
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// The time here: the machine's clock and the user's time zone.
pub(crate) fn local_time() -> Time {
    Time { clock: Arc::new(SystemClock), zone: TimeZone::system() }
}
